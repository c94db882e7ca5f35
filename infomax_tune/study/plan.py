"""The plan of a sweep: the trials it has so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from infomax_tune.errors import ConfigError
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.settings import labels


class Plan:
    """The trials that a sweep has so far, in the order they were added. A grid adds all at once; a search may add more
    while it runs.

    further_axes: by dotted name, the settings that distinguish trials of one activation, width and seed.
    """

    def __init__(self, trials: Iterable[TrialConfig], further_axes: Iterable[str] = ()) -> None:
        self._trials: dict[str, TrialConfig] = {}
        self.further_axes = tuple(further_axes)
        self.add(trials)

    def add(self, trials: Iterable[TrialConfig]) -> None:
        """Adds trials; one that is already there keeps its place.

        Raises ConfigError if two different trials have one id: each would be mistaken for the other.
        """
        for config in trials:
            there = self._trials.setdefault(config.trial_id, config)
            differences = [] if there is config else config.differences(there.nested())
            if differences:
                raise ConfigError(
                    f"axes: two different trials have the same id by chance, {config.trial_id} ({'; '.join(differences)}). "
                    "Change one of the values slightly, or sweep them in two folders."
                )

    def __iter__(self) -> Iterator[TrialConfig]:
        return iter(self._trials.values())

    def __len__(self) -> int:
        return len(self._trials)

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._trials

    def __getitem__(self, trial_id: str) -> TrialConfig:
        return self._trials[trial_id]

    def cell_labels(self) -> dict[str, str]:
        """What people call each cell: `relu-k16`, and the further axes, such as `relu-k16 lambda_tc=0.1`."""
        flat = {config.cell: config.flat() for config in self}
        texts = {name: labels(each[name] for each in flat.values()) for name in self.further_axes}
        return {
            cell: " ".join(
                [
                    f"{settings['model.activation']}-k{settings['model.hidden_dim']}",
                    *(f"{name.split('.')[1]}={texts[name][settings[name]]}" for name in self.further_axes),
                ]
            )
            for cell, settings in flat.items()
        }

    @property
    def cells(self) -> list[str]:
        """The cells of the trials, each once, in order of first appearance."""
        return list(dict.fromkeys(config.cell for config in self))
