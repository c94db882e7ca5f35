"""A real S3 API over loopback: moto's server in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from infomax_tune.store.objects import location
from tests.command import free_port, wait_until

BUCKET = "bucket"


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Serves S3 while entered; yields the environment in which s3:// is this server. It has one empty bucket."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _answers(port) or server.poll() is not None)
        assert server.poll() is None, "moto's server ended"
        environment = {
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
        yield environment
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def bytes_below(folder: str, *patterns: str) -> dict[str, bytes]:
    """The content of the objects below a folder whose names match one of the glob patterns, by name."""
    root = location(folder)
    from infomax_tune.store.objects import matching, read

    found = [path for pattern in patterns for path in matching(root, pattern)]
    return {str(path).removeprefix(f"{root}/"): read(path) for path in found}


def path_in(folder: str, name: str) -> Path:
    return location(folder) / name
