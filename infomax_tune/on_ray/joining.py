"""Asks a Ray cluster whether it would let us in, before Ray does, and whether it is still there.

Ray itself tries for half a minute and does not say why not, and ends the driver of a dead cluster without a word.
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

_COMMANDS = "export RAY_AUTH_MODE=token\n  export RAY_AUTH_TOKEN=<the token that the cluster was started with>"


def check(address: str) -> None:
    """Raises ResourceError if nobody answers at the address, or if the cluster there wants another token than ours.

    address: HOST:PORT, or auto; one that Ray cannot make out is left to Ray. ray:// is refused: Tune's callbacks, which
    count and show what happens, would be lost on the way.
    """
    if address.startswith("ray://"):
        raise ResourceError(
            f"--address {address}: a sweep is driven from a machine of the cluster. Run it there, with --address auto, or "
            "hand it over: ray job submit --address http://localhost:8265 --working-dir . -- infomax-tune sweep ... "
            "--address auto (docs/cluster.md says how to reach that port)."
        )
    found = _found(address)
    host, _, port = found.rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        _connect(found, _PATIENCE_S)
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"--address: nobody answers at {found} ({error}); give the address that `ray start --head` printed, or auto."
        ) from None
    token = _token()
    if not _lets_in(found, token):
        problem = "is not the cluster's" if token else "is missing here"
        raise ResourceError(
            f"--address: the Ray cluster at {found} asks for a token, and it {problem}. Set it with:\n  {_COMMANDS}"
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
    """The HOST:PORT of the cluster that is meant; "" if there is none."""
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
    """Whether the cluster answers to the token. One that says anything else than that it does not is left to Ray."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(_ASK)(b"", timeout=_PATIENCE_S, metadata=metadata)
        except grpc.RpcError as error:
            return error.code() != grpc.StatusCode.UNAUTHENTICATED  # pyright: ignore[reportAttributeAccessIssue]
    return True
