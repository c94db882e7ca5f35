"""Decides which trials are trained together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infomax_tune.study.config import TrialConfig
from infomax_tune.study.cost import epoch_cost
from infomax_tune.study.pack import Pack


def pack_trials(trials: Sequence[TrialConfig], slots: int, size: int | None = None) -> list[Pack]:
    """The packs that train these trials, costliest first, so the last to end are short.

    size: the most trials in a pack; None: as many as still give each slot a pack. Where each slot then gets several packs, the
    last pack of each is cut into quarters, so that the slots end at about the same time.
    """
    cells: dict[Any, list[TrialConfig]] = {}
    for config in trials:
        cells.setdefault(config.cell_numbers, []).append(config)
    largest = size or _largest_size([len(cell) for cell in cells.values()], slots)
    packs = sorted((pack for cell in cells.values() for pack in _cut(cell, largest)), key=_cost, reverse=True)
    if size is None and len(packs) >= _MANY_A_SLOT * slots:
        quarters = [quarter for pack in packs[-slots:] for quarter in _cut(pack, -(-len(pack) // 4))]
        packs[-slots:] = sorted(quarters, key=_cost, reverse=True)
    return packs


_MANY_A_SLOT = 5
"""With so many packs a slot, the last one is short enough to be worth cutting."""


def _cut(trials: Sequence[TrialConfig], size: int) -> list[Pack]:
    """Packs of so many trials of a cell; the last may have fewer."""
    return [Pack.of(trials[first : first + size]) for first in range(0, len(trials), size)]


def _largest_size(cells: Sequence[int], slots: int) -> int:
    """The largest pack size that gives at least as many packs as there are slots; 1 if none does.

    cells: the number of trials in each. Of sizes that give the largest cell equally many packs, the smallest: ten trials are
    five and five, not nine and one.
    """
    most = max(cells, default=1)
    for size in range(most, 1, -1):
        even = -(-most // -(-most // size))  # each division rounded up
        if sum(-(-trials // even) for trials in cells) >= slots:
            return even
    return 1


def _cost(pack: Pack) -> float:
    return len(pack) * pack.config.training.epochs * epoch_cost(pack.config.data.dataset, pack.config.model.hidden_dim)
