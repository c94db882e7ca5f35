"""status.py: what a folder says of its sweep, while it runs too, from another process."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from infomax_tune.follow.folder_status import STATUSES
from infomax_tune.store.sweep_folder import SweepFolder
from tests.command import COMMAND, infomax_tune, start, wait_until

LONG = ["quickstart", "--set", "activation=[relu, tanh, softplus]", "--set", "epochs=150", "--no-report"]


def look(out: Path) -> dict[str, object]:
    return json.loads(infomax_tune("status", out, "--json").stdout)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, dict[str, int]]], str]:
    """A sweep in a terminal of its own, with `status --watch` beside it: folder, what that said, what was shown."""
    out = tmp_path_factory.mktemp("followed") / "sweep"
    leader, follower = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm-256color"}
    sweep = subprocess.Popen(
        [*COMMAND, "sweep", *LONG, "--out", str(out)], stdin=follower, stdout=follower, stderr=follower, env=environment
    )
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
    wait_until((out / "progress.json").exists)
    watch = start("status", out, "--watch", "--json", "--every", "0.3")
    said, problems = watch.communicate(timeout=120)
    assert (watch.returncode, problems) == (0, "")
    assert sweep.wait(60) == 0
    reader.join()
    os.close(leader)
    return out, [json.loads(line) for line in said.splitlines()], b"".join(shown).decode()


def test_status_counts_what_the_live_table_counts(followed: tuple[Path, list[dict[str, dict[str, int]]], str]) -> None:
    _, looks, _ = followed
    running = [found for found in looks if found["driver"] and found["counts"]["running"]]
    assert len(running) > 3
    for found in looks:
        assert sum(found["counts"].values()) == 30
        assert tuple(found["counts"]) == STATUSES
        assert sum(sum(cell.values()) for cell in found["cells"].values()) == 30
    # a record may be written between the driver's note and the look, so not every single one agrees
    same = [
        found
        for found in running
        if found["driver"]["counts"] == {name: count for name, count in found["counts"].items() if name != "damaged"}
    ]
    assert len(same) >= 0.7 * len(running)


def test_watching_ends_with_the_sweep(followed: tuple[Path, list[dict[str, dict[str, int]]], str]) -> None:
    out, looks, _ = followed
    assert looks[-1]["driver"] is None
    assert all(found["driver"] for found in looks[:-1])
    assert not (out / "progress.json").exists()
    assert look(out)["counts"] == dict.fromkeys(STATUSES, 0) | {"done": 30}


def test_a_terminal_sees_a_live_table(followed: tuple[Path, list[dict[str, dict[str, int]]], str]) -> None:
    _, _, shown = followed
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "starting Ray ..." in plain
    assert re.search(r"relu-k16-[0-9a-f]{8} +1-10 +\d+/150 +-?[\d.]+ +[\d.]+", plain)
    assert re.search(r"[\d.e+]+ epochs/s  0:\d\d elapsed  about 0:\d\d left", plain)
    assert re.search(r"\d+ done +\d+ running +\d+ left", re.sub(r"\s+", " ", plain))
    assert "\x1b[36m" in shown  # in colours
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "30 trials: 30 done" in plain.splitlines()[-2]


def test_a_killed_driver_is_not_taken_for_one_at_work(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    sweep = start("sweep", *LONG, "--out", out)
    wait_until(lambda: any(out.glob("trials/*/checkpoint.safetensors")) and look(out)["counts"]["running"] > 0)
    text = infomax_tune("status", out).stdout
    assert f"pid {sweep.pid})" in text.splitlines()[-1]
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.wait()
    assert (out / "progress.json").exists()
    found = look(out)
    assert found["driver"] is None
    assert found["counts"]["running"] == 0
    assert sum(found["counts"].values()) == 30
    # nor is a note that cannot be read
    SweepFolder(out).write_progress({"phase": "of another version"})
    assert look(out)["driver"] is None
    (out / "progress.json").write_text("{")
    assert look(out)["driver"] is None
