"""Serves a folder of TensorBoard runs with TensorBoard's own server."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlencode

from infomax_tune.errors import ResourceError

PORT = 6006
"""TensorBoard's default."""

VIEW = "?" + urlencode({"tagFilter": "^(?!weights)", "runColorGroup": r"regex:^(\w+)", "smoothing": 0}) + "#timeseries"
"""Appended to TensorBoard's address, shows every curve in one grid, with one color per activation."""


def free_port(host: str, port: int | None) -> int:
    """The given port, or else the first free one from `PORT` on. Raises ResourceError if it is taken or none is free."""
    reason = ""
    for number in [port] if port else range(PORT, PORT + 100):
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen()
            return number
        except OSError as error:
            reason = error.strerror or str(error)
    raise ResourceError(f"cannot serve at {host}:{port or PORT} ({reason}); choose another --port or --host.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. Raises OSError if there is no such host."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return all(ipaddress.ip_address(str(each[4][0])).is_loopback for each in found)


def serve(runs: Path, host: str, port: int) -> NoReturn:
    """Replaces this process by TensorBoard, which then gets its signals and gives its exit code."""
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(runs.resolve()),
        "--host",
        host,
        "--port",
        str(port),
    ]
    os.execv(command[0], command)  # noqa: S606
