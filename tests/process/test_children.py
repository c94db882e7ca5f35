"""Processes of our own: what they import, and that they end with the one that started them."""

from __future__ import annotations

import operator
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infomax_tune.errors import ResourceError
from infomax_tune.process.children import share
from tests.command import wait_until


def test_each_task_is_done_in_a_process_of_its_own() -> None:
    assert share(operator.add, [(1, 2), ("a" * 1_000_000, "b")]) == [3, "a" * 1_000_000 + "b"]
    assert os.getpid() not in share(os.getpid, [(), ()])


def test_they_import_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither before our code runs nor after, whether this process would or not."""
    for name in ("random", "socket", "pickle", "struct", "mine"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    monkeypatch.syspath_prepend("")
    code = "__import__('random').__file__, __import__('importlib.util').util.find_spec('mine')"
    ((random, mine),) = share(eval, [(code,)])
    assert not Path(random).is_relative_to(tmp_path)
    assert mine is None


def test_one_that_ends_early_is_told() -> None:
    with pytest.raises(ResourceError, match="ended early, with exit code 3"):
        share(os._exit, [(3,)])


def test_they_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = "import time; from infomax_tune.process.children import share; share(time.sleep, [(600,), (600,)])"
    parent = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_until(lambda: len(psutil.Process(parent.pid).children()) == 2, 60)
        children = psutil.Process(parent.pid).children()
        time.sleep(1)  # by then they are at work, mostly; they must end either way
    finally:
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
