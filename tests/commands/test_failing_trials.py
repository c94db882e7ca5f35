"""Trials that fail, for real: each is recorded as what it is, and takes no other with it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from pathlib import Path
from subprocess import PIPE

import pandas as pd
import psutil
import pytest

from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from tests.command import COMMAND, call, infomax_tune
from tests.without_ray import sweep_here


def test_a_trial_that_raises_keeps_its_traceback_and_the_others_go_on(tmp_path: Path) -> None:
    """A folder stands where one trial's history must go; at another also where the note of its failure must go."""
    settings = ["epochs=2", "activation=[tanh]", "seed=[1, 2, 3, 4]"]
    space, _ = load_space("quickstart", overrides=read_overrides(settings)[0])
    stuck, unwritable = space.trials()[1].trial_id, space.trials()[3].trial_id
    out = tmp_path / "sweep"
    in_the_way = [out / "trials" / stuck / "history.csv"]
    in_the_way += [out / "trials" / unwritable / name for name in ("history.csv", "failure.json")]
    for folder in in_the_way:
        folder.mkdir(parents=True)
    options = [word for setting in settings for word in ("--set", setting)]
    one_worker = ["--pack", 4, "--max-concurrent", 1, "--max-failures", 0]
    done = infomax_tune("sweep", "quickstart", *options, *one_worker, "--out", out, ok=False)
    assert done.returncode == 1
    assert "4 trials: 2 done, 2 failed" in done.stdout
    assert "its worker died" not in done.stdout + done.stderr
    assert "trials of the failed packs, each on its own" in done.stdout
    assert done.stderr.count("in train_on_ray") == 1  # the first traceback whole, the others in a line
    again = f"incomplete; to resume: infomax-tune resume {out} --pack 4 --max-concurrent 1 --max-failures 0 --no-report"
    assert done.stderr.splitlines()[-1] == again
    results = pd.read_csv(out / "results.csv")
    assert results["status"].tolist() == ["done", "failed", "done", "failed"]
    failure = SweepFolder(out).trial(stuck).read_failure()
    assert failure is not None
    assert "Is a directory" in failure["error"]
    assert failure["epoch"] == 1  # the last it had reported: the second is what failed
    assert f"{stuck}: failed: infomax_tune.errors.StoreError: " in call("status", out).stdout
    # the cause is gone: so is the failure
    for folder in in_the_way:
        folder.rmdir()
    assert "4 trials: 4 done" in sweep_here("resume", out).stdout
    assert SweepFolder(out).trial(stuck).read_failure() is None


def test_the_same_error_twice_is_not_tried_a_third_time(tmp_path: Path) -> None:
    """A metric with a mistake in it, whose message is another one each time: two tries of the pack, and one of each trial."""
    tries, out = tmp_path / "tries", tmp_path / "sweep"
    (tmp_path / "broken.py").write_text(f"""\
import os, time
def broken(outputs, targets):
    with open({str(tries)!r}, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
    raise KeyError(time.monotonic())
""")
    settings = ["epochs=1", "activation=tanh", "seed=1,2,3", f"metrics={tmp_path}/broken.py:broken"]
    options = [word for setting in settings for word in ("--set", setting)]
    done = infomax_tune("sweep", "quickstart", *options, "--pack", 3, "--out", out, ok=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "3 trials: 3 failed" in done.stdout
    assert len(tries.read_text().splitlines()) == 2 + 3
    assert done.stderr.count("; retrying: ") == 1
    failures = [SweepFolder(out).trial(trial.trial_id).read_failure() for trial in SweepFolder(out).read_space().plan()]
    assert all(failure and failure["cause"][0].endswith(".PartError") for failure in failures)


def test_a_worker_that_ray_ends_for_memory_while_it_starts_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a thousandth of the machine's memory is always in use."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")
    settings = ["epochs=1", "activation=tanh", "seed=1"]
    options = [word for setting in settings for word in ("--set", setting)]
    done = infomax_tune("sweep", "quickstart", *options, "--out", tmp_path / "sweep", ok=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Ray killed a worker because memory ran out" in done.stdout
    assert "retrying" not in done.stderr
    assert "its worker ran out of memory" in call("status", tmp_path / "sweep").stdout


_GIB = 2**30
_TOTAL = 16 * _GIB
_LIMIT = _GIB


class OwnMemory:
    """Memory that a command alone uses, whatever else runs here: its processes see a /proc/meminfo of their own.

    Counted as used is what each process of its family holds beyond a GiB, which all of them may need.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._write(0)
        namespaces = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
        # without cgroups, of which Ray would ask first
        mounts = f"mount -t tmpfs none /sys/fs/cgroup; mount --bind {shlex.quote(str(file))} /proc/meminfo"
        self.words = ["unshare", *namespaces, "sh", "-c", f'set -e; {mounts}; exec "$@"', "sh"]

    def _write(self, used: int) -> None:
        """In place, since a mount stays with its file, and with as many characters as before."""
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        free = max(0, _TOTAL - used)
        for name, size in (("MemTotal", _TOTAL), ("MemFree", free), ("MemAvailable", free)):
            text = re.sub(rf"^{name}:.*$", f"{name}: {size // 1024:>20} kB", text, flags=re.MULTILINE)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT)
        os.pwrite(descriptor, text.encode(), 0)
        os.close(descriptor)

    def problem(self) -> str | None:
        """Why there can be no such memory here."""
        if shutil.which("unshare") is None:
            return "there is no unshare (util-linux)"
        tried = subprocess.run([*self.words, "true"], capture_output=True, text=True, check=False)
        return tried.stderr.strip() or None if tried.returncode else None

    def watch(self, command: subprocess.Popen[str]) -> None:
        """Counts until the command has ended."""
        while command.poll() is None:
            used = 0
            with contextlib.suppress(psutil.Error):
                parent = psutil.Process(command.pid)
                for process in [parent, *parent.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        used += max(0, process.memory_info().rss - _GIB)
            self._write(used)
            time.sleep(0.05)


def test_a_worker_that_runs_out_of_memory_is_counted_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16,000 units need gigabytes for their correlations; Ray ends the worker that takes more than there are."""
    memory = OwnMemory(tmp_path / "meminfo")
    if problem := memory.problem():
        pytest.skip(f"a process cannot have memory of its own here: {problem}")
    monkeypatch.setenv("RAY_memory_usage_threshold", str(_LIMIT / _TOTAL))
    out = tmp_path / "sweep"
    settings = ["epochs=3", "activation=[identity]", "hidden_dim=[16, 16000]", "seed=[1]"]
    options = [word for setting in settings for word in ("--set", setting)]
    command = [*memory.words, *COMMAND, "sweep", "synthetic_2d", *options, "--max-failures", "0", "--out", str(out)]
    with subprocess.Popen([*command, "--no-report"], stdout=PIPE, stderr=PIPE, text=True) as sweep:
        watcher = threading.Thread(target=memory.watch, args=[sweep])
        watcher.start()
        stdout, stderr = sweep.communicate(timeout=900)
        watcher.join()
    assert sweep.returncode == 1, stdout + stderr
    assert "2 trials: 1 done, 1 failed" in stdout
    assert "Ray killed a worker because memory ran out" in stdout
    assert "its worker ran out of memory" in call("status", out).stdout
    assert pd.read_csv(out / "results.csv").set_index("hidden_dim")["status"].to_dict() == {16: "done", 16000: "failed"}
