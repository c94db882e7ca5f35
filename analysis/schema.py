"""The study's names that the analysis uses: columns, statuses and the order of activations."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

import pandas as pd

from infomax_tune.parts import catalogue
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.trial_status import IN_TABLES, TrialStatus

DONE = TrialStatus.DONE.value
"""Only rows of this status enter statistics."""

STATUSES = tuple(status.value for status in IN_TABLES)
"""The possible statuses of a planned trial."""

UNFINISHED = tuple(status for status in STATUSES if status != DONE)
"""The statuses of trials without a result, which are counted and listed."""

_FIRST = ("dataset", "batch_size", "hidden_dim", "activation", "head", "objective")

CONFIG_COLUMNS = (*_FIRST, *(name for name in columns.SETTINGS if name not in (*_FIRST, "seed")), *columns.LATER)
"""Settings of a trial other than its seed, in the report's order: trials equal in all of them are one cell."""


def config_columns(table: pd.DataFrame) -> list[str]:
    """`CONFIG_COLUMNS` that this table has, and those of settings of another version: between the seed and the measurements."""
    names = list(table.columns)
    after = takewhile(
        lambda name: name not in columns.FINAL, names[names.index("seed") + 1 :] if "seed" in names else ()
    )
    return [
        *(name for name in CONFIG_COLUMNS if name in names),
        *(name for name in after if name not in CONFIG_COLUMNS),
    ]


OPTIONAL_COLUMNS = (*columns.LATER, *(name for name, term in catalogue.ours("terms").items() if not term.always))
"""Columns that a table has only if its trials need them."""

REQUIRED_COLUMNS = ("trial_id", "status", "activation", "hidden_dim", "seed")
"""Without these there is nothing to compare; if any other column is missing, the report is smaller."""

_DEFAULTS = TrialConfig().flat()

TEXT_COLUMNS = (
    "trial_id",
    "status",
    *(column for column, setting in (columns.SETTINGS | columns.LATER).items() if isinstance(_DEFAULTS[setting], str)),
)

LOSS_TERMS = columns.TERMS

ACTIVATIONS = tuple(catalogue.ours("activations"))
"""Ours, in the order of the report."""

NEVER_COMPARED = "dataset"
"""Not a treatment: whatever is ranked, compared, tested or averaged is within one data set."""

OTHER_OUTPUTS = ("head", "objective", NEVER_COMPARED)
"""Settings that make other outputs: the loss and its terms are then other quantities, since they depend on the outputs' range.
No figure draws their levels together."""

_FIXED = {name for objective in catalogue.ours("objectives").values() for name in objective.fixes}
BASELINE_COLUMNS = ("objective", *(column for column, setting in columns.SETTINGS.items() if setting in _FIXED))
"""What a baseline changes at once: `variance_only` also sets both lambdas to 0, `random` also sets epochs to 0."""


def activation_order(names: Iterable[str]) -> list[str]:
    """The given activations in the study's order; unknown names follow, sorted."""
    present = {str(name) for name in names}
    return [name for name in ACTIVATIONS if name in present] + sorted(present - set(ACTIVATIONS))
