"""rankme: how many directions the outputs use."""

from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.parts.metrics._matrices import entropy_rank


def measure(layer: Layer) -> float:
    """exp(-sum p log p), p = s / sum s, s the singular values of the activations (n, k), not centered.

    Range: 1 to min(n, k); NaN if all outputs are 0. Source: RankMe, Garrido et al. (2023), without its 1e-7 in p. The
    singular values are square roots of the eigenvalues of a^T a, of which those under 1e-14 of the largest are rounding's.
    """
    from torch.linalg import eigvalsh

    n, mean = len(layer.activations), layer.activations.mean(dim=0)
    gram = (n - 1) * layer.covariance + n * mean[:, None] * mean[None, :]
    squares = eigvalsh(gram)
    return entropy_rank(squares.where(squares > 1e-14 * squares.max(), 0.0).sqrt())


rankme = Metric(
    measure,
    on="trained layer",
    label="RankMe of the outputs",
    better="higher",
    explanation="How many directions the outputs really use: exp of the entropy of their normalized singular values. It ranges "
    "from 1 to K; higher is better.",
    grows="unit",
    low=0.0,
    high=1.0,
    ranked=False,
    place=13,
    report_place=12,
)
