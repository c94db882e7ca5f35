"""entropy: -sum_j log(Var_j + eps). Lower is more spread. It is the entropy of Gaussian units, up to a constant and a sign."""

from infomax_tune.parts.terms import Term


def value(s):
    return -s.variance.log().sum(dim=-1)


def gradient(s):
    return 0.0, 1.0


entropy = Term(
    value, gradient, on="correlation", weight="lambda_var", default=1.0, always=True, place=1,
    meaning="The weight of the entropy term, which makes the units vary.",
    label="entropy term", better="lower", grows="unit", ranked=False, report_place=130,
    explanation="The loss's first term: minus the sum of the units' log variances. Lower means that the units vary "
    "more. A bounded output range limits it, so activations are not ranked by it.",
)  # fmt: skip
