"""infomax: the study's objective, entropy + lambda_tc tc, and any other term that is given a weight."""

from infomax_tune.parts.objectives import Objective

infomax = Objective(place=1, explanation="the study's objective")
