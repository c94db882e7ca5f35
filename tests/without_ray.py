"""Sweeps by the command that train in this process, without Ray: quick, where neither Ray nor a process is under test.

The workers' own code trains, one pack after another. `commands/test_sweep.py` compares the bytes with those of Ray.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from infomax_tune import cli
from infomax_tune.study.pack import Pack
from tests.command import call, fork

SLOTS = 2


def sweep_here(*arguments: object, ok: bool = True, report: bool = False) -> subprocess.CompletedProcess[str]:
    """As `call`, for sweep and resume; without the report, to be quick."""
    words = arguments if report else (*arguments, "--no-report")
    with _trained_here():
        return call(*words, ok=ok)


class Started:
    """A sweep that was started so, in a process forked from this one: for a test that kills it or looks at it from outside.

    terminal: the file descriptor of a terminal that it writes to; else its output is in `stdout` and `stderr`.
    """

    def __init__(self, *arguments: object, folder: Path, terminal: int | None = None) -> None:
        self.returncode: int | None = None
        self._files = [folder / "stdout", folder / "stderr"]
        words = ["infomax-tune", *map(str, arguments), "--no-report"]

        def act() -> int:
            os.setsid()
            for number, path in zip((1, 2), self._files, strict=True):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT) if terminal is None else terminal, number)
            sys.argv = words
            sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
            try:
                with _trained_here():
                    cli.main()
            except SystemExit as end:
                return int(end.code or 0)
            finally:
                sys.stdout.flush()
            return 0

        self.pid = fork(act)

    def poll(self) -> int | None:
        return self._wait(os.WNOHANG)

    def wait(self) -> int | None:
        return self._wait(0)

    def _wait(self, how: int) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, how)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self) -> tuple[str, str]:
        """Waits for its end; what it wrote."""
        self.wait()
        out, err = (path.read_text(encoding="utf-8") for path in self._files)
        return out, err


@contextlib.contextmanager
def _trained_here() -> Iterator[None]:
    with (
        mock.patch("infomax_tune.on_ray.sweep.cluster", _cluster),
        mock.patch("infomax_tune.on_ray.fit.train_all", _train_all),
    ):
        yield


@contextlib.contextmanager
def _cluster(*arguments: object, **options: object) -> Iterator[int]:
    yield SLOTS


def _train_all(packs: Sequence[Pack], job: Any) -> None:
    from ray import tune

    from infomax_tune.on_ray.callbacks import FollowPacks
    from infomax_tune.on_ray.trainable import train_on_ray

    follow = FollowPacks(
        job.tally,
        job.display,
        job.folder,
        stop_asked=lambda: job.interrupt.asked,
        explain=str,
        ended=lambda pack: {},
        offer=job.feed.offer,
    )
    for pack in packs:
        trial = SimpleNamespace(trial_id=str(pack), config={"pack": pack.to_json()})
        follow.on_trial_start(0, [], trial)
        with mock.patch.object(
            tune, "report", lambda result, trial=trial: follow.on_trial_result(0, [], trial, result)
        ):
            train_on_ray(
                trial.config,
                datasets=job.datasets,
                out=job.folder.address,
                axes=job.axes,
                execution=job.execution,
                threads=job.options.threads,
                driver=job.driver,
                environment_missing=job.environment_missing,
            )
        follow.on_trial_complete(0, [], trial)
    follow.on_experiment_end([])
