"""Serves a folder of TensorBoard runs with TensorBoard's own server."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlencode

from infomax_tune.errors import ResourceError

PORT = 6006
"""TensorBoard's own."""

VIEW = "?" + urlencode({"tagFilter": "^(?!weights)", "runColorGroup": r"regex:^(\w+)", "smoothing": 0}) + "#timeseries"
"""What follows TensorBoard's address to see every curve in one grid, in one colour an activation."""


def free_port(host: str, port: int | None) -> int:
    """The port asked for, or else the first free one from TensorBoard's own on. Raises ResourceError if there is none."""
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


def serve(runs: Path, host: str, port: int) -> NoReturn:
    """Becomes TensorBoard: its signals and its exit code are this process's."""
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
