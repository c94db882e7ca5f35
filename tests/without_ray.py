"""Sweeps by the command that train in this process, without Ray: quick, where neither Ray nor a process is under test.

The workers' own code trains, one pack after another. `commands/test_sweep.py` compares the bytes with those of Ray.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

from infomax_tune.study.pack import Pack
from tests.command import call

SLOTS = 2


def sweep_here(*arguments: object, ok: bool = True, report: bool = False) -> subprocess.CompletedProcess[str]:
    """As `call`, for sweep and resume; without the report, to be quick."""
    words = arguments if report else (*arguments, "--no-report")
    with (
        mock.patch("infomax_tune.on_ray.sweep.cluster", _cluster),
        mock.patch("infomax_tune.on_ray.fit.train_all", _train_all),
    ):
        return call(*words, ok=ok)


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
