"""mutual_information: what two units' outputs say of each other, linear or not."""

from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.parts.metrics._mutual_information import mean_over_pairs


def measure(layer: Layer) -> float:
    """`mean_over_pairs` in nats. Range: 0 to infinity; of independent units, `mutual_information_null`."""
    return mean_over_pairs(layer)


mutual_information = Metric(
    measure,
    on="trained layer",
    slow=True,
    label="mutual information",
    better="lower",
    explanation="Mean mutual information of two units' outputs, in nats, by Kraskov's estimator on a sample of pairs and images; "
    "dead and constant units are left out. Independent units have that of permuted outputs. Lower is better.",
    low=0.0,
    ranked=False,
    place=23,
    report_place=52,
)
