"""random, a baseline: the first weights, which nothing trains."""

from infomax_tune.parts.objectives import Objective

random = Objective(
    {"loss.lambda_tc": 0.0, "loss.lambda_wr": 0.0, "training.epochs": 0}, place=4, explanation="no training"
)
