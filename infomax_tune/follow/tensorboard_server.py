"""Serves a folder of TensorBoard runs with TensorBoard's own server."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

from infomax_tune.errors import ResourceError
from infomax_tune.parts.catalogue import ours
from infomax_tune.parts.loss_columns import LOSS_COLUMNS
from infomax_tune.process.signals import calling

PORT = 6006
"""TensorBoard's default."""

UPDATE_S = 10.0
"""Seconds between two updates of runs that are a copy."""

_PINNED = tuple(name for name, column in (ours("metrics") | LOSS_COLUMNS).items() if column.headline)
"""The study's main metrics, shown above all other curves."""


def curves_view(seed: int) -> str:
    """A suffix for TensorBoard's address that shows the study's metrics first, one color per activation, one seed per cell.

    To see the other seeds, empty the filter of runs.
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
    """A suffix for TensorBoard's address that shows the pictures of the weights, one seed per cell.

    With more than 40 runs, TensorBoard selects none on that page.
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
    raise ResourceError(f"cannot listen on {host}:{port or PORT} ({reason}); choose another --port or --host.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. Raises OSError if the host does not exist."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return all(ipaddress.ip_address(str(each[4][0])).is_loopback for each in found)


def serve(runs: Path, host: str, port: int, update: Callable[[], None] = lambda: None) -> int:
    """Serves the runs in this process until a signal ends it; the exit code. update: called every few seconds."""
    from tensorboard.program import TensorBoard  # slow to import

    board = TensorBoard()
    board.configure(["", "--logdir", str(runs.resolve()), "--host", host, "--port", str(port)])
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: sys.exit())  # with the cleaning up that SIGTERM brings
    with calling(update, UPDATE_S, "runs"), contextlib.suppress(KeyboardInterrupt):
        return board.main()
    return 0
