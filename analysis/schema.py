"""Names the analysis knows: the table's columns, and of each metric its label, direction and scale. Imports only names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from infomax_tune.study import columns

STATUSES = ("done", "diverged", "failed", "missing")
"""What can have become of a planned trial. Only `done` rows enter statistics; the others are counted and listed."""

CONFIG_COLUMNS = (
    "dataset",
    "batch_size",
    "hidden_dim",
    "activation",
    "head",
    "objective",
    "lambda_tc",
    "lambda_wr",
    "variance_eps",
    "epochs",
    "lr",
    "optimizer",
)
"""Settings of a trial other than its seed: trials equal in all of them are one cell."""

REQUIRED_COLUMNS = ("trial_id", "status", "activation", "hidden_dim", "seed")
"""Without these there is nothing to compare; any other column may be absent and makes a smaller report."""

TEXT_COLUMNS = ("trial_id", "status", "dataset", "activation", "head", "objective", "optimizer")

ACTIVATIONS = ("identity", "relu", "leaky_relu", "softmax", "tanh", "softplus")
"""The order in which activations appear in every table and figure."""

LOSS_TERMS = columns.TERMS

BASELINE_COLUMNS = ("objective", "lambda_tc", "lambda_wr", "epochs")
"""What a baseline changes at once: `variance_only` also sets both lambdas to 0, `random` also sets epochs to 0."""


@dataclass(frozen=True)
class Metric:
    """One measured column: its label, which direction is better (None: neither), and the scale it is drawn on."""

    name: str
    label: str
    better: str | None
    log: bool = False
    integer: bool = False

    @property
    def sign(self) -> int:
        """+1 where higher is better, -1 where lower is, 0 where neither is."""
        return {"higher": 1, "lower": -1}.get(self.better or "", 0)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("effective_rank", "effective rank", "higher"),
        Metric("weight_redundancy", "weight redundancy", "lower"),
        Metric("dead_units", "dead units", "lower", integer=True),
        Metric("output_correlation", "output correlation", "lower"),
        Metric("gaussian_total_correlation", "Gaussian total correlation", "lower"),
        Metric("variance_ratio", "variance ratio", "lower", log=True),
        Metric("max_avg_responsibility", "largest mean responsibility", "lower"),
        Metric("probe_accuracy", "probe accuracy", "higher"),
        Metric("convergence_epoch", "convergence epoch", "lower", integer=True),
        Metric("activation_mean", "mean activation", None),
        Metric("activation_std", "sd of activation", None),
        Metric("loss", "loss", "lower"),
        Metric("entropy", "entropy term", "lower"),
        Metric("tc", "decorrelation term (tc)", "lower"),
        Metric("wr", "weight term (wr)", "lower"),
    )
}
"""Every metric of the results table, in the order of the report: what was learned first, then how the training went."""

EPOCH_ZERO_METRICS = (
    "effective_rank",
    "weight_redundancy",
    "dead_units",
    "output_correlation",
    "gaussian_total_correlation",
    "variance_ratio",
)
"""Redundancy metrics that the history also holds for epoch 0, before any training."""


def label(name: str) -> str:
    """The words for a metric, or the column's own name with its underscores opened where the metric is unknown."""
    return METRICS[name].label if name in METRICS else name.replace("_", " ")


def activation_order(names: Iterable[str]) -> list[str]:
    """The given activations in the study's order; names it does not know follow, sorted."""
    present = {str(name) for name in names}
    return [name for name in ACTIVATIONS if name in present] + sorted(present - set(ACTIVATIONS))
