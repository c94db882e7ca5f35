"""What must not mix in one sweep, because its trials could not be compared: data, and infomax-tune's arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from infomax_tune.errors import DataError, EnvironmentDriftError
from infomax_tune.science.arithmetic import arithmetic_of
from infomax_tune.science.data import Dataset
from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.environments import Environments
from infomax_tune.store.record import Record


def refuse_to_mix(
    kept: Iterable[Record | Checkpoint],
    datasets: Mapping[str, Dataset],
    *,
    mix_arithmetic: bool,
    environments: Environments | None = None,
) -> None:
    """Raises DataError if a trial was trained on different data than the dataset with that name holds now.

    Raises EnvironmentDriftError if one was trained with another arithmetic, unless `mix_arithmetic`.
    kept: the trials' records and checkpoints; those from before digests existed are not compared. environments: those of
    the trials, which say which version it was.
    """
    data: Counter[tuple[str, str]] = Counter()
    arithmetic: dict[tuple[int, int], list[str]] = {}
    for each in kept:
        name = each.config.get("data", {}).get("dataset")
        if each.data and name in datasets and each.data != datasets[name].digest:
            data[name, each.data] += 1
        if each.arithmetic != arithmetic_of(each.config):
            places = arithmetic.setdefault((each.arithmetic, arithmetic_of(each.config)), [])
            places.append(each.timing.get("environment", ""))
    for (name, digest), trials in data.items():
        raise DataError(
            f"{name}: {_trials(trials)} here on different data with the same name (its digest was {digest}, now it is "
            f"{datasets[name].digest}), so they cannot be compared with new ones. Resume with "
            "that data, or choose another output folder."
        )
    for (number, now), places in arithmetic.items():
        if not mix_arithmetic:
            used = environments.read_used() if environments else {}
            versions = {str(used[place].get("infomax-tune", "")) for place in places if place in used} - {""}
            of = f" {' and '.join(sorted(versions))}" if versions else ""
            raise EnvironmentDriftError(
                f"{_trials(len(places))} here with arithmetic {number} of infomax-tune{of}, but this version uses "
                f"{now}: the same trial may get different numbers. Resume with the version that trained them, choose "
                "another output folder, or mix the two with --mix-arithmetic (in Python: mix_arithmetic=True)."
            )


def _trials(count: int) -> str:
    return "1 trial was trained" if count == 1 else f"{count} trials were trained"
