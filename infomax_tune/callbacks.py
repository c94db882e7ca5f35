"""What Tune tells while it runs: progress for people, and when it may stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray import tune

QUIET_S = 2.0
"""Seconds between two progress lines, at least."""


@dataclass(frozen=True)
class Extent:
    """What there is to do. total, ended: trials of the sweep, and those that had ended; epochs: trial-epochs to train."""

    total: int
    ended: int
    epochs: int


class ProgressLines(tune.Callback):
    """Says how many trials have ended and what share of the epochs is behind, as packs report; failures at once.

    explain: why a pack failed.
    """

    def __init__(self, extent: Extent, explain: Callable[[dict[str, Any]], str], say: Callable[[str], None]) -> None:
        self._extent = extent
        self._explain = explain
        self._say = say
        self._packs: dict[str, dict[str, Any]] = {}
        self._begun = time.monotonic()
        self._last = float("-inf")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._packs[trial.trial_id] = result
        for warning in result.get("warnings") or []:
            self._say(f"warning: {warning}")
        self._line()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._say(f"{trial} failed: {self._explain(trial.config['pack'])}")

    def _line(self) -> None:
        ended = self._extent.ended + sum(result["ended"] for result in self._packs.values())
        now = time.monotonic()
        if now - self._last >= QUIET_S or ended == self._extent.total:
            self._last = now
            epochs = sum(result["trial_epochs"] for result in self._packs.values())
            share = 100 * epochs // max(self._extent.epochs, 1)
            self._say(f"{ended}/{self._extent.total} trials  {share}% of the epochs  {now - self._begun:.0f} s")


class StopWhenIdle(tune.Stopper):
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


class _UnderWay(tune.Callback):
    """The packs that have been started and have not ended. One that starts after the asking trains nothing."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked
        self.packs: dict[str, dict[str, Any]] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if not self._asked():
            self.packs[trial.trial_id] = trial.config["pack"]

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.packs.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.packs.pop(trial.trial_id, None)
