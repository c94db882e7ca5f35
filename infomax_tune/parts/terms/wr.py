"""wr: ||G - I||_F^2, G the Gram matrix of the weights' rows, each divided by (its norm + eps). 0 is orthogonal."""

from infomax_tune.parts.terms import Term


def value(weight, eps):
    return _gram(weight, eps)[0].square().sum(dim=(-2, -1))


def gradient(weight, eps):
    """With u = w / (|w| + eps): d value / du = 4 (G - I) u, then back through the norm."""
    gram, norm = _gram(weight, eps)
    length = (norm + eps).unsqueeze(-1)
    grad_unit = 4 * gram @ (weight / length)
    radial = (grad_unit * weight).sum(dim=-1, keepdim=True)
    smallest = 2.0**-126  # a zero row has no direction
    direction = weight / norm.clamp_min(smallest).unsqueeze(-1)
    return grad_unit / length - direction * radial / length.square()


def _gram(weight, eps):
    """G - I, and the rows' norms."""
    product = weight @ weight.mT
    norm = product.diagonal(dim1=-2, dim2=-1).sqrt()
    inverse = 1 / (norm + eps)
    gram = product * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)
    return gram - gram.new_ones(gram.shape[-1]).diag(), norm


wr = Term(
    value, gradient, on="weights", weight="lambda_wr", always=True, place=3,
    meaning="The weight of the term that pushes the units' weights to be orthogonal.",
    label="weight term (wr)", better="lower", grows="pair", low=0.0, ranked=False, report_place=150,
    explanation="The loss's third term: weight redundancy during training.",
)  # fmt: skip
