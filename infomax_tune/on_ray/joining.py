"""Checks whether a Ray cluster admits us before Ray tries, and watches whether its head still answers.

Ray takes half a minute and does not say why it failed, and it ends the driver of a dead cluster without a word.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from ray import _raylet
from ray._private import services

from infomax_tune.errors import ResourceError
from infomax_tune.process.signals import calling

_PATIENCE_S = 10
_LOOK_S = 1.0
"""Seconds between two looks at the head, and for its answer."""
_ASK = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"""A call that any cluster answers; an empty message asks after no node."""

_COMMANDS = "export RAY_AUTH_MODE=token\n  export RAY_AUTH_TOKEN=<the token the cluster was started with>"


def check(address: str) -> None:
    """Raises ResourceError if nothing answers at the address, or if the cluster there requires a different token.

    address: HOST:PORT, or auto; an address that Ray cannot parse is left to Ray. ray:// is refused, because it would
    lose Tune's callbacks, which count and show what happens.
    """
    if address.startswith("ray://"):
        raise ResourceError(
            f"--address {address}: a sweep must be started on a machine in the cluster. Run it there with --address auto, or "
            "submit it as a job: ray job submit --address http://localhost:8265 --working-dir . -- infomax-tune sweep ... "
            "--address auto (docs/cluster.md explains how to reach that port)."
        )
    found = _found(address)
    host, _, port = found.rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        _connect(found, _PATIENCE_S)
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"--address: no answer at {found} ({error}); give the address that `ray start --head` printed, or auto."
        ) from None
    token = _token()
    if not _lets_in(found, token):
        problem = "yours is wrong" if token else "none is set here"
        raise ResourceError(
            f"--address: the Ray cluster at {found} requires a token, but {problem}. Set it with:\n  {_COMMANDS}"
        )


@contextlib.contextmanager
def watching(address: str, warn: Callable[[str], None]) -> Iterator[None]:
    """While entered, warns once if the head of the cluster stops answering. address: its HOST:PORT."""
    silent = 0

    def look() -> bool:
        nonlocal silent
        try:
            _connect(address, _LOOK_S)
            silent = 0
        except OSError:
            silent += 1
        if silent == 2:  # not the first time, which could be chance
            warn(
                f"warning: the head of the cluster, {address}, does not answer. If it is dead, this sweep ends within a "
                "minute; start another cluster and resume the sweep there."
            )
        return silent == 2

    with calling(look, _LOOK_S, "head"):
        yield


def _connect(address: str, patience_s: float) -> None:
    """Raises OSError if nobody answers at HOST:PORT."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=patience_s).close()


def _found(address: str) -> str:
    """The HOST:PORT of the intended cluster; "" if there is none."""
    if address != "auto":
        return address
    try:
        return services.canonicalize_bootstrap_address(address) or ""
    except (ConnectionError, ValueError):
        return ""


def _token() -> str:
    """The token that Ray would show, from the environment or its file; "" if there is none."""
    raylet: Any = _raylet
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token" or not hasattr(raylet, "AuthenticationTokenLoader"):
        return ""
    return raylet.AuthenticationTokenLoader.instance().get_raw_token(ignore_auth_mode=True) or ""


def _lets_in(address: str, token: str) -> bool:
    """Whether the cluster accepts the token. Any other error than a refusal is left to Ray."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(_ASK)(b"", timeout=_PATIENCE_S, metadata=metadata)
        except grpc.RpcError as error:
            return error.code() != grpc.StatusCode.UNAUTHENTICATED  # pyright: ignore[reportAttributeAccessIssue]
    return True
