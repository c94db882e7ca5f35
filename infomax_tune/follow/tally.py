"""Keeps count while a sweep runs: trials by status, running packs, speed and time left. No Ray, no printing."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from infomax_tune.follow.progress import STARTING_WORKERS, TRAINING, PackProgress, PackState, SweepState
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.cost import epoch_cost
from infomax_tune.study.pack import Pack
from infomax_tune.study.trial_status import IN_PROGRESS, TrialStatus

_WINDOW_S = 30.0
"""The time over which the displayed speed is averaged, in seconds."""


_Kind = tuple[str, int]
"""What determines most of an epoch's time: dataset and width."""


@dataclass
class _PackUnderWay:
    """A running pack. reported_at: the time of its last report; trial_epochs: as in that report; starts_worker: whether the
    time to its first report includes the start of a worker."""

    pack: Pack
    state: PackState
    reported_at: float
    starts_worker: bool
    trial_epochs: int | None = None


@dataclass
class _Spent:
    """What packs of one kind have taken so far: seconds of packs, and the epochs of single trials that they trained."""

    seconds: float = 0.0
    epochs: int = 0


class Tally:
    """Counts a sweep's trials as packs start, report and end.

    trials: all of the sweep; ended: the status, done or diverged, of those that have a record. clock: returns seconds.
    slots: how many packs train at once. phase: what the sweep is doing.
    """

    def __init__(
        self,
        trials: Iterable[TrialConfig],
        ended: Mapping[str, TrialStatus],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = 1
        self.phase = ""
        self._clock = clock
        self._begun = clock()
        self._configs = {config.trial_id: config for config in trials}
        self._statuses = {trial_id: ended.get(trial_id, TrialStatus.LEFT) for trial_id in self._configs}
        self._to_train = {
            trial_id: config.training.epochs for trial_id, config in self._configs.items() if trial_id not in ended
        }
        self._packs: dict[str, _PackUnderWay] = {}
        self._packs_begun = 0
        self._spent: dict[_Kind, _Spent] = {}
        self._spent_first: dict[_Kind, _Spent] = {}
        """The same for the first epoch of each pack, which includes the pack's start, but not the start of a worker."""
        self._epochs = 0
        self._recent: deque[tuple[float, int]] = deque()
        """The times at which the speed was computed, each with the epochs trained by then."""

    def begin(self, key: str, pack: Pack) -> None:
        """A pack has started. key: Tune's id for it."""
        state = PackState(pack.cell, pack.seeds, 0, pack.config.training.epochs)
        self._packs[key] = _PackUnderWay(pack, state, self._clock(), starts_worker=self._packs_begun < self.slots)
        self._packs_begun += 1
        if not self._recent:
            self._recent.append((self._clock(), 0))
        self._mark(pack, TrialStatus.RUNNING)

    def report(self, key: str, progress: PackProgress) -> None:
        """A pack has trained an epoch."""
        under_way = self._packs.get(key)
        if under_way is None:
            return
        if self.phase == STARTING_WORKERS:
            self.phase = TRAINING
        now = self._clock()
        before = under_way.trial_epochs
        # at a pack's first report, all but one of its epochs may come from its checkpoint
        fresh = len(under_way.pack) if before is None else max(0, progress.trial_epochs - before)
        if before is not None or not under_way.starts_worker:
            spent_by_kind = self._spent_first if before is None else self._spent
            spent = spent_by_kind.setdefault(_kind(under_way.pack.config), _Spent())
            spent.seconds += now - under_way.reported_at
            spent.epochs += fresh
        self._epochs += fresh
        under_way.reported_at, under_way.trial_epochs = now, progress.trial_epochs
        for config, status in zip(under_way.pack, progress.statuses, strict=True):
            if status:
                self._statuses[config.trial_id] = status
        under_way.state = under_way.state.after(progress)

    def end(self, key: str, ended: Mapping[str, TrialStatus] | None = None) -> None:
        """A pack has ended. ended: only if it failed, the statuses of those of its trials that have a record."""
        under_way = self._packs.pop(key, None)
        if under_way is not None:
            self._statuses |= ended or {}
            self._mark(under_way.pack, TrialStatus.LEFT if ended is None else TrialStatus.FAILED)

    def _mark(self, pack: Pack, status: TrialStatus) -> None:
        for config in pack:
            if not self._statuses[config.trial_id].has_ended:
                self._statuses[config.trial_id] = status

    def state(self) -> SweepState:
        now = self._clock()
        counts = Counter(self._statuses.values())
        total = sum(self._to_train.values())
        remaining = self._remaining()
        behind = total - sum(remaining.values())
        return SweepState(
            phase=self.phase,
            counts={status.value: counts[status] for status in IN_PROGRESS},
            elapsed_s=now - self._begun,
            epochs_per_s=self._speed(now),
            eta_s=self._eta(remaining),
            share=behind / total if total else 1.0,
            packs=[under_way.state for under_way in self._packs.values()],
        )

    def _speed(self, now: float) -> float:
        """Epochs of single trials per second, over the last `_WINDOW_S`."""
        if not self._recent:
            return 0.0
        self._recent.append((now, self._epochs))
        while len(self._recent) > 2 and now - self._recent[1][0] > _WINDOW_S:
            self._recent.popleft()
        then, before = self._recent[0]
        return (self._epochs - before) / (now - then) if now > then else 0.0

    def _remaining(self) -> Counter[_Kind]:
        """Epochs of single trials that are still to be trained, by kind."""
        remaining: Counter[_Kind] = Counter()
        behind = {config.trial_id: each.state.epoch for each in self._packs.values() for config in each.pack}
        for trial_id, epochs in self._to_train.items():
            if not self._statuses[trial_id].has_ended:  # a failed trial may be retried
                remaining[_kind(self._configs[trial_id])] += max(0, epochs - behind.get(trial_id, 0))
        return remaining

    def _eta(self, remaining: Mapping[_Kind, int]) -> float | None:
        """Seconds until the last pack ends, from each kind's seconds per epoch: measured, or scaled from what was measured."""
        spent = self._spent_first | self._spent  # a pack's later epochs, once there are some, say more than its first
        measured = {kind: each.seconds / each.epochs for kind, each in spent.items() if each.epochs}
        if not measured:
            return None
        pace = sum(measured.values()) / sum(epoch_cost(*kind) for kind in measured)
        epoch_s = {kind: measured.get(kind, pace * epoch_cost(*kind)) for kind in remaining}
        spread_over_slots = sum(count * epoch_s[kind] for kind, count in remaining.items()) / max(1, self.slots)
        under_way = [
            (each.state.epochs - each.state.epoch) * len(each.pack) * epoch_s.get(_kind(each.pack.config), 0.0)
            for each in self._packs.values()
        ]
        return max(spread_over_slots, *under_way, 0.0)


def _kind(config: TrialConfig) -> _Kind:
    return config.data.dataset, config.model.hidden_dim
