"""tc: ||C - I||_F^2, a decorrelation surrogate of total correlation. 0 is decorrelated."""

from infomax_tune.parts.terms import Term


def value(s):
    return s.excess.square().sum(dim=(-2, -1))


def gradient(s):
    return 2 * s.excess, 2 * (s.excess * s.correlation).sum(dim=-1)


tc = Term(
    value, gradient, on="correlation", weight="lambda_tc", default=1.0, always=True, place=2,
    meaning="The weight of the decorrelation term.",
    label="decorrelation term (tc)", better="lower", grows="pair", low=0.0, ranked=False, report_place=140,
    explanation="The loss's second term: squared distance of the regularized correlation matrix from the identity on "
    "a batch. It is a decorrelation surrogate for total correlation, not total correlation itself.",
)  # fmt: skip
