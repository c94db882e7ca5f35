"""What is replaced inside Ray while a sweep starts or uses it, where Ray has no setting for it. All is put back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from ray._private import ray_constants, utils
from ray._private.node import Node
from ray.exceptions import OutOfMemoryError
from ray.job_config import JobConfig


@contextlib.contextmanager
def _replaced(owner: Any, **parts: Any) -> Iterator[None]:
    """While entered, the owner has these attributes. One that another version of Ray does not have is left out: Ray then
    works as usual, only slower."""
    before = {name: getattr(owner, name) for name in parts if hasattr(owner, name)}
    for name in before:
        setattr(owner, name, parts[name])
    try:
        yield
    finally:
        for name, part in before.items():
            setattr(owner, name, part)


def without_sigterm_handler() -> contextlib.AbstractContextManager[None]:
    """Ray's handler would end this process at once."""
    return _replaced(utils, set_sigterm_handler=lambda handler: None)


@contextlib.contextmanager
def without_servers() -> Iterator[None]:
    """A Ray that is started has no process that brings what workers print to the driver, no autoscaler, and no server of the
    dashboard, which runs even if no dashboard is asked for: nothing in a sweep needs them, and starting them takes seconds.

    Where the dashboard's packages are installed, its server stays: Ray's agent would look for it once a second.
    """
    servers = ["start_log_monitor", "start_monitor"]
    if utils.get_dashboard_dependency_error() is not None:
        servers.append("start_api_server")
    with _replaced(Node, **dict.fromkeys(servers, lambda *_, **__: None)):
        yield


def without_the_working_folder() -> contextlib.AbstractContextManager[None]:
    """Ray would put the working folder first on its workers' path, whose Python files, of whoever made them, would then run
    as soon as one has the name of a module. It leaves that out for a job that has a working folder of its own."""
    return _replaced(JobConfig, _runtime_env_has_working_dir=lambda config: True)


def giving_up_without_memory(tell: Callable[[Any], None]) -> contextlib.AbstractContextManager[None]:
    """Tune gives up if Ray ends a worker because memory ran out while the worker starts, as it does if that comes later: it
    would have the next worker started in the same want of memory. tell: called with Tune's trial."""
    from ray.tune.experiment import Trial

    usual = Trial.handle_error

    def handle_error(trial: Trial, exc: Any = None) -> None:
        if isinstance(exc, OutOfMemoryError):
            tell(trial)
            raise RuntimeError from exc  # as Tune does
        usual(trial, exc)

    return _replaced(Trial, handle_error=handle_error)


def without_uv() -> contextlib.AbstractContextManager[None]:
    """Under `uv run`, Ray would pack the project's folder for its workers and have uv set up each of them anew: it refuses
    from a subfolder and above 500 MB, and takes three times as long. Left on if the user has set Ray's variable for it."""
    if "RAY_ENABLE_UV_RUN_RUNTIME_ENV" in os.environ:
        return contextlib.nullcontext()
    return _replaced(ray_constants, RAY_ENABLE_UV_RUN_RUNTIME_ENV=False)


def without_usage_tags() -> contextlib.AbstractContextManager[None]:
    """Tune does not count callbacks for Ray's usage statistics, which are off: it would import MLflow and Weights & Biases
    for that, if they are installed, which takes seconds."""
    from ray.air._internal import usage

    return _replaced(usage, tag_callbacks=lambda callbacks: False)


def in_prestarted_workers(*, local: bool) -> contextlib.AbstractContextManager[None]:
    """Tune trains in the workers that Ray starts with itself.

    It would have others started, because it gives its workers environment variables: one that only PyTorch Lightning
    reads, and the driver's own for AWS and Ray Train, which the workers of a Ray that the driver started (`local`) have
    already.
    """
    from ray.tune.execution import class_cache

    if local:
        return _replaced(class_cache, DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=set())
    return _replaced(class_cache, DEFAULT_ENV_VARS={})
