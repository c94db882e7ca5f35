"""status: what a folder says of its sweep, while it runs too, from another process."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.trial_status import IN_FOLDER
from tests.command import call, start, wait_until
from tests.without_ray import Started

LONG = ["quickstart", "--set", "activation=[relu, tanh]", "--set", "epochs=150", "--max-concurrent", "1"]
"""20 trials of 2 cells, one of which waits for the other."""

Look = dict[str, Any]


def look(out: Path) -> Look:
    return json.loads(call("status", out, "--json").stdout)


@dataclass
class Followed:
    """A sweep that was followed: its folder, every look from here, what `status --watch` said, what a terminal showed."""

    out: Path
    looks: list[Look]
    watched: list[Look]
    shown: str


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """A sweep in a terminal of its own, with `status --watch` beside it."""
    out = tmp_path_factory.mktemp("followed") / "sweep"
    leader, follower = pty.openpty()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NO_COLOR", raising=False)
        patch.setenv("TERM", "xterm-256color")
        sweep = Started("sweep", *LONG, "--out", out, folder=out.parent, terminal=follower)
    os.close(follower)
    shown: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(leader, 65536):
                shown.append(data)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: (out / "progress.json").exists() or sweep.poll() is not None)
    watch = start("status", out, "--watch", "--json", "--every", "0.3")
    looks = []
    while sweep.poll() is None:
        looks.append(look(out))
        time.sleep(0.1)
    said, problems = watch.communicate(timeout=900)
    assert (watch.returncode, problems) == (0, "")
    assert sweep.returncode == 0
    reader.join()
    os.close(leader)
    return Followed(out, looks, [json.loads(line) for line in said.splitlines()], b"".join(shown).decode())


def test_status_counts_what_the_live_table_counts(followed: Followed) -> None:
    """The driver's note is older than the look: what has a record since then is no longer running or left."""
    for found in [*followed.looks, *followed.watched]:
        assert sum(found["counts"].values()) == 20
        assert tuple(found["counts"]) == IN_FOLDER
        assert sum(sum(cell.values()) for cell in found["cells"].values()) == 20
    agreed = 0
    for found in [*followed.looks, *followed.watched]:
        if found["driver"] is None:
            continue
        now, noted = found["counts"], found["driver"]["counts"]
        assert now["running"] <= noted["running"]
        assert now["left"] <= noted["left"]
        assert now["done"] >= noted["done"]
        if now["done"] == noted["done"]:
            assert noted | {"damaged": 0} == now
            agreed += now["running"] > 0
    assert agreed > 0


def test_watching_ends_with_the_sweep(followed: Followed) -> None:
    assert followed.watched[-1]["driver"] is None
    assert all(found["driver"] for found in followed.watched[:-1])
    assert not (followed.out / "progress.json").exists()
    assert look(followed.out)["counts"] == {status: 20 if status == "done" else 0 for status in IN_FOLDER}


def test_a_terminal_sees_a_live_table(followed: Followed) -> None:
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", followed.shown)
    assert "starting Ray ..." in plain
    assert re.search(r"relu-k16-[0-9a-f]{8} +1-10 +\d+/150 +-?[\d.]+ +[\d.]+", plain)
    assert re.search(r"[\d.e+]+ epochs/s  [\d:]+\d\d elapsed  about [\d:]+\d\d left", plain)
    assert re.search(r"\d+ done +\d+ running +\d+ left", re.sub(r"\s+", " ", plain))
    assert "\x1b[36m" in followed.shown  # in colors
    assert followed.shown.rindex("\x1b[?25h") > followed.shown.rindex("\x1b[?25l")
    assert "20 trials: 20 done" in plain


def test_a_killed_driver_is_not_taken_for_one_at_work(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    sweep = Started("sweep", *LONG, "--out", out, folder=tmp_path)
    wait_until(lambda: any(out.glob("trials/*/checkpoint.safetensors")) or sweep.poll() is not None)
    wait_until(lambda: look(out)["counts"]["running"] > 0 or sweep.poll() is not None)
    assert sweep.poll() is None, sweep.communicate()
    text = call("status", out).stdout
    assert f"pid {sweep.pid})" in text.splitlines()[-1]
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    assert (out / "progress.json").exists()
    again = shlex.join(["infomax-tune", "resume", str(out)])
    wait_until(lambda: (tmp_path / "stderr").read_text().endswith("\n"))
    (ended,) = (tmp_path / "stderr").read_text().splitlines()
    assert ended.startswith(f"{out}: the sweep's process was ended; the end of {out}/ray.log may say why.")
    assert ended.endswith(f"to resume: {again} --max-concurrent 1 --no-report")
    last = call("status", out).stdout.splitlines()[-1]
    assert last == f"the last sweep here was ended before its time; to resume: {again}"
    found = look(out)
    assert found["driver"] is None
    assert found["counts"]["running"] == 0
    assert sum(found["counts"].values()) == 20
    # nor is a note that cannot be read
    SweepFolder(out).driver.write_progress({"phase": "of another version"})
    assert look(out)["driver"] is None
    (out / "progress.json").write_text("{")
    assert look(out)["driver"] is None
