"""Sweeps by the command that train in this process, without Ray: quick, where neither Ray nor a process is under test.

Only the cluster and Tune are replaced. `commands/test_sweep.py` compares the bytes with those of Ray.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from infomax_tune import cli
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
    import ray.tune  # slow

    with (
        mock.patch("infomax_tune.on_ray.sweep.cluster", _cluster),
        mock.patch.multiple(
            ray.tune,
            Tuner=_Tuner,
            with_parameters=functools.partial,
            with_resources=lambda trainable, resources: trainable,
        ),
    ):
        yield


@contextlib.contextmanager
def _cluster(*arguments: object, **options: object) -> Iterator[int]:
    yield SLOTS


class _Tuner:
    """Trains one pack after another in this process, and calls what Tune would call."""

    def __init__(self, trainable: Any, *, param_space: Any, run_config: Any, **options: object) -> None:
        self._trainable, self._packs, self._callbacks = (
            trainable,
            param_space["pack"]["grid_search"],
            run_config.callbacks,
        )

    def fit(self) -> None:
        for number, pack in enumerate(self._packs):
            trial = SimpleNamespace(trial_id=str(number), config={"pack": pack})
            self._call("on_trial_start", trial=trial)

            def report(result: dict[str, Any], trial: SimpleNamespace = trial) -> None:
                self._call("on_trial_result", trial=trial, result=result)

            with mock.patch("ray.tune.report", report):
                try:
                    self._trainable(trial.config)
                except Exception:  # noqa: BLE001 - as in a worker: the pack has reported it
                    self._call("on_trial_error", trial=trial)
                else:
                    self._call("on_trial_complete", trial=trial)
        self._call("on_experiment_end")

    def _call(self, name: str, **given: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, name)(**({"iteration": 0} if given else {}), trials=[], **given)
