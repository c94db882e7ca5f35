"""mutual_information_null: what `mutual_information` would be if the units were independent."""

from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.parts.metrics._mutual_information import mean_over_pairs


def measure(layer: Layer) -> float:
    """`mean_over_pairs` in nats, the samples of one unit of each pair permuted. Range: 0 to infinity."""
    return mean_over_pairs(layer, permuted=True)


mutual_information_null = Metric(
    measure,
    on="trained layer",
    slow=True,
    label="mutual information, permuted",
    explanation="The mutual information that is estimated after one unit's outputs are permuted: what independent units have.",
    low=0.0,
    ranked=False,
    place=24,
    report_place=54,
)
