"""The package as users get it: a wheel, installed away from the source tree, run from another folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _nothing_but_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source tree may be on the path of whoever runs the tests."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that holds the wheel, and sees this one's third-party packages."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("infomax_tune-*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    subprocess.run(
        [*pip, "--python", str(environment / "bin/python"), "install", "--quiet", "--no-deps", wheel], check=True
    )
    # third-party packages are heavy: they are borrowed; a path in a .pth brings no editable install along
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def test_every_command_works_from_any_folder(installed: Path, tmp_path: Path) -> None:
    def command(*arguments: str) -> str:
        done = subprocess.run(
            [installed / "infomax-tune", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # search_spaces holds no code, only files
    where = "import infomax_tune, search_spaces, analysis; print(infomax_tune.__file__, *search_spaces.__path__, analysis.__file__)"
    found = subprocess.run(
        [installed / "python", "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.count(str(installed.parent)) == 3
    assert "activation_study       180 trials" in command("spaces")
    assert "done after 2 epochs" in command("run", "dataset=digits", "epochs=2")
    small = ["--set", "epochs=1", "--set", "activation=relu,tanh", "--set", "seed=1,2", "--max-concurrent", "1"]
    swept = command("sweep", "quickstart", *small)
    assert "4 trials: 4 done" in swept
    report = tmp_path / "results/quickstart/analysis/report.html"
    assert f"report: {report.as_uri()}" in swept
    made = report.stat().st_mtime_ns
    assert f"report: {report.as_uri()}" in command("resume", "results/quickstart")
    assert report.stat().st_mtime_ns == made  # nothing changed, so there is nothing to tell
    assert "no damage" in command("verify", "results/quickstart")
    assert "files in talk" in command("analyze", "results/quickstart", "--output-dir", "talk")
    assert "4 trials: 4 done" in command("results", "results/quickstart")
    assert command("status", "results/quickstart").splitlines()[-1].split() == ["all", "4"]
    assert (tmp_path / "results/quickstart/results.csv").exists()
