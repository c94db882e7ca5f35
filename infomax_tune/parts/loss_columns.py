"""The columns of the loss and its terms: means over the rows of an epoch."""

from infomax_tune.parts.catalogue import ours
from infomax_tune.parts.column import Column

LOSS_COLUMNS = {
    "loss": Column(
        label="loss",
        better="lower",
        explanation="What training minimizes: the sum of the terms, each times its weight. It cannot be compared between "
        "widths, between weights, or between activations, whose outputs differ in range.",
        ranked=False,
        headline=True,
        report_place=120,
    ),
    **ours("terms"),
}
"""The loss and its terms by name, in the order of the tables."""
