"""Processes that need not import: they are forked from one that has imported all that a command and Ray's workers do.

Each sweep of a test starts a Ray of its own, and each of its workers would import torch and Ray for seconds of CPU. Here
Ray starts its workers by a script that asks a server for a fork of itself, with this process's files, environment and
folder. Who asks waits as long as the fork lives; if either is killed, so is the other. All else is as usual. What is in a
situation of its own, such as another namespace or a limit of memory, imports as usual too.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import resource
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_SCRIPT = """#!/bin/sh
case "$1 $2" in
    */default_worker.py\\ *|"-m infomax_tune")
        exec {python} -IS {this} {address} "$@" ;;
esac
exec {python} "$@"
"""
_IMPORTED = (
    "infomax_tune.commands",
    "infomax_tune.packs.pack_training",
    "infomax_tune.science.compiled_trial",
    "tensorboard",
    # what Ray imports; Ray itself reads its worker's job when it is imported
    *("grpc", "jsonschema", "pandas", "pyarrow.fs", "pyarrow.parquet", "requests", "rich"),
)
_BEFORE_THE_TESTS = dict(os.environ)
_LARGEST = 2**20
"""Bytes of a message at most."""
_AT_IMPORT = ("HOME", "XDG_", "LANG", "LC_", "PYTHON", "NUMBA_", "INFOMAX_TUNE_CACHE", "LD_", "MKL_", "ATEN_", "MPL")
"""The beginnings of variables that are read when Python begins, or imports something."""


def _situation() -> str:
    """What a process has from its beginning, and cannot be given."""
    variables = {name: value for name, value in os.environ.items() if name.startswith(_AT_IMPORT)}
    variables.pop("PYTHONBREAKPOINT", None)  # Ray sets it for its workers
    spaces = {space.name: str(space.readlink()) for space in Path("/proc/self/ns").iterdir()}
    limits = [resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE)]
    groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    return json.dumps([variables, spaces, limits, groups, os.getuid(), sorted(os.sched_getaffinity(0))], sort_keys=True)


def _ask(address: str, words: list[str]) -> int:
    """Has a fork do what `python *words` does, and waits for its end; its exit code. Becomes that Python if none can."""
    asked = {"situation": _situation(), "words": words, "environment": dict(os.environ), "folder": str(Path.cwd())}
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = 0
    with contextlib.suppress(OSError):  # the server has ended
        server.connect(address)
        socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
        pid = int(server.recv(99) or 0)
    if not pid:
        os.execv(sys.executable, [sys.executable, *words])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os.kill(pid, number))
    code = int(server.recv(99) or 1)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


class _Server:
    """Forks for all who ask, until stdin ends."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._asked_by: dict[int, socket.socket] = {}
        self._situation = _situation()
        ended, end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(end)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest
        self._events = selectors.DefaultSelector()
        self._events.register(sys.stdin, selectors.EVENT_READ, sys.exit)
        self._events.register(ended, selectors.EVENT_READ, lambda: self._collect(ended))
        self._events.register(self._listener, selectors.EVENT_READ, self._answer)

    def run(self) -> dict[str, Any]:
        """Returns in each fork, with what it was asked for."""
        try:
            while True:
                for key, _ in self._events.select():
                    if asked := key.data():
                        return asked
        except SystemExit:
            for pid in self._asked_by:
                os.kill(pid, signal.SIGKILL)
            raise

    def _answer(self) -> dict[str, Any] | None:
        client, _ = self._listener.accept()
        message, files, _, _ = socket.recv_fds(client, _LARGEST, 3)
        asked = json.loads(message) if message else {}
        pid = 0
        if asked.get("situation") == self._situation:
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                self._events.close()
                for each in (self._listener, client, *self._asked_by.values()):
                    each.close()
                return {**asked, "files": files}
            self._asked_by[pid] = client
            self._events.register(client, selectors.EVENT_READ, lambda: self._who_asked_is_gone(pid))
        with contextlib.suppress(OSError):
            client.send(str(pid).encode())
        for file in files:
            os.close(file)
        return None

    def _who_asked_is_gone(self, pid: int) -> None:
        self._events.unregister(self._asked_by[pid])
        os.kill(pid, signal.SIGKILL)

    def _collect(self, ended: int) -> None:
        os.read(ended, 4096)
        while self._asked_by:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            client = self._asked_by.pop(pid)
            with contextlib.suppress(KeyError, OSError):  # it is gone
                self._events.unregister(client)
                client.send(str(os.waitstatus_to_exitcode(status)).encode())
            client.close()


def _serve(listener: socket.socket, script: str) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # no library starts threads, which a fork would not have
    for module in _IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a fork's garbage collection touches none of it, so the pages stay shared
    asked = _Server(listener).run()
    os.setsid()
    for number, file in enumerate(asked["files"]):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    for number, handler in ((signal.SIGCHLD, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        signal.signal(number, handler)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    _do(asked["words"], script)


def _do(words: list[str], script: str) -> None:
    if words[:2] == ["-m", "infomax_tune"]:
        sys.path[0] = str(Path.cwd())
        _command(script, words[2:])
        return
    sys.path[0] = str(Path(words[0]).parent)
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")


def _command(script: str, words: list[str]) -> None:
    """infomax-tune in this process, for which the script is Python."""
    sys.executable = script
    sys.argv = ["infomax-tune", *words]
    runpy.run_module("infomax_tune", run_name="__main__", alter_sys=True)


def forking() -> list[str]:
    """The words that begin a command whose Ray's workers are forked."""
    return [sys.executable, "-m", "tests.warm", python()]


@functools.cache
def python() -> str:
    """The script that stands for Python. Its server starts with the first call, and ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    address, script = folder / "socket", folder / "python"
    words = {"python": sys.executable, "this": __file__, "address": address}
    script.write_text(_SCRIPT.format_map({name: shlex.quote(str(word)) for name, word in words.items()}))
    script.chmod(0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(address))
        listener.listen(64)
        number = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", "--serve", str(number), str(script)],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            env=_BEFORE_THE_TESTS,
            pass_fds=[number],
        )
    assert server.stdin is not None
    atexit.register(shutil.rmtree, folder)
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    return str(script)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        _serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3])
    elif sys.flags.isolated:
        sys.exit(_ask(sys.argv[1], sys.argv[2:]))
    else:
        _command(sys.argv[1], sys.argv[2:])
