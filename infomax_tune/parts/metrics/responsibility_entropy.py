"""responsibility_entropy: over how many units the responsibility for a sample is spread."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """Mean over samples of -sum_j r_j log r_j in nats, r the layer's `responsibility`. Range: 0 (one unit) to log k (all)."""
    r = layer.responsibility
    return 0.0 - r.xlogy(r).sum(dim=1).mean().item()


responsibility_entropy = Metric(
    measure,
    on="trained layer",
    label="responsibility entropy",
    explanation="Mean over images of the entropy of the units' responsibilities r, in nats: 0 if one unit takes an image, log K "
    "if all share it. r = softmax(-a) if the loss has the term lse; else the outputs a if they sum to 1, and softmax(a) "
    "if not. Neither direction is better.",
    low=0.0,
    ranked=False,
    place=21,
    report_place=72,
)
