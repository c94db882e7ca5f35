"""Starts and ends Ray: joins a cluster or starts one here, and counts its slots, the packs it can train at once."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import ray

from infomax_tune.errors import ResourceError
from infomax_tune.study.options import Options

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage statistics leave this machine
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # our handler lets packs finish their epochs and says how to go on
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store keeps everything; Tune's files would duplicate it
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # seldom: Tune's own state is never read again
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",  # a slow write of it is not worth a warning
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's new output prints even when it is told not to
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's future default, which it warns about
}
_LOCAL_SETTINGS = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # a local cluster that has lost its head node does not come back
}


@contextlib.contextmanager
def cluster(options: Options, log: Path) -> Iterator[int]:
    """Joins or starts Ray, and yields how many packs it can train at once. On leaving, ends what it started.

    log: the file for Ray's own messages, one of which says where its workers' output is.
    Raises ResourceError if there is no cluster, or if none of its machines could ever train a pack.
    """
    if options.address:
        _check_reachable(options.address)
    with _process_as_it_was():
        yield from _joined(options, log)


@contextlib.contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Undoes what Ray changes in this process: signal handler, environment variables, logger."""
    environment, logger = dict(os.environ), logging.getLogger("ray")
    level, propagate, handlers = logger.level, logger.propagate, list(logger.handlers)
    main = threading.current_thread() is threading.main_thread()
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        for name in set(os.environ) - set(environment):
            if name.startswith(("RAY_", "TUNE_", "PYTHONBREAKPOINT")):
                del os.environ[name]
        logger.level, logger.propagate, logger.handlers = level, propagate, handlers
        if main:
            signal.signal(signal.SIGTERM, on_term)


def _joined(options: Options, log: Path) -> Iterator[int]:
    settings = _SETTINGS if options.address else _SETTINGS | _LOCAL_SETTINGS
    os.environ.update({name: value for name, value in settings.items() if name not in os.environ})
    try:
        context = ray.init(
            address=options.address or "local",  # not a cluster that happens to run on this machine
            include_dashboard=None if options.address else False,
            log_to_driver=False,  # what workers print stays in Ray's own log files
            logging_level=logging.CRITICAL,  # we report failures ourselves, once
        )
    except (AssertionError, ConnectionError, ValueError, RuntimeError) as error:
        where = f"cannot join the Ray cluster at {options.address}" if options.address else "cannot start Ray here"
        token = " If it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN." if options.address else ""
        raise ResourceError(f"{where}: {str(error).strip().splitlines()[0]}.{token}") from None
    messages = _to_file(log)
    session = getattr(context, "address_info", {}).get("session_dir", "the Ray session's folder")
    logging.getLogger("ray").info("what the workers print is under %s/logs", session)
    try:
        yield _slots(options)
    finally:
        _end(messages)


def _end(messages: logging.Handler) -> None:
    gc.collect()  # Ray would end this process if a reference to one of its objects were dropped after shutdown
    ray.shutdown()
    with contextlib.suppress(OSError):  # a full disk
        messages.close()


def _to_file(log: Path) -> logging.Handler:
    """Sends Ray's log messages to the end of a file, and nowhere else."""
    logger, handler = logging.getLogger("ray"), logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return handler


def _check_reachable(address: str) -> None:
    """Raises ResourceError at once if nothing answers at HOST:PORT, where Ray itself would wait forever."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # auto, or another name that Ray resolves itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"--address: nobody answers at {address} ({error}); give the address that `ray start --head` printed, or auto."
        ) from None


def _slots(options: Options) -> int:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    asked = {"CPU": options.cpus_per_pack, "GPU": options.gpus_per_pack}
    slots = sum(int(min(node.get(name, 0) / amount for name, amount in asked.items() if amount)) for node in nodes)
    if slots == 0:
        cpus, gpus = (max(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
        raise ResourceError(
            f"one pack asks for {options.cpus_per_pack:g} CPUs and {options.gpus_per_pack:g} GPUs, and no machine of the "
            f"cluster has as much (the most: {cpus:g} CPUs, {gpus:g} GPUs); lower --cpus-per-pack or --gpus-per-pack."
        )
    return slots
