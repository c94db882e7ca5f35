"""A pack: the trials of one cell that are trained together, and the form in which it crosses to a Ray worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infomax_tune.study.config import TrialConfig


@dataclass(frozen=True)
class Pack(Sequence[TrialConfig]):
    """Trials that differ only in seed, in the order in which they are stacked.

    Raises ValueError if there are none, or if they are not of one cell.
    """

    trials: tuple[TrialConfig, ...]

    def __post_init__(self) -> None:
        if len({config.cell for config in self.trials}) != 1:
            raise ValueError("a pack must hold trials that differ only in seed")

    @classmethod
    def of(cls, trials: Sequence[TrialConfig]) -> Pack:
        return cls(tuple(trials))

    def __getitem__(self, place: Any) -> Any:
        return self.trials[place]

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def config(self) -> TrialConfig:
        """What all its trials share, with the seed of the first."""
        return self.trials[0]

    @property
    def cell(self) -> str:
        return self.config.cell

    @property
    def seeds(self) -> list[int]:
        return [config.training.seed for config in self.trials]

    def __str__(self) -> str:
        """As messages name it: its cell and its seeds."""
        return f"{self.cell}, {'seeds' if len(self) > 1 else 'seed'} {spans(self.seeds)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, one config and the seeds: what stands in Tune's param space."""
        return {"config": self.config.model_dump(), "seeds": self.seeds}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Pack:
        """The pack that `to_dict` made."""
        first = TrialConfig.model_validate(content["config"])
        return cls(tuple(first.with_seed(seed) for seed in content["seeds"]))


def spans(seeds: Sequence[int]) -> str:
    """Numbers as people write them: 1-4, 7."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
