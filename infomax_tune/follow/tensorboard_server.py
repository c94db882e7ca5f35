"""Serves a folder of TensorBoard runs with TensorBoard's own server."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlencode

from infomax_tune.errors import ResourceError

PORT = 6006
"""TensorBoard's default."""

_PINNED = ("effective_rank", "weight_redundancy", "output_correlation", "loss")
"""What the study is about, above all other curves."""


def curves_view(seed: int) -> str:
    """Appended to TensorBoard's address, shows the study's metrics first, one color per activation and one seed per cell.

    The other seeds are shown once the filter of runs is emptied.
    """
    pinned = [{"plugin": "scalars", "tag": tag} for tag in _PINNED]
    query = {
        "pinnedCards": json.dumps(pinned),
        "runFilter": f"seed{seed}$",
        "runColorGroup": r"regex:^(\w+)",
        "smoothing": 0,
    }
    return f"?{urlencode(query)}#timeseries"


def pictures_view(seed: int) -> str:
    """Appended to TensorBoard's address, shows the pictures of the weights of one seed per cell.

    TensorBoard ticks no run on that page where there are more than 40.
    """
    return f"#images&regexInput={quote(f'seed{seed}$')}"


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
