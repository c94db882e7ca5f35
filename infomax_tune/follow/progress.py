"""The progress of packs and sweeps: the data that go from a worker to the driver, the display and `status`.

`tally` does the counting.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from infomax_tune.process.running import begun, is_running
from infomax_tune.study.trial_status import IN_PROGRESS, TrialStatus

STALE_S = 30.0
"""Seconds without a report after which a driver counts as dead."""

_APART_S = 24 * 3600.0
"""How far the clocks of two machines may be apart: an older report is that of a driver that died."""

_FINITE = ConfigDict(allow_inf_nan=False)

STARTING_WORKERS, TRAINING = "starting workers", "training"
"""Phases that the tally distinguishes: nothing is trained before the first report."""


@dataclass(frozen=True)
class PackProgress:
    """What a pack reports after an epoch: the means over its trials, and the status of each.

    trial_epochs: the sum of the epochs of the trials being trained. statuses: done, diverged, or None while a trial
    trains, in the order of the pack. warnings: what the user should know, each reported once. failure: the traceback,
    if the pack has just raised; nothing else is new then. host: the machine that trains it.
    """

    epoch: int = 0
    loss: float = math.nan
    effective_rank: float = math.nan
    trial_epochs: int = 0
    statuses: tuple[TrialStatus | None, ...] = ()
    warnings: tuple[str, ...] = ()
    failure: str = ""
    host: str = ""

    @property
    def ended(self) -> int:
        """How many of its trials have ended."""
        return sum(status is not None for status in self.statuses)

    @property
    def finished(self) -> bool:
        return bool(self.statuses) and None not in self.statuses

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as reported to Tune."""
        return asdict(self) | {"statuses": [status and status.value for status in self.statuses]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PackProgress:
        """The inverse of `to_dict`; ignores the keys that Tune adds."""
        known = {name: content[name] for name in cls.__dataclass_fields__}
        statuses = tuple(status and TrialStatus(status) for status in known["statuses"])
        return cls(**known | {"statuses": statuses, "warnings": tuple(known["warnings"])})


@dataclass(frozen=True)
class PackState:
    """A running pack: its cell (activation, width), its seeds, and the means over its trials after the last epoch.

    host: the machine that trains it; "" until it has reported.
    """

    __pydantic_config__ = _FINITE

    cell: str
    seeds: list[int]
    epoch: int
    epochs: int
    loss: float | None = None
    effective_rank: float | None = None
    host: str = ""

    def after(self, progress: PackProgress) -> PackState:
        """The pack with its latest report; None replaces values that are not finite."""
        means = {name: getattr(progress, name) for name in ("loss", "effective_rank")}
        return replace(
            self,
            epoch=progress.epoch,
            host=progress.host,
            **{name: value if math.isfinite(value) else None for name, value in means.items()},
        )


@dataclass(frozen=True)
class SweepState:
    """The progress of a sweep. counts: trials by status; epochs_per_s: epochs of single trials; eta_s: seconds left.

    share: of all epochs, from 0 to 1. host, pid, begun: of the driver's process, see `process.running.begun`; updated:
    when it last wrote this, in Unix seconds. eta_s is None until there is a measurement.
    """

    __pydantic_config__ = _FINITE

    phase: str
    counts: dict[str, int]
    elapsed_s: float
    epochs_per_s: float
    eta_s: float | None
    share: float
    packs: list[PackState]
    host: str = field(default_factory=socket.gethostname)
    pid: Annotated[int, Field(gt=0, lt=2**31)] = field(default_factory=os.getpid)
    begun: float = field(default_factory=lambda: begun(os.getpid()))
    updated: float = field(default_factory=time.time)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        return self.counts["done"] + self.counts["diverged"]

    @property
    def is_spread(self) -> bool:
        """Whether a machine other than the driver's trains."""
        return any(pack.host not in ("", self.host) for pack in self.packs)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SweepState:
        """The inverse of `as_dict`. Raises KeyError or ValueError."""
        state = _STATE.validate_python({name: content[name] for name in cls.__dataclass_fields__})
        if state.counts.keys() != {status.value for status in IN_PROGRESS}:
            raise ValueError("another version counts other statuses")
        return state

    def is_alive(self) -> bool:
        """Whether its driver is still running: on this host by its process, on another host by the time of its last report."""
        if self.host != socket.gethostname():
            return abs(time.time() - self.updated) <= STALE_S
        return is_running(self.pid, self.begun)

    def may_be_alive(self) -> bool:
        """Whether its driver may run though `is_alive` denies it: it is on another host, whose clock may be wrong."""
        return self.host != socket.gethostname() and abs(time.time() - self.updated) <= _APART_S


_STATE = TypeAdapter(SweepState)
