"""variance_only, a baseline: infomax without decorrelation."""

from infomax_tune.parts.objectives import Objective

variance_only = Objective({"loss.lambda_tc": 0.0, "loss.lambda_wr": 0.0}, place=2, explanation="the entropy term alone")
