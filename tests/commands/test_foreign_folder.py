"""The folder of somebody else, opened from inside: nothing in it runs, and its settings of other programs change nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from infomax_tune.store.sweep_folder import SweepFolder
from tests.command import free_port, wait_until
from tests.commands.test_tensorboard import answers
from tests.folders import make_interrupted_sweep, make_sweep

COMMAND = Path(sys.executable).with_name("infomax-tune")
"""As it is installed: with `python -m`, Python itself puts the working folder first."""

MODULES = ("random", "secrets", "socket", "pickle", "numpy", "pandas", "torch", "PIL/__init__", "sitecustomize")


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The file that the modules write to if they are run."""
    return tmp_path / "ran"


@pytest.fixture
def study(tmp_path: Path, ran: Path) -> Path:
    """An interrupted sweep whose folder also holds modules with the names of others', and settings of matplotlib."""
    make_interrupted_sweep(tmp_path / "study")
    add_modules(tmp_path / "study", ran)
    return tmp_path / "study"


def add_modules(folder: Path, ran: Path) -> None:
    for name in MODULES:
        module = folder / f"{name}.py"
        module.parent.mkdir(exist_ok=True)
        module.write_text(f"with open({str(ran)!r}, 'a') as file:\n    file.write(__file__)\nraise ImportError\n")
    (folder / ".numba_config.yaml").write_text("disable_jit: 1\n")
    (folder / "matplotlibrc").write_text("no setting\nsavefig.dpi: 30\nsvg.image_inline: False\npath.simplify: False\n")


def run_inside(folder: Path, *words: object) -> str:
    environment = os.environ | {"MPLBACKEND": "module://not_installed.backend", "TUNE_RESULT_DIR": "elsewhere"}
    command = [COMMAND, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no setting" not in done.stderr
    return done.stdout


def test_a_sweep_resumes_there_and_reports(study: Path, ran: Path) -> None:
    for command in ("status", "verify", "list"):
        run_inside(study, command, ".")
    assert "analysis/report.html" in run_inside(study, "resume", ".")
    assert not ran.exists()
    (used,) = SweepFolder(study).environments.read_used().values()
    assert used["numba"] == version("numba")


def test_the_report_is_the_same_there(tmp_path: Path, ran: Path) -> None:
    study = make_sweep(tmp_path / "study", "epochs=1", "activation=[relu, tanh]", "seed=[1, 2]").root
    shutil.copytree(study, tmp_path / "clean" / "study")
    run_inside(tmp_path / "clean" / "study", "analyze", ".")
    add_modules(study, ran)
    run_inside(study, "analyze", ".")
    assert not ran.exists()
    files = sorted(path.name for path in (study / "analysis").iterdir())
    assert [name for name in files if name.endswith(".png")]
    for name in files:
        assert (study / "analysis" / name).read_bytes() == (tmp_path / "clean/study/analysis" / name).read_bytes()


def test_tensorboard_shows_it_there(study: Path, ran: Path) -> None:
    port = free_port()
    server = subprocess.Popen([COMMAND, "tensorboard", ".", "--port", str(port)], cwd=study, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: server.poll() is not None or answers(port))
        assert server.poll() is None
    finally:
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(30)
        server.kill()
    assert server.wait() == 0, server.communicate()
    assert not ran.exists()
