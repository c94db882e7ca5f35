"""Starts and ends Ray: joins a cluster or starts one here, and counts its slots, the packs it can train at once."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import _raylet
from ray.job_config import JobConfig

from infomax_tune.errors import ResourceError
from infomax_tune.on_ray import joining
from infomax_tune.on_ray.patches import without_servers, without_the_working_folder, without_uv
from infomax_tune.on_ray.ray_processes import kept_from_signals, kill, shut_down
from infomax_tune.process import granted
from infomax_tune.study.options import LEAST, Options

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage statistics leave this machine
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # our handler lets packs finish their epochs and says how to resume
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store keeps everything; Tune's files would duplicate it
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # rarely: Tune's own state is never read again
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",  # a slow write of it is not worth a warning
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's new output prints even when it is told not to
    # on a busy machine Ray says late why a worker is gone; after a second it would only say that it is, and a worker that
    # was ended for want of memory, or an innocent one beside it, would count as one that died by itself
    "RAY_timeout_ms_task_wait_for_death_info": "60000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's future default, which it warns about
}
_LOCAL_SETTINGS = {
    "RAY_enable_metrics_collection": "0",  # a port that asks for no token, on all network interfaces
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # a local cluster that has lost its head node does not come back
}
_REFUSED = ("TUNE_RESULT_DIR", "RAY_AIR_LOCAL_CACHE_DIR")
"""Tune raises an error if one of them is set, though it uses none."""
_PRELOADING = {
    # the workers that Ray starts with itself, one for each CPU, import what training needs while the driver goes on
    "RAY_preload_python_modules": "infomax_tune.on_ray.preload",
    "RAY_idle_worker_killing_time_threshold_ms": "60000",  # it would end them after a second without a pack
}
_SOCKET = "session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
"""The longest path of a Ray socket below its folder."""
_LONGEST_SOCKET = 107 if sys.platform == "linux" else 103
"""The most bytes that the system allows in a socket path."""


@contextlib.contextmanager
def cluster(
    options: Options,
    log: Path,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = lambda line: None,
    *,
    trials: int = 0,
) -> Iterator[int]:
    """Joins or starts Ray, and yields how many packs it can train at once. On leaving, ends what it started.

    log: the file for Ray's own messages, one of which says where its workers' output is. say: called if Ray's files are
    not in the usual place. warn: called if the head of a cluster that was joined stops answering. trials: how
    many are to be trained.
    Raises ResourceError if there is no cluster, or if none of its machines can ever train a pack.
    """
    if ray.is_initialized():
        raise ResourceError(
            "Ray is already running in this process; call ray.shutdown() first, or start another process."
        )
    if options.address:
        joining.check(options.address)
    with _process_as_it_was(), contextlib.ExitStack() as stack:
        folder = None
        if not options.address:
            _give_token()
            folder = _short_folder(stack, say)
        yield from _joined(options, log, folder, warn, trials)


@contextlib.contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Undoes what is changed for Ray in this process, or by it: environment variables, logger."""
    environment, logger = dict(os.environ), logging.getLogger("ray")
    level, propagate, handlers = logger.level, logger.propagate, list(logger.handlers)
    refused = {name: os.environ.pop(name) for name in _REFUSED if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(refused)
        for name in set(os.environ) - set(environment):
            if name.startswith(("RAY_", "TUNE_", "PYTHONBREAKPOINT")):
                del os.environ[name]
        _read_token_again()
        logger.level, logger.propagate, logger.handlers = level, propagate, handlers


def _give_token() -> None:
    """Sets a token in the environment for our own cluster, unless the user has set one.

    From 2.59 on, Ray's ports require a token. Ray would keep one in a file in the user's home, which may not be
    writable.
    """
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        _read_token_again()


def _read_token_again() -> None:
    """Makes Ray reread RAY_AUTH_TOKEN and RAY_AUTH_MODE, which it reads only once per process."""
    raylet: Any = _raylet
    if hasattr(raylet, "AuthenticationTokenLoader"):  # Ray 2.52 and newer
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def _short_folder(stack: contextlib.ExitStack, say: Callable[[str], None]) -> str | None:
    """A folder for Ray's files, removed with the stack, if its socket paths would be too long in the default place, or that
    is another user's; else None."""
    variables = ("RAY_TMPDIR", "TMPDIR") if sys.platform == "linux" else ("RAY_TMPDIR",)
    usual = next((os.environ[name] for name in variables if name in os.environ), "/tmp")  # noqa: S108 - as Ray does
    there = Path(usual, "ray")
    if len(os.fsencode(f"{there}/{_SOCKET}")) > _LONGEST_SOCKET:
        why = f"its socket paths would be too long under {usual}"
    elif there.exists() and not os.access(there, os.W_OK | os.X_OK):
        why = f"{there} belongs to another user"
    else:
        return None
    try:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True))
    except OSError as error:
        raise ResourceError(
            f"cannot start Ray here: {why}, and it cannot write to /tmp ({error.strerror}); set RAY_TMPDIR to a folder of "
            "yours with a short path."
        ) from None
    say(f"note: Ray's files are in {folder} while it runs: {why}")
    return folder


def _joined(options: Options, log: Path, folder: str | None, warn: Callable[[str], None], trials: int) -> Iterator[int]:
    settings = _SETTINGS if options.address else _SETTINGS | _LOCAL_SETTINGS
    if not options.address and _every_cpu_trains(options, trials):
        settings |= _PRELOADING
    os.environ.update({name: value for name, value in settings.items() if name not in os.environ})
    started: list[psutil.Process] = []
    servers = contextlib.nullcontext() if options.address else without_servers()
    try:
        with kept_from_signals() as started, servers, without_the_working_folder(), without_uv():
            context = ray.init(
                address=options.address or "local",  # not a cluster that happens to run on this machine
                num_cpus=None if options.address else granted.cpus(),  # Ray would take all that the machine has
                include_dashboard=None if options.address else False,
                log_to_driver=False,  # what workers print stays in Ray's own log files
                logging_level=logging.CRITICAL,  # we report failures ourselves, once
                job_config=JobConfig(_py_driver_sys_path=_own_folders()),
                _temp_dir=folder,
            )
    except Exception as error:  # noqa: BLE001 - Ray raises plain ones too, if it could not start in time
        kill(started)
        where = f"cannot join the Ray cluster at {options.address}" if options.address else "cannot start Ray here"
        raise ResourceError(f"{where}: {str(error).strip().splitlines()[0]}.") from None
    try:
        _to_file(log)
        info = getattr(context, "address_info", {})
        session = info.get("session_dir", "the Ray session's folder")
        logging.getLogger("ray").info("the workers' output is under %s/logs", session)
        with contextlib.ExitStack() as stack:
            if options.address and "gcs_address" in info:
                stack.enter_context(joining.watching(info["gcs_address"], warn))
            yield _slots(options)
    finally:
        _end(started)


def _own_folders() -> list[str]:
    """The program's folder and the working folder, where this process looks for modules too: parts may need those there."""
    ours = set(map(os.path.abspath, sys.path))
    return [folder for folder in (os.path.dirname(os.path.realpath(sys.argv[0])), os.getcwd()) if folder in ours]  # noqa: PTH109, PTH120


def _every_cpu_trains(options: Options, trials: int) -> bool:
    """Whether each CPU will have a pack: a worker that has imported torch holds 400 MB."""
    one_each = options.max_concurrent is None and options.cpus_per_pack <= 1 and not options.gpus_per_pack
    return one_each and trials >= granted.cpus()


def _end(started: list[psutil.Process]) -> None:
    gc.collect()  # Ray would end this process if a reference to one of its objects were dropped after shutdown
    shut_down(started)
    for handler in logging.getLogger("ray").handlers:
        with contextlib.suppress(OSError):  # a full disk
            handler.close()


def _to_file(log: Path) -> None:
    """Appends Ray's log messages to a file, and sends them nowhere else."""
    logger, handler = logging.getLogger("ray"), logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    # Tune looks for result files of its own, which a sweep does not write
    handler.addFilter(lambda record: "Failed to fetch metrics" not in str(record.msg))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def packs_on(node: Mapping[str, float], options: Options) -> int:
    """How many packs a machine with these resources of Ray's can train at once. A share of a GPU is all of one GPU."""
    cpu, gpu = (round(amount / LEAST) for amount in (options.cpus_per_pack, options.gpus_per_pack))
    whole = round(1 / LEAST)
    fit = round(node.get("CPU", 0) * whole) // cpu
    if gpu:
        gpus = int(node.get("GPU", 0))
        fit = min(fit, gpus * (whole // gpu) if gpu < whole else gpus * whole // gpu)
    return fit


def _slots(options: Options) -> int:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    slots = sum(packs_on(node, options) for node in nodes)
    if slots == 0:
        cpus, gpus = (max(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
        raise ResourceError(
            f"one pack needs {options.cpus_per_pack:g} CPUs and {options.gpus_per_pack:g} GPUs, but no machine in the "
            f"cluster has that many (the most: {cpus:g} CPUs, {gpus:g} GPUs); lower --cpus-per-pack or --gpus-per-pack."
        )
    return slots
