"""Tune's callbacks: they count, show and report what happens to packs, and stop Tune on a stop request."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune

from infomax_tune.follow.progress import PackProgress
from infomax_tune.on_ray.session import Session
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.pack import Pack
from infomax_tune.study.trial_status import TrialStatus

_SHOW_S, _NOTE_S = 0.25, 1.0
"""The fewest seconds between two updates of the display, and between two notes in the folder."""
_IDLE_S = 60.0
"""Seconds without a pack under way after which a person is told where to look."""


class _NotKept:
    """Pickled as an empty callback: Tune pickles callbacks to resume from them, but a sweep resumes from its folder."""

    def __reduce__(self) -> Any:
        return tune.Callback, ()


class FollowPacks(_NotKept, tune.Callback):
    """Follows packs as they start, report and end: counts and shows them, and writes progress to the sweep's folder.

    packs: Tune knows each by its place. explain: the message for a failure, from its traceback or "". ended: the statuses of a
    pack's trials that have a record. logs: the folder of what workers print.

    under_way: the running packs by Tune's id, except those that started after a stop request, which train nothing.
    failed: the packs that Tune has given up on.
    """

    def __init__(
        self,
        packs: Sequence[Pack],
        session: Session,
        *,
        explain: Callable[[str], str],
        ended: Callable[[Pack, SweepFolder], Mapping[str, TrialStatus]],
        logs: Callable[[], str],
    ) -> None:
        self.under_way: dict[str, Pack] = {}
        self.failed: list[Pack] = []
        self._packs, self._session = packs, session
        self._ended: dict[str, int] = {}
        self._failures: dict[str, str] = {}
        self._hosts: dict[str, str] = {}
        self._warned: set[str] = set()
        self._tally, self._display = session.tally, session.display
        self._explain, self._ended_of, self._logs = explain, ended, logs
        self._idle_since = time.monotonic()
        self._shown = self._noted = float("-inf")

    def _pack(self, trial: Any) -> Pack:
        return self._packs[trial.config["pack"]]

    def note_start(self, trial: Any) -> None:
        """A worker has the pack, though it may only be starting: Tune's own call comes when it has started."""
        self.under_way[trial.trial_id] = self._pack(trial)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        pack = self._pack(trial)
        self._failures.pop(trial.trial_id, None)
        if not self._session.interrupt.asked:
            self.note_start(trial)
        self._tally.begin(trial.trial_id, pack)
        self._display.detail(f"started: {pack}")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        progress = PackProgress.from_dict(result)
        self._hosts[trial.trial_id] = progress.host
        if progress.failure:
            self._failures[trial.trial_id] = progress.failure
            return
        self._tally.report(trial.trial_id, progress)
        for warning in progress.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self._display.warn(f"warning: {warning}")
        self._tell()
        if progress.ended > self._ended.get(trial.trial_id, 0):
            self._ended[trial.trial_id] = progress.ended
            self._session.feed.offer(self._pack(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if trial.trial_id in self._failures:  # in vain to try it again
            self.on_trial_error(iteration, trials, trial, **info)
            return
        self.under_way.pop(trial.trial_id, None)
        self._tally.end(trial.trial_id)
        self._display.detail(f"ended: {self._pack(trial)}")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        pack = self._pack(trial)
        self.under_way.pop(trial.trial_id, None)  # until Tune starts it again, after all that have not been tried yet
        self._display.warn(f"{pack} failed{self._elsewhere(trial)}; retrying: {self._why(trial)}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        pack = self._pack(trial)
        self.under_way.pop(trial.trial_id, None)
        self.failed.append(pack)
        self._tally.end(trial.trial_id, self._ended_of(pack, self._session.folder))
        self._display.warn(f"{pack} failed{self._elsewhere(trial)}: {self._why(trial)}")

    def _elsewhere(self, trial: Any) -> str:
        """The machine that the pack last reported from, unless it is this one."""
        host = self._hosts.get(trial.trial_id)
        return "" if host in (None, socket.gethostname()) else f" on {host}"

    def _why(self, trial: Any) -> str:
        return self._explain(self._failures.get(trial.trial_id, ""))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._tell()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        self._tell(at_once=True)

    def _tell(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self.under_way:
            self._idle_since = now
        elif now - self._idle_since > _IDLE_S and not self._session.interrupt.asked:
            self._idle_since = float("inf")  # said once
            self._display.warn(
                "no pack has started for a minute: Ray has no worker free, or cannot start one. What workers print is in "
                f"{self._logs()}"
            )
        if at_once or now - self._shown >= _SHOW_S:
            state = self._tally.state()
            self._display.show(state)
            self._shown = now
            if at_once or now - self._noted >= _NOTE_S:
                self._session.folder.driver.write_progress(state.as_dict())
                self._noted = now


class StopWhenIdle(_NotKept, tune.Stopper):
    """Stops Tune after a stop request, as soon as the running packs have written their checkpoints."""

    def __init__(self, stop_asked: Callable[[], bool], under_way: Mapping[str, Pack]) -> None:
        self._stop_asked = stop_asked
        self._under_way = under_way

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stop_asked() and not self._under_way
