"""What a newcomer types, and what it does or says."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import sys
import time
from pathlib import Path

import pytest

import infomax_tune
from infomax_tune import cli, sweep
from infomax_tune.errors import ConfigError
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from tests.command import call
from tests.folders import make_interrupted_sweep, make_sweep


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """A finished sweep of four trials."""
    return make_sweep(tmp_path_factory.mktemp("out") / "small", "epochs=2", "activation=relu,tanh", "seed=1,2")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("out") / "alone"
    call("run", "dataset=digits", "activation=tanh", "epochs=2", "--out", out)
    return out


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("sweep quickstart --epochs 3", "--epochs: this is a setting, not an option; write --set epochs=3"),
        ("sweep quickstart --hidden-dim=8", "--hidden-dim: this is a setting, not an option; write --set hidden_dim=8"),
        ("sweep quickstart --activation relu,tanh", "write --set activation=relu,tanh"),
        ("sweep quickstart --lr", "write --set lr=VALUE"),
        ("run --epochs 3", "--epochs: this is a setting, not an option; write epochs=3"),
        ("run seed=1,2", "seed: a run takes one value, got [1, 2]; to compare several: infomax-tune sweep"),
    ],
)
def test_a_setting_in_the_wrong_place_is_told_where_it_goes(line: str, advice: str) -> None:
    done = call(*line.split(), ok=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert advice in done.stderr


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("seed=1,2,3", [1, 2, 3]),
        ("activation=relu,tanh", ["relu", "tanh"]),
        ("lr=1e-2, 0.1", [0.01, 0.1]),
        ("seed=[1, 2]", [1, 2]),
        ("seed={range: [1, 2]}", {"range": [1, 2]}),
        ("seed=4", 4),
    ],
)
def test_a_list_needs_no_brackets(typed: str, values: object) -> None:
    settings, problems = read_overrides([typed])
    assert problems == []
    assert [setting.value for setting in settings.values()] == [values]


def test_the_bare_command_shows_its_help_and_succeeds() -> None:
    done = call()
    assert done.returncode == 0
    assert done.stdout == call("--help").stdout
    assert "\n  sweep  " in done.stdout


def test_every_summary_in_the_list_of_commands_is_whole() -> None:
    listed = call("--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(listed) >= 10
    assert all(re.fullmatch(r"  [\w-]+ +[A-Z].*[^.]\.", line) for line in listed), listed


def test_a_sweep_file_is_a_space(small: SweepFolder) -> None:
    """The space as run: its trials have the ids that they have in that sweep, and its folder's name is the sweep's."""
    file = small.root / "sweep.yaml"
    space, notes = load_space(str(file))
    assert notes == []
    assert [config.trial_id for config in space.plan()] == [config.trial_id for config in small.read_space().plan()]
    more, _ = load_space(str(file), overrides=read_overrides(["seed=1,2,3"])[0])
    assert len(more.plan()) == 6
    old = Path(__file__).parents[1] / "old_folders/0.1.0/finished/sweep.yaml"
    assert {len(config.trial_id.rpartition("-")[2]) for config in load_space(str(old))[0].plan()} == {8}
    typo = Path("sweep.yaml")
    typo.write_text(file.read_text().replace("  training.seed", "  training.sed"))
    done = call("sweep", typo, "--dry-run", ok=False)
    assert (done.returncode, "'training.sed' is unknown; did you mean 'training.seed'?" in done.stderr) == (2, True)


def test_an_output_folder_is_no_space_but_can_be_resumed(small: SweepFolder) -> None:
    done = call("sweep", small.root, ok=False)
    assert done.returncode == 2
    assert f"is the output folder of a sweep; resume it with: infomax-tune resume {small.root}" in done.stderr
    with pytest.raises(ConfigError, match="resume it with"):
        sweep(small.root)
    Path("nothing").mkdir()
    done = call("sweep", "nothing", ok=False)
    assert "nothing: this is a folder. Give the name of a bundled space (activation_study, quickstart" in done.stderr


def test_status_shows_a_run(alone: Path) -> None:
    done = call("status", alone)
    assert done.stdout.splitlines()[1:] == ["tanh-k16         1", "all              1"]
    assert '"done": 1' in call("status", alone, "--json").stdout
    (alone / "record.json").rename(alone / "aside")
    try:
        left = call("status", alone, "--watch").stdout
        with TrialFolder(alone).lock():
            trained = json.loads(call("status", alone, "--json").stdout)["counts"]
            assert [each.state for each in infomax_tune.list(alone)] == ["running"]
    finally:
        (alone / "aside").rename(alone / "record.json")
    assert re.search(r"^all +0 +1$", left, flags=re.MULTILINE)
    assert f"to train it: infomax-tune run {alone}/config.yaml --out {alone}" in left
    assert {status for status, count in trained.items() if count} == {"running"}


@pytest.mark.parametrize("command", ["analyze", "resume", "results", "verify"])
def test_what_needs_a_sweep_says_that_a_run_is_none(command: str, alone: Path) -> None:
    done = call(command, alone, ok=False)
    assert done.returncode == 2
    assert f"holds a single run, not a sweep; show it with: infomax-tune status {alone}" in done.stderr


def test_status_shows_what_there_is_and_all_of_it_if_asked(small: SweepFolder, tmp_path: Path) -> None:
    assert call("status", small.root).stdout.splitlines() == [
        "cell          done",
        "relu-k16         2",
        "tanh-k16         2",
        "all              4",
    ]
    full = call("status", small.root, "--full").stdout.splitlines()
    assert full[0].split() == ["cell", "done", "diverged", "failed", "damaged", "running", "left"]
    assert re.fullmatch(r"relu-k16-[0-9a-f]{8} +2( +0){5}", full[1])
    _, interrupted = make_interrupted_sweep(tmp_path / "interrupted")
    shown = call("status", interrupted.root).stdout.splitlines()
    assert shown[0].split() == ["cell", "done", "diverged", "left"]
    assert [line.split()[:2] for line in shown[1:5]] == [
        [name, rate] for rate in ("lr=0.01", "lr=1e+30") for name in ("identity-k16", "relu-k16")
    ]


def test_run_names_only_options_that_it_has() -> None:
    text = call("run", "--help").stdout
    options = set(re.findall(r"(?<![\w-])--[a-z-]+", text))
    assert options == {"--out", "--data-dir", "--device", "--trust-parts", "--help"}


class Bash:
    """An interactive bash that has the completion which `--show-completion` prints."""

    def __init__(self, home: Path) -> None:
        script, program = home / "completion", home / "bin"
        program.mkdir()
        (program / "infomax-tune").write_text(f"#!{sys.executable}\nfrom infomax_tune.cli import main\nmain()\n")
        (program / "infomax-tune").chmod(0o755)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            path = f"{program}:{os.environ['PATH']}"
            environment = {
                **os.environ,
                "PATH": path,
                "PS1": "$ ",
                "TERM": "dumb",
                "PYTHONPATH": ":".join(_python_path()),
            }
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        self.type(f"infomax-tune --show-completion bash > {script}; source {script}; echo rea''dy\n")
        self.read_until("ready")

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def read_until(self, text: str, seconds: float = 60) -> str:
        shown, end = "", time.monotonic() + seconds
        while text not in shown:
            assert time.monotonic() < end, f"{text!r} was not shown: {shown!r}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                shown += os.read(self.terminal, 65536).decode()
        return shown

    def close(self) -> None:
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


def _python_path() -> list[str]:
    return [str(Path(cli.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]


def test_bash_completes_the_values_of_a_setting(tmp_path: Path) -> None:
    """bash takes = for the end of a word, and would offer files."""
    bash = Bash(tmp_path)
    try:
        bash.type("infomax-tune sweep quickstart --set epochs=3 --set activation=relu,ta\t")
        bash.read_until("--set epochs=3 --set activation=relu,tanh ")
    finally:
        bash.close()
