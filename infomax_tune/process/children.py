"""Work shared among Python processes of our own. They import nothing from the working folder, and end with this one."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from infomax_tune.errors import ResourceError
from infomax_tune.process.signals import kept_from_threads

T = TypeVar("T")

_BEGIN = "import sys; sys.path[:] = sys.argv[2:]; from infomax_tune.process import children; children.work(sys.argv[1])"


def share(function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], **environment: str) -> list[T]:
    """function(*task) of each task, each in its own process, in the root folder and with one thread for products.

    environment: variables that the processes get beside this one's. Raises ResourceError if one of them ends early, as
    when memory runs out.
    """
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(_child({"OMP_NUM_THREADS": "1", **environment})) for _ in tasks]
        for (_, pipe), task in zip(started, tasks, strict=True):
            with contextlib.suppress(ConnectionError):  # it has ended
                pipe.send((function, task))
        return [_answer(process, pipe) for process, pipe in started]


@contextlib.contextmanager
def _child(environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
    ours, its = Pipe()
    # not "", the working folder; last, where this package is, which may have been found there
    path = [*filter(None, sys.path), str(Path(__file__).resolve().parents[2])]
    with its, kept_from_threads():  # Ctrl-C is for this process, with which the others end
        process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-c", _BEGIN, str(its.fileno()), *path],
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=os.environ | environment,
        )
    try:
        with ours:
            yield process, ours
    finally:
        process.kill()
        process.wait()


def _answer(process: subprocess.Popen[bytes], pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, ConnectionError):
        raise ResourceError(f"a worker process ended early, with exit code {process.wait()}.") from None


def work(descriptor: str) -> None:
    """What the processes do: one task, unless their parent ends before it."""
    pipe = Connection(int(descriptor))
    task = pipe.recv_bytes()
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    function, arguments = pickle.loads(task)  # noqa: S301 - from our own process
    pipe.send(function(*arguments))


def _end_with_parent(pipe: Connection) -> None:
    pipe.poll(None)
    os._exit(1)
