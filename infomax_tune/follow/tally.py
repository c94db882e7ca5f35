"""Where a sweep stands while it runs: its trials counted, its packs under way, its speed and what is left. No Ray, no printing."""

from __future__ import annotations

import math
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from infomax_tune.study.config import TrialConfig
from infomax_tune.study.cost import epoch_cost

STATES = ("done", "diverged", "failed", "running", "left")
"""What a trial can be while a sweep runs. left: not begun, or begun and to be gone on with."""

STALE_S = 30.0
"""Seconds after which a driver that tells nothing new is taken for dead."""

_WINDOW_S = 30.0
"""Over which the speed is shown."""


_Kind = tuple[str, int]
"""What an epoch's time depends on most: dataset and width."""


@dataclass(frozen=True)
class PackState:
    """A pack under way: its cell (activation, width), its seeds, and the means over its trials after the last epoch."""

    cell: str
    seeds: list[int]
    epoch: int
    epochs: int
    loss: float | None
    effective_rank: float | None


@dataclass(frozen=True)
class SweepState:
    """Where a sweep stands. counts: trials by `STATES`; epochs_per_s: epochs of single trials; eta_s: seconds left.

    host, pid: the driver's; updated: Unix seconds. eta_s is None as long as nothing can be said.
    """

    phase: str
    counts: dict[str, int]
    elapsed_s: float
    epochs_per_s: float
    eta_s: float | None
    share: float
    packs: list[PackState]
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    updated: float = field(default_factory=time.time)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        return self.counts["done"] + self.counts["diverged"]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SweepState:
        """What `as_dict` made. Raises KeyError or TypeError."""
        known: dict[str, Any] = {name: content[name] for name in cls.__dataclass_fields__}
        known["packs"] = [PackState(**pack) for pack in known["packs"]]
        return cls(**known)

    def is_alive(self) -> bool:
        """Whether its driver is still at work: on this host by its pid, on another by how long ago it told so."""
        if abs(time.time() - self.updated) > STALE_S:
            return False
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:  # another user's
            return True
        return True


@dataclass
class _Pack:
    """A pack under way. reported: when it last was, and the trial-epochs then behind it."""

    trials: Sequence[TrialConfig]
    reported: tuple[float, int | None]
    state: PackState


class Tally:
    """Keeps count of a sweep's trials as packs begin, report and end.

    trials: all of the sweep; ended: the status, done or diverged, of those that have a record.
    slots: packs at once. clock: seconds, for the tests to move.
    """

    def __init__(self, trials: Sequence[TrialConfig], ended: Mapping[str, str], clock: Any = time.monotonic) -> None:
        self.slots = 1
        self.phase = ""
        self._clock = clock
        self._begun = clock()
        self._configs = {config.trial_id: config for config in trials}
        self._states = {trial_id: ended.get(trial_id, "left") for trial_id in self._configs}
        self._to_train = {config.trial_id: config.training.epochs for config in trials if config.trial_id not in ended}
        self._packs: dict[str, _Pack] = {}
        self._spent: dict[_Kind, tuple[float, int]] = {}
        """Per kind, pack-seconds and trial-epochs; in `_spent_first` those of first epochs, which hold a pack's start."""
        self._spent_first: dict[_Kind, tuple[float, int]] = {}
        self._epochs = 0
        self._recent: deque[tuple[float, int]] = deque()

    def begin(self, key: str, trials: Sequence[TrialConfig]) -> None:
        """A pack has begun; Tune calls it `key`."""
        first = trials[0]
        seeds = [config.training.seed for config in trials]
        state = PackState(first.cell, seeds, 0, first.training.epochs, None, None)
        self._packs[key] = _Pack(trials, (self._clock(), None), state)
        if not self._recent:
            self._recent.append((self._clock(), 0))
        self._mark(trials, "running")

    def report(self, key: str, result: Mapping[str, Any]) -> None:
        """A pack has trained an epoch; `result` is its `Progress`."""
        pack = self._packs.get(key)
        if pack is None:
            return
        now, behind = self._clock(), result["trial_epochs"]
        then, before = pack.reported
        # what is behind a pack at its first report may be of an earlier run, but for one epoch
        fresh = len(pack.trials) if before is None else max(0, behind - before)
        kind = _kind(pack.trials[0])
        spent = self._spent_first if before is None else self._spent
        seconds, epochs = spent.get(kind, (0.0, 0))
        spent[kind] = seconds + now - then, epochs + fresh
        self._epochs += fresh
        pack.reported = now, behind
        for config, status in zip(pack.trials, result["statuses"], strict=True):
            if status:
                self._states[config.trial_id] = status
        pack.state = replace(
            pack.state,
            epoch=result["epoch"],
            loss=_finite(result["loss"]),
            effective_rank=_finite(result["effective_rank"]),
        )

    def end(self, key: str, ended: Mapping[str, str] | None = None) -> None:
        """A pack has ended. ended: given if it failed, the status of those of its trials that had ended before."""
        pack = self._packs.pop(key, None)
        if pack is not None:
            self._states |= ended or {}
            self._mark(pack.trials, "left" if ended is None else "failed")

    def _mark(self, trials: Sequence[TrialConfig], state: str) -> None:
        for config in trials:
            if self._states[config.trial_id] not in ("done", "diverged"):
                self._states[config.trial_id] = state

    def state(self) -> SweepState:
        now = self._clock()
        counts = Counter(self._states.values())
        total = sum(self._to_train.values())
        remaining = self._remaining()
        behind = total - sum(remaining.values())
        return SweepState(
            self.phase,
            {state: counts[state] for state in STATES},
            now - self._begun,
            self._speed(now),
            self._eta(remaining),
            behind / total if total else 1.0,
            [pack.state for pack in self._packs.values()],
        )

    def _speed(self, now: float) -> float:
        """Trial-epochs a second over the last while."""
        if not self._recent:
            return 0.0
        self._recent.append((now, self._epochs))
        while len(self._recent) > 2 and now - self._recent[1][0] > _WINDOW_S:
            self._recent.popleft()
        then, before = self._recent[0]
        return (self._epochs - before) / (now - then) if now > then else 0.0

    def _remaining(self) -> Counter[_Kind]:
        """Epochs of single trials that are still to be trained, by cost class."""
        remaining: Counter[_Kind] = Counter()
        under_way = {config.trial_id: pack for pack in self._packs.values() for config in pack.trials}
        for trial_id, epochs in self._to_train.items():
            if self._states[trial_id] not in ("done", "diverged"):  # those that failed may be tried again
                pack = under_way.get(trial_id)
                behind = pack.state.epoch if pack else 0
                remaining[_kind(self._configs[trial_id])] += max(0, epochs - behind)
        return remaining

    def _eta(self, remaining: Mapping[_Kind, int]) -> float | None:
        """Seconds until the last pack ends, from the seconds an epoch took: measured, or scaled from the measured ones."""
        spent = self._spent_first | self._spent
        measured = {kind: seconds / epochs for kind, (seconds, epochs) in spent.items() if epochs}
        if not measured:
            return None
        pace = sum(measured.values()) / sum(epoch_cost(*kind) for kind in measured)
        each = {kind: measured.get(kind, pace * epoch_cost(*kind)) for kind in remaining}
        everything = sum(count * each[kind] for kind, count in remaining.items()) / max(1, self.slots)
        last = max(
            (
                (pack.state.epochs - pack.state.epoch) * len(pack.trials) * each.get(_kind(pack.trials[0]), 0.0)
                for pack in self._packs.values()
            ),
            default=0.0,
        )
        return max(everything, last)


def _kind(config: TrialConfig) -> _Kind:
    return config.data.dataset, config.model.hidden_dim


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
