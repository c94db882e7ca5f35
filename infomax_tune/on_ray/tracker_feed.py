"""Logs the finished trials of a sweep to its trackers while others train."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from infomax_tune.follow.display import Display
from infomax_tune.on_ray.trackers import PATIENCE_S, Tracker, tracker_named
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan

GRACE_S = 10
"""Seconds that a sweep that fails or is stopped waits for the logging in progress."""

_LOOK_S = 0.2
"""Seconds between two looks while it is waited for."""


class TrackerFeed:
    """The trackers of a sweep, and the thread that feeds them: MLflow's own database takes seconds for a long trial.

    loggers: names out of `options.LOGGERS`.
    """

    def __init__(
        self,
        space: str,
        plan: Plan,
        folder: SweepFolder,
        loggers: Sequence[str],
        display: Display,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._display = display
        self._trackers = [tracker_named(name, space, folder) for name in loggers]
        self._offered: set[str] = set()
        self._queue: queue.SimpleQueue[TrialConfig | None] = queue.SimpleQueue()
        self._abandoned = False
        self._waiting_for, self._since = "", time.monotonic()
        """The tracker at work, and since when it is at this trial."""

    def needs_ray(self) -> bool:
        """Whether a tracker that needs Ray lacks a trial: otherwise a sweep with nothing to train does not start
        Ray."""
        return any(tracker.on_ray and tracker.left(self._plan) for tracker in self._trackers)

    @contextlib.contextmanager
    def at_work(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Logs the trials that already have a record, those offered meanwhile, and on leaving all that have one by
        then.

        should_stop: asked before each trial. A tracker that raises is skipped from then on, with a warning.
        """
        trackers = [tracker for tracker in self._trackers if not tracker.has_all(self._plan)]
        if not trackers:
            yield
            return
        thread = threading.Thread(target=self._work, args=(trackers, should_stop), name="trackers", daemon=True)
        self.offer(self._plan)
        thread.start()
        try:
            yield
            self.offer(self._plan)  # those whose end was not reported
            self._queue.put(None)
            if self._queue.qsize() > 1 and not should_stop():
                self._display.say(f"logging trials to {', '.join(tracker.name for tracker in trackers)}")
            self._wait(thread, trackers, should_stop)
        except BaseException:
            self._abandoned = True
            self._queue.put(None)
            thread.join(GRACE_S)
            self._let_go(thread, trackers)
            raise

    def hand_over_all(self, should_stop: Callable[[], bool]) -> None:
        """Logs every trial that has a record, while no trial trains."""
        with self.at_work(should_stop):
            pass

    def offer(self, trials: Iterable[TrialConfig]) -> None:
        """Queues the trials that have a record, each only once."""
        for config in trials if self._trackers else ():
            if config.trial_id not in self._offered and self._folder.trial(config.trial_id).has_record():
                self._offered.add(config.trial_id)
                self._queue.put(config)

    def _wait(self, thread: threading.Thread, trackers: Sequence[Tracker], should_stop: Callable[[], bool]) -> None:
        """Until the trials are logged, or a tracker has been at one for too long; what it lacks then, the next run gives it."""
        begun = wanted = time.monotonic()
        while thread.is_alive() and not self._abandoned:
            thread.join(_LOOK_S)
            now = time.monotonic()
            wanted = wanted if should_stop() else now
            self._abandoned = now - max(begun, self._since) > PATIENCE_S or now - wanted > GRACE_S
        if thread.is_alive():
            self._display.warn(f"warning: --logger {self._waiting_for} does not answer, and is not waited for")
            self._let_go(thread, trackers)
        for tracker in trackers:
            self._display.say(tracker.summary(self._plan))

    def _let_go(self, thread: threading.Thread, trackers: Sequence[Tracker]) -> None:
        """What a tracker holds of Ray's must not outlive Ray, which would end this process."""
        for tracker in trackers:
            if tracker.on_ray and thread.is_alive():
                tracker.abandon()
                thread.join(GRACE_S)

    def _work(self, trackers: Sequence[Tracker], should_stop: Callable[[], bool]) -> None:
        with contextlib.ExitStack() as stack:
            for tracker in trackers:
                stack.enter_context(tracker.leaving_no_trace())
            for tracker in trackers:
                self._attempt(tracker, tracker.open)
            while (config := self._queue.get()) is not None:
                for tracker in trackers:
                    if not (should_stop() or self._abandoned):
                        self._attempt(tracker, tracker.give, config)
            for tracker in trackers:
                self._attempt(tracker, tracker.close)
                tracker.forget()

    def _attempt(self, tracker: Tracker, step: Callable[..., None], *arguments: TrialConfig) -> None:
        if tracker.failed:
            return
        self._waiting_for, self._since = tracker.name, time.monotonic()
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 - a tracker that fails must not fail the sweep
            tracker.failed = True
            if not self._abandoned:
                reason = f"{type(error).__name__}: {tracker.reason(error)}"
                self._display.warn(
                    f"warning: --logger {tracker.name} is skipped from now on; the sweep continues: {reason}"
                )
