"""A guest on the user's machine: what was there stays, what cannot be done leaves nothing, and nothing is told that is not ours."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import infomax_tune
from infomax_tune.errors import ConfigError, ResourceError, StoreError
from infomax_tune.on_ray import sweep as on_ray
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.read_space import load_space
from tests.command import COMMAND, call
from tests.folders import make_sweep

NOBODY = 12345
"""A user whom no system has in its list."""

AS_NOBODY = [
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *(
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
    ),  # may read this Python, wherever it is installed
]


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# ---- a sweep that cannot begin


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No MNIST here, and no network."""
    monkeypatch.setenv("INFOMAX_TUNE_DATA_DIR", str(tmp_path / "data"))

    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("there is no network in this test")

    monkeypatch.setattr(urllib.request, "urlopen", offline)


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], None]:
    """Ray is not started. Gives a function that says which error its start raises, if any."""

    def start(error: Exception | None = None) -> None:
        @contextlib.contextmanager
        def cluster(*args: object, **options: object) -> Iterator[int]:
            if error is not None:
                raise error
            yield 2

        monkeypatch.setattr(on_ray, "cluster", cluster)

    start()
    return start


SWEEP = ["sweep", "quickstart", "--no-report", "--out"]


def test_a_sweep_that_cannot_begin_removes_only_what_it_made(
    tmp_path: Path, no_data: None, no_ray: Callable[[Exception | None], None]
) -> None:
    """Not a user's own files, even where their names are those of a sweep's."""
    out = tmp_path / "out"
    for name in ("environments/conda.yml", "trials/notes.txt", "ray.log", "analysis/mine.html"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(f"mine: {name}")
    (out / "trials" / "empty").mkdir()
    before = everything(out)
    done = call(*SWEEP, out, "--set", "dataset=mnist", ok=False)
    assert (done.returncode, "mnist: not found" in done.stderr) == (2, True)
    assert everything(out) == before


def test_where_nothing_can_be_locked_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(handle: object, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    done = call(*SWEEP, tmp_path / "new" / "out", ok=False)
    assert (done.returncode, "its file system does not support locks" in done.stderr) == (2, True)
    assert everything(tmp_path) == {}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["environment.json", "environments/0123abcd.json"])
def test_a_file_of_the_users_own_is_not_taken_for_a_damaged_one_of_a_sweep(name: str, tmp_path: Path) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text('{"mine": true}')
    done = call(*SWEEP, tmp_path / "out", ok=False)
    assert (done.returncode, f"holds {name}, which no sweep made" in done.stderr) == (2, True)
    assert everything(path.parent) == {path.name: b'{"mine": true}'}


@pytest.mark.parametrize(
    "error",
    [
        ResourceError("no Ray"),
        StoreError("no room"),
        PermissionError(13, "Permission denied", "/.ray"),
        KeyError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_keeps_a_sweep_from_beginning_it_leaves_no_folder(
    error: Exception, tmp_path: Path, no_ray: Callable[[Exception | None], None]
) -> None:
    """Nor the folders above it, where they are new."""
    no_ray(error)
    with pytest.raises(KeyError) if isinstance(error, KeyError) else contextlib.nullcontext():
        assert call(*SWEEP, tmp_path / "new" / "results" / "out", ok=False).returncode == 2
    assert everything(tmp_path) == {}


def test_a_sweep_that_has_begun_stays(
    tmp_path: Path, no_ray: Callable[[Exception | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the command that its message names can go on."""

    def full(*args: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr("infomax_tune.on_ray.fit.train_all", full)
    out = tmp_path / "out"
    assert call(*SWEEP, out, ok=False).returncode == 2
    assert SweepFolder(out).read_space().name == "quickstart"
    assert (out / "environment.json").exists()


def test_an_earlier_sweep_stays_if_it_cannot_be_extended(
    tmp_path: Path, no_ray: Callable[[Exception | None], None]
) -> None:
    out = tmp_path / "out"
    folder = SweepFolder(out)
    folder.create()
    folder.write_space(load_space("quickstart")[0])
    before = (out / "sweep.yaml").read_bytes()
    no_ray(ResourceError("no Ray"))
    assert call(*SWEEP, out, ok=False).returncode == 2
    assert (out / "sweep.yaml").read_bytes() == before


# ---- paths that are not text


ODD = os.fsdecode(b"caf\xe9")
"""In Latin-1; what a disk from another decade holds."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "dataset=digits", "epochs=1", "--out", ODD],
        ["run", "dataset=digits", "epochs=1", "--data-dir", ODD],
        ["run", f"{ODD}.yaml"],
        ["sweep", "quickstart", "--out", ODD],
        ["sweep", "quickstart", "--data-dir", ODD],
        ["sweep", f"{ODD}.yaml"],
        ["status", ODD],
    ],
    ids=lambda arguments: " ".join(arguments).encode("ascii", "replace").decode(),
)
def test_a_path_that_is_not_utf8_is_refused(arguments: list[str], tmp_path: Path) -> None:
    done = call(*arguments, ok=False)
    assert done.returncode == 2
    assert re.fullmatch(r"infomax-tune: 'caf\\udce9(\.yaml)?' is not UTF-8 text, .*rename it.*\n", done.stderr)
    assert everything(tmp_path) == {}


def test_a_path_that_is_not_utf8_is_refused_from_python_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"dataset": "digits", "epochs": 1}
    for arguments in ({"out": ODD}, {"data_dir": ODD}):
        with pytest.raises(ConfigError, match=r"caf\\udce9' is not UTF-8"):
            infomax_tune.run(settings, **arguments)
        with pytest.raises(ConfigError, match=r"caf\\udce9' is not UTF-8"):
            infomax_tune.sweep("quickstart", **arguments)
    assert everything(tmp_path) == {}
    (tmp_path / ODD).mkdir()
    monkeypatch.chdir(tmp_path / ODD)  # Ray is given the working folder
    with pytest.raises(ConfigError, match=r"caf\\udce9' is not UTF-8"):
        infomax_tune.sweep("quickstart", out=tmp_path / "out")


# ---- what is told


def test_the_report_names_the_machine_only_when_asked_to(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "out", "activation=[relu]", "seed=[1]", "epochs=1", "save_metrics_every=1")
    folder.environments.write_latest(
        {"host": "alice-laptop", "cpu": "a CPU", "command": "infomax-tune sweep quickstart"}
    )
    call("analyze", folder.root)
    assert "alice-laptop" not in folder.report.read_text()
    assert "a CPU" in folder.report.read_text()
    call("analyze", folder.root, "--with-host")
    assert "alice-laptop" in folder.report.read_text()


def test_the_command_is_kept_without_the_place_of_installation(tmp_path: Path) -> None:
    """Which may hold a user's name, and is no command elsewhere."""
    out = tmp_path / "out"
    words = ["run", "dataset=synthetic_2d", "epochs=0", "--out", str(out)]
    subprocess.run([*COMMAND, *words], check=True, capture_output=True, timeout=100)
    assert f'"command": "infomax-tune {" ".join(words)}"' in (out / "environment.json").read_text()


# ---- for real


HOST_PROGRAM = """
import sys
import infomax_tune

swept = infomax_tune.sweep("quickstart", settings={"activation": ["relu"], "seed": [1], "epochs": 1}, out=sys.argv[1])
record = infomax_tune.run({"dataset": "digits", "epochs": 1}, out=sys.argv[1] + "/../run")
print(swept.complete, swept.report, record.status)
"""


def _can_be_nobody() -> bool:
    if os.geteuid() or not shutil.which("setpriv"):
        return False
    return not subprocess.run([*AS_NOBODY, "true"], check=False, capture_output=True).returncode


@pytest.mark.skipif(not _can_be_nobody(), reason="only root can become another user")
def test_a_host_program_of_a_user_without_home_name_and_short_folder(tmp_path: Path) -> None:
    """`docker run --user 12345`: / is the home, no file can be written there, and TMPDIR is too long for Ray's sockets.

    The program's command line, passwords included, is nobody's business.
    """
    theirs, temporary = tmp_path / "theirs", tmp_path / ("x" * 80)
    for folder in (theirs, temporary):
        folder.mkdir()
        os.chown(folder, NOBODY, NOBODY)
    program = tmp_path / "program.py"
    program.write_text(HOST_PROGRAM)
    environment = {"HOME": "/", "TMPDIR": str(temporary), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(Path(infomax_tune.__file__).parents[1])
    done = subprocess.run(
        [*AS_NOBODY, sys.executable, str(program), str(theirs / "out"), "--password", "correct-horse"],
        capture_output=True,
        text=True,
        check=False,
        cwd=theirs,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"True {theirs / 'out' / 'analysis' / 'report.html'} done" in done.stdout
    told = re.search(r"note: Ray's files are in (\S+) while it runs", done.stdout)
    assert told is not None
    assert not Path(told[1]).exists()
    written = {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()}
    assert not any(b"correct-horse" in content for content in written.values())
    assert b"infomax_tune.sweep(" in written[theirs / "out" / "environment.json"]
    assert b"infomax_tune.run(" in written[theirs / "run" / "environment.json"]
