"""Many tasks of a few seconds each, such as measuring every finished trial: on Ray if that saves time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.options import Options

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

LONG_S = 30.0
"""Seconds of work from which on Ray is started: it takes some itself."""


def spread(
    function: Callable[[_Task, Any], _Result],
    tasks: Sequence[_Task],
    shared: Any,
    folder: SweepFolder,
    options: Options,
) -> Iterator[tuple[_Task, _Result]]:
    """Yields each task with function(task, shared), as they end. The first is done here, which shows how long they take; if
    the others would take long, or a cluster is given, they are done on Ray.

    Raises what the function raises, and ResourceError like `cluster`.
    """
    begun = time.monotonic()
    for task in tasks[:1]:
        yield task, function(task, shared)
    rest = tasks[1:]
    if not rest or not (options.address or (time.monotonic() - begun) * len(rest) > LONG_S):
        for task in rest:
            yield task, function(task, shared)
        return

    import ray  # slow, as is what imports it
    from ray.exceptions import RayTaskError

    from infomax_tune.on_ray.cluster import cluster

    with folder.files_here(), cluster(options, folder.ray_log, trials=len(rest)):
        given = ray.put(shared)
        remote = ray.remote(num_cpus=options.cpus_per_pack, max_retries=options.max_failures)(function)
        waiting = {remote.remote(task, given): task for task in rest}
        while waiting:
            (ended, *_), _ = ray.wait(list(waiting))
            task = waiting.pop(ended)
            try:
                result = ray.get(ended)
            except RayTaskError as error:
                raise error.cause from None
            yield task, result
