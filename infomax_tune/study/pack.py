"""A pack: the trials of one cell that train together, and the text that carries it to a Ray worker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infomax_tune.parts import catalogue
from infomax_tune.study.config import TrialConfig


@dataclass(frozen=True)
class Pack(Sequence[TrialConfig]):
    """Trials that differ only in seed, in the order they are stacked.

    Raises ValueError if there are none, or if they are not of one cell.
    """

    trials: tuple[TrialConfig, ...]

    def __post_init__(self) -> None:
        if len({config.cell_numbers for config in self.trials}) != 1:
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
        """The config of the first trial; the others differ only in seed."""
        return self.trials[0]

    @property
    def cell(self) -> str:
        return self.config.cell

    @property
    def seeds(self) -> list[int]:
        return [config.training.seed for config in self.trials]

    def __str__(self) -> str:
        """Its name in messages: the cell and the seeds."""
        return f"{self.cell}, {'seeds' if len(self) > 1 else 'seed'} {spans(self.seeds)}"

    def to_json(self) -> str:
        """Text for Tune's param space: one config, the seeds, and the sources of the user's own parts.

        Tune copies a trial's parameters often, and never text.
        """
        sources = catalogue.sources(name for _, name in self.config.parts())
        content = {
            "config": self.config.nested(),
            "id_digits": self.config.id_digits,
            "seeds": self.seeds,
            "sources": [[source.file, source.content.decode("latin-1")] for source in sources],
        }
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Pack:
        """The inverse of `to_json`. The driver has checked that the sources of the user's own parts may be loaded."""
        content = json.loads(text)
        for file, source in content["sources"]:
            catalogue.add(catalogue.Source(file, source.encode("latin-1")))
        first = TrialConfig.model_validate(content["config"] | {"id_digits": content["id_digits"]})
        return cls(tuple(first.with_seed(seed) for seed in content["seeds"]))


def spans(seeds: Sequence[int]) -> str:
    """Seeds with consecutive ones joined: `1-4, 7`."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
