"""The TensorBoard runs of a sweep whose folder is in an object store, made on this machine.

Nothing can be appended to an object, so a worker writes no run there. What TensorBoard shows is made here from the
records and checkpoints, and remade whenever a trial has a newer one.
"""

from __future__ import annotations

from collections.abc import Sequence

from infomax_tune.errors import DamagedFileError, StoreError
from infomax_tune.follow.tensorboard_runs import TrialRun
from infomax_tune.store.files import for_each
from infomax_tune.store.record import Record


class RunsHere:
    """The runs of these trials, whose run folders are on this machine. Call it to bring them up to date."""

    def __init__(self, trials: Sequence[TrialRun]) -> None:
        self._left = list(trials)
        self._shown: dict[str, int] = {}
        """For each unfinished trial, the epoch that its run reaches."""

    def __call__(self) -> list[str]:
        """Makes the runs that are missing or outdated. Returns what could not be read or written, in sentences."""
        if not self._left:
            return []
        results = for_each(self._update, self._left, self._left[0].folder.path)
        told = dict(zip([trial.run.config.trial_id for trial in self._left], results, strict=True))
        self._left = [trial for trial in self._left if told[trial.run.config.trial_id] is not None]
        return [problem for problem in told.values() if problem]

    def _update(self, trial: TrialRun) -> str | None:
        """None if the trial's run is complete, else why it could not be made, "" if nothing went wrong."""
        trial_id = trial.run.config.trial_id
        try:
            kept = trial.folder.kept()
            if kept is not None and kept.epoch != self._shown.get(trial_id):
                trial.run.make(trial.folder)
                self._shown[trial_id] = kept.epoch
        except DamagedFileError:
            return ""  # `status` and `verify` report it
        except StoreError as error:
            return str(error)
        return None if isinstance(kept, Record) else ""
