"""Decides which trials are trained together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infomax_tune.study.config import TrialConfig
from infomax_tune.study.cost import epoch_cost
from infomax_tune.study.pack import Pack


def pack_trials(trials: Sequence[TrialConfig], slots: int, size: int | None = None) -> list[Pack]:
    """The packs that train these trials, costliest first, so the last to end are short.

    size: the most trials in a pack; None: as many as still give each slot a pack.
    """
    cells: dict[Any, list[TrialConfig]] = {}
    for config in trials:
        cells.setdefault(config.cell_numbers, []).append(config)
    size = size or _largest_size([len(cell) for cell in cells.values()], slots)
    packs = [Pack.of(cell[first : first + size]) for cell in cells.values() for first in range(0, len(cell), size)]
    return sorted(packs, key=_cost, reverse=True)


def _largest_size(cells: Sequence[int], slots: int) -> int:
    """The largest pack size that gives at least as many packs as there are slots; 1 if none does.

    cells: the number of trials in each.
    """
    for size in range(max(cells, default=1), 1, -1):
        if sum(-(-trials // size) for trials in cells) >= slots:  # each division rounded up
            return size
    return 1


def _cost(pack: Pack) -> float:
    return len(pack) * pack.config.training.epochs * epoch_cost(pack.config.data.dataset, pack.config.model.hidden_dim)
