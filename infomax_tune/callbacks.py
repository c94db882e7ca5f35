"""What Tune tells while it runs, turned into progress for people."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray import tune

QUIET_S = 2.0
"""Seconds between two progress lines, at least."""


class ProgressLines(tune.Callback):
    """Says how many trials have ended and what share of the epochs is behind, as packs report; failures at once.

    total, ended: trials of the sweep, and those that had ended before it began. epochs: trial-epochs to train.
    """

    def __init__(self, total: int, ended: int, epochs: int, say: Callable[[str], None]) -> None:
        self._total = total
        self._ended_before = ended
        self._epochs = epochs
        self._packs: dict[str, dict[str, Any]] = {}
        self._say = say
        self._begun = time.monotonic()
        self._last = float("-inf")
        self._traced = False

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._packs[trial.trial_id] = result
        for warning in result.get("warnings") or []:
            self._say(f"warning: {warning}")
        if error := result.get("error"):
            self._say(f"{trial} failed: {error.strip().splitlines()[-1]}")
            if not self._traced:
                self._say(error)
            self._traced = True
        if not result.get("finished"):
            self._line()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._say(f"{trial} failed: its worker died")

    def _line(self) -> None:
        ended = self._ended_before + sum(result["ended"] for result in self._packs.values())
        now = time.monotonic()
        if now - self._last >= QUIET_S or ended == self._total:
            self._last = now
            epochs = sum(result["trial_epochs"] for result in self._packs.values())
            share = 100 * epochs // max(self._epochs, 1)
            self._say(f"{ended}/{self._total} trials  {share}% of the epochs  {now - self._begun:.0f} s")
