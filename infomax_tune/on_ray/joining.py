"""Checks whether a Ray cluster admits us before Ray tries: Ray takes half a minute and does not say why it failed."""

from __future__ import annotations

import os
import socket
from typing import Any

import grpc
from ray import _raylet
from ray._private import services

from infomax_tune.errors import ResourceError

_PATIENCE_S = 10
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
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"--address: no answer at {found} ({error}); give the address that `ray start --head` printed, or auto."
        ) from None
    token = _token()
    if not _lets_in(found, token):
        problem = "yours is not the cluster's" if token else "none is set here"
        raise ResourceError(
            f"--address: the Ray cluster at {found} requires a token, but {problem}. Set it with:\n  {_COMMANDS}"
        )


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
