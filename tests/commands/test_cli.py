"""cli.py: help with examples that exist, shell completion, and who is told what on which stream."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from typer.main import get_command

from infomax_tune import cli
from infomax_tune.science.digest import digest
from infomax_tune.science.selfcheck import SelfCheck
from tests.command import COMMAND, call, infomax_tune

COMMANDS = get_command(cli.app).commands  # pyright: ignore[reportAttributeAccessIssue]
ROOT = Path(__file__).resolve().parents[2]
DIGEST = "dc740ea8d744b795"
"""What `selfcheck` prints on every CPU: whoever changes the arithmetic changes it."""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples_that_exist(name: str) -> None:
    text = call(name, "--help").stdout
    examples = re.findall(r"^  +infomax-tune (.*)$", text.partition("Examples:")[2], flags=re.MULTILINE)
    assert examples
    for example in examples:
        command, *words = shlex.split(example)
        assert command == name
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """What bash would offer for the last word of a line."""

    def complete(line: str) -> list[str]:
        monkeypatch.setenv("_INFOMAX_TUNE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit):
            cli.app(prog_name="infomax-tune")
        assert err.getvalue() == ""
        return out.getvalue().split()

    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("infomax-tune sw", ["sweep"]),
        ("infomax-tune sweep act", ["activation_study"]),
        ("infomax-tune sweep my_", ["my_study.yaml"]),
        ("infomax-tune sweep quickstart --set hid", ["hidden_dim="]),
        (
            "infomax-tune run lambda_",
            ["lambda_var=", "lambda_tc=", "lambda_wr=", "lambda_lse=", "lambda_l1=", "lambda_term="],
        ),
        ("infomax-tune run activation=so", ["activation=softmax", "activation=softplus"]),
        ("infomax-tune sweep quickstart --set activation=relu,ta", ["activation=relu,tanh"]),
        ("infomax-tune run probe=", ["probe=true", "probe=false"]),
        ("infomax-tune sweep quickstart --device c", ["cpu", "cuda"]),
        ("infomax-tune resume out --strict", ["--strict-environment"]),
    ],
)
def test_the_shell_completes_commands_spaces_and_settings(
    line: str, offered: list[str], complete: Callable[[str], list[str]]
) -> None:
    Path("my_study.yaml").touch()
    assert complete(line) == offered


def test_completion_can_be_installed() -> None:
    """The script that --show-completion prints is one that bash can read."""
    # whatever shell this test was started from, or none
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "infomax_tune", "--show-completion", "bash"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)
    assert "COMP_WORDS" in done.stdout


def test_the_exit_codes_are_documented_alike() -> None:
    """In the help and in the reference."""
    reference = " ".join((ROOT / "docs/commands.md").read_text(encoding="utf-8").split())
    codes = call("--help").stdout.partition("Exit codes: ")[2]
    assert " ".join(codes.split()) in reference


def test_a_mistake_goes_to_stderr_and_nothing_to_stdout() -> None:
    done = infomax_tune("sweep", "quickstart", "--quiet", "--verbose", ok=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "infomax-tune: --quiet and --verbose: give only one of them.\n"


def test_training_gives_the_digest_of_every_cpu() -> None:
    assert digest() == DIGEST


def test_the_selfcheck_finds_no_difference_here() -> None:
    """Over its whole grid; in a process of its own, where nothing checks the shapes of arrays meanwhile."""
    done = infomax_tune("selfcheck")
    assert "Every trial compared was bit-identical to the same trial alone." in done.stdout
    assert f"digest: {DIGEST}\n" in done.stdout


def test_the_docs_have_the_digest_of_this_version() -> None:
    assert f"`{DIGEST}`" in (ROOT / "docs" / "nothing-lost.md").read_text(encoding="utf-8")


def test_a_selfcheck_that_finds_a_difference_names_it_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SelfCheck("a CPU", 2, ["tanh, head none, 16 units, batch 100, adam, packs of 10"], 0.1)
    monkeypatch.setattr("infomax_tune.science.selfcheck.check", lambda: found)
    done = call("selfcheck", ok=False)
    assert done.returncode == 1
    assert "differs: tanh, head none, 16 units, batch 100, adam, packs of 10\n" in done.stdout
    assert "bit-identical" not in done.stdout


def test_a_sweep_needs_neither_stdout_nor_stderr(tmp_path: Path) -> None:
    one = ["--set", "activation=relu", "--set", "seed=1"]
    command = shlex.join([*COMMAND, "sweep", "quickstart", "--set", "epochs=1", *one, "--no-report"])
    for closed in (">&- 2>&-", "| head -1"):
        out = tmp_path / closed.replace(" ", "_")
        script = f"set -o pipefail; {command} --out {shlex.quote(str(out))} {closed}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (closed, done.stderr)
        assert "Traceback" not in done.stderr
        assert (out / "results.csv").exists()
