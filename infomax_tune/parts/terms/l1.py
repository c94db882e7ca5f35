"""l1: the mean of |a| over all rows and units, which makes the outputs sparse."""

from infomax_tune.parts.terms import Term


def value(a):
    return a.abs().mean(dim=(-2, -1))


def gradient(a):
    return a.sign() / (a.shape[-2] * a.shape[-1])


l1 = Term(
    value, gradient, weight="lambda_l1", place=5,
    meaning="The weight of the mean of |a|, which makes the outputs sparse.",
    label="sparsity term (l1)", better="lower", low=0.0, ranked=False, report_place=170,
    explanation="A term of the loss: the mean of the outputs' magnitudes.",
)  # fmt: skip
