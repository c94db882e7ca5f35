"""lse: the mean over rows of -log sum_j exp(-a_j), by which the units compete for each row.

Its gradient for a row is the units' responsibility for it, softmax(-a), over the number of rows.
"""

from infomax_tune.parts.terms import Term


def value(a):
    return -(-a).logsumexp(dim=-1).mean(dim=-1)


def gradient(a):
    return (-a).softmax(dim=-1) / a.shape[-2]


lse = Term(
    value, gradient, weight="lambda_lse", competitive=True, place=4,
    meaning="The weight of the term -log sum exp(-a), by which the units compete for each row.",
    label="competition term (lse)", better="lower", ranked=False, report_place=160,
    explanation="A term of the loss: the mean over images of -log sum exp(-a), by which the units compete for each image.",
)  # fmt: skip
