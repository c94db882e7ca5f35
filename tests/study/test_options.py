"""options.py: declared once, and the same for `sweep`, `resume` and Python."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infomax_tune import cli, sweep
from infomax_tune.errors import ConfigError
from infomax_tune.study.options import Options


def test_every_option_is_one_of_both_commands_and_of_python() -> None:
    shown = {
        name: CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "200"}).output
        for name in ("sweep", "resume")
    }
    parameters = inspect.signature(sweep).parameters
    for option in dataclasses.fields(Options):
        assert parameters[option.name].default == option.default
        assert "options" not in parameters
        word = "--logger" if option.name == "loggers" else f"--{option.name.replace('_', '-')}"
        for text in shown.values():
            assert f"{word} " in text
            assert option.metadata["help"].split(" [default")[0][:40] in " ".join(text.split())


def test_an_option_that_does_not_exist_is_refused_from_python() -> None:
    with pytest.raises(TypeError, match="cpus_a_pack"):
        sweep("quickstart", cpus_a_pack=2)


def test_the_options_that_are_not_the_defaults_can_be_typed_again() -> None:
    assert Options().as_words() == []
    options = Options(pack=3, data_dir=Path("data"), strict_environment=True, loggers=("csv", "json"))
    expected = ["--pack", "3", "--data-dir", "data", "--strict-environment", "--logger", "csv", "--logger", "json"]
    assert options.as_words() == expected


def test_python_may_give_text_for_a_path_and_one_name_for_a_list() -> None:
    options = Options(data_dir="data", loggers="csv")  # pyright: ignore[reportArgumentType]
    assert (options.data_dir, options.loggers) == (Path("data"), ("csv",))


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"pack: .*\nmax_concurrent: .*\ndevice: 'gpu' is unknown") as caught:
        Options(pack=0, max_concurrent=0, device="gpu")
    assert len(str(caught.value).splitlines()) == 3
