"""Trials into packs: which seeds are trained together, and how a pack travels to Ray. Imports config and data only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infomax_tune.study.config import TrialConfig
from infomax_tune.study.cost import epoch_cost
from infomax_tune.study.read_config import from_nested


def plan(missing: Sequence[TrialConfig], slots: int, pack: int | None = None) -> list[list[TrialConfig]]:
    """The packs that train these trials, the costliest first so that the tail is short.

    A pack holds trials of one cell. pack: how many at most; None: the most that still gives each slot a pack.
    """
    cells: dict[str, list[TrialConfig]] = {}
    for config in missing:
        cells.setdefault(config.cell, []).append(config)
    largest = max((len(trials) for trials in cells.values()), default=1)
    size = pack or next(
        (size for size in range(largest, 1, -1) if sum(-(-len(trials) // size) for trials in cells.values()) >= slots),
        1,
    )
    packs = [trials[i : i + size] for trials in cells.values() for i in range(0, len(trials), size)]
    return sorted(packs, key=_cost, reverse=True)


def _cost(pack: Sequence[TrialConfig]) -> float:
    config = pack[0]
    return len(pack) * config.training.epochs * epoch_cost(config.data.dataset, config.model.hidden_dim)


def as_pack(trials: list[TrialConfig]) -> dict[str, Any]:
    """The pack as it stands in Tune's param space: one config, and the seeds it is trained with."""
    return {"config": trials[0].nested(), "seeds": [config.training.seed for config in trials]}


def from_pack(pack: dict[str, Any]) -> list[TrialConfig]:
    """The trials of a pack that `as_pack` made."""
    nested = pack["config"]
    return [from_nested(nested | {"training": nested["training"] | {"seed": seed}}, "pack") for seed in pack["seeds"]]
