"""What Tune tells while it runs: progress for people and for `status`, and when it may stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune

from infomax_tune.follow.display import Display, spans
from infomax_tune.follow.tally import Tally
from infomax_tune.packs.packing import from_pack
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.config import TrialConfig

_SHOW_S, _LEAVE_S = 0.25, 1.0
"""Seconds between two looks at the display, and between two notes in the store, at least."""


class _NotKept:
    """Tune pickles what it is given, to resume from it. A sweep resumes from its store: these have nothing to keep."""

    def __reduce__(self) -> Any:
        return tune.Callback, ()


class Follow(_NotKept, tune.Callback):
    """Counts packs as they begin, report and end; shows where the sweep stands, and leaves it in the store.

    explain: why a pack failed. ended: the status of those trials that have a record.
    """

    def __init__(
        self,
        tally: Tally,
        display: Display,
        store: SweepFolder,
        explain: Callable[[Sequence[TrialConfig]], str],
        ended: Callable[[Sequence[TrialConfig]], Mapping[str, str]],
    ) -> None:
        self._tally, self._display, self._store = tally, display, store
        self._explain, self._ended = explain, ended
        self._shown = self._left = float("-inf")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        pack = from_pack(trial.config["pack"])
        self._tally.begin(trial.trial_id, pack)
        self._display.detail(f"begins: {_name(pack)}")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._tally.report(trial.trial_id, result)
        for warning in result.get("warnings") or []:
            self._display.warn(f"warning: {warning}")
        self._tell()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._tally.end(trial.trial_id)
        self._display.detail(f"ended: {_name(from_pack(trial.config['pack']))}")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        pack = from_pack(trial.config["pack"])
        self._display.warn(f"{_name(pack)} failed, and is tried again: {self._explain(pack)}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        pack = from_pack(trial.config["pack"])
        self._tally.end(trial.trial_id, self._ended(pack))
        self._display.warn(f"{_name(pack)} failed: {self._explain(pack)}")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._tell()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        self._tell(at_once=True)

    def _tell(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if at_once or now - self._shown >= _SHOW_S:
            state = self._tally.state()
            self._display.show(state)
            self._shown = now
            if at_once or now - self._left >= _LEAVE_S:
                self._store.write_progress(state.as_dict())
                self._left = now


def _name(pack: Sequence[TrialConfig]) -> str:
    return f"{pack[0].cell}, {'seeds' if len(pack) > 1 else 'seed'} {spans([config.training.seed for config in pack])}"


class Offer(_NotKept, tune.Callback):
    """Offers a pack's trials to whom the finished ones go, whenever more of them have ended."""

    def __init__(self, offer: Callable[[Sequence[TrialConfig]], None]) -> None:
        self._offer = offer
        self._ended: dict[str, int] = {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        ended = len(result["statuses"]) - result["statuses"].count(None)
        if ended > self._ended.get(trial.trial_id, 0):
            self._ended[trial.trial_id] = ended
            self._offer(from_pack(trial.config["pack"]))


class StopWhenIdle(_NotKept, tune.Stopper):
    """Once it is asked to, ends the sweep as soon as the packs under way have left their checkpoints.

    asked: whether to stop. `watch` is the callback that has to be given to Tune beside it.
    """

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked
        self.watch = _UnderWay(asked)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._asked() and not self.watch.packs


class _UnderWay(_NotKept, tune.Callback):
    """The packs that have been started and have not ended, and those that failed. One that starts after the asking
    trains nothing."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked
        self.packs: dict[str, dict[str, Any]] = {}
        self.failed: list[dict[str, Any]] = []

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if not self._asked():
            self.packs[trial.trial_id] = trial.config["pack"]

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.packs.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.packs.pop(trial.trial_id, None)
        self.failed.append(trial.config["pack"])
