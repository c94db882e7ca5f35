"""search_spaces: a YAML becomes the list of trials it says, no more, no fewer, none twice."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from infomax_tune.errors import ConfigError
from infomax_tune.study import yaml_document
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.datasets import check_batch_size
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import bundled_spaces, load_space, parse_space
from infomax_tune.study.space import SearchSpace

COUNTS = {"activation_study": 180, "quickstart": 60, "synthetic_2d": 60}

STUDY = ("identity", "relu", "leaky_relu", "softmax", "tanh", "softplus")


def read(text: str, *overrides: str, config: str | None = None) -> SearchSpace:
    """The space of a file's text, over a base config's text and under overrides."""
    settings, problems = read_overrides(overrides)
    assert not problems
    under = None if config is None else yaml_document.parse(config, "base.yaml")
    return parse_space(yaml_document.parse(text, "mine.yaml"), "mine", under, settings)[0]


def mistakes(text: str, *overrides: str, config: str | None = None) -> list[str]:
    """The lines of the message that refuses the space."""
    with pytest.raises(ConfigError) as error:
        read(text, *overrides, config=config)
    return str(error.value).splitlines()


# --- the bundled spaces ---


def test_the_bundled_spaces_are_the_yaml_files_of_the_package() -> None:
    """Each has a test of its count here."""
    assert set(bundled_spaces()) == set(COUNTS)
    assert all(path.is_file() for path in bundled_spaces().values())


@pytest.mark.parametrize("name", COUNTS)
def test_a_bundled_space_is_whole(name: str) -> None:
    """It parses with no note, its name is its file's, its trials are as many as said, unique, and can be trained."""
    space, notes = load_space(name)
    trials = space.trials()
    assert notes == []
    assert space.name == name
    assert space.description.endswith(".")
    assert len(trials) == COUNTS[name]
    assert len({trial.trial_id for trial in trials}) == len(trials)
    assert set(Counter(trial.cell for trial in trials).values()) == {10}
    for trial in trials:
        check_batch_size(trial)


def test_the_activation_study_is_the_study() -> None:
    """6 activations x 3 widths x seeds 1 to 10, everything else as the defaults say."""
    space, _ = load_space("activation_study")
    assert {(t.model.activation, t.model.hidden_dim, t.training.seed) for t in space.trials()} == {
        (activation, width, seed) for activation in STUDY for width in (16, 32, 64) for seed in range(1, 11)
    }
    assert space.base == TrialConfig()


# --- reading a space ---


def test_a_space_is_its_base_and_its_axes() -> None:
    """The last axis turns fastest; values are settled to their types; a range holds both its ends."""
    space = read(
        """\
        name: small
        description: Two by three.
        base: {data: {dataset: digits}, lr: 0.1}
        axes: {lambda_tc: [0, 1], seed: {range: [3, 5]}}
        """
    )
    assert (space.name, space.description) == ("small", "Two by three.")
    assert space.axes == {"loss.lambda_tc": [0.0, 1.0], "training.seed": [3, 4, 5]}
    trials = space.trials()
    assert [(t.loss.lambda_tc, t.training.seed) for t in trials] == [(0, 3), (0, 4), (0, 5), (1, 3), (1, 4), (1, 5)]
    assert {(t.data.dataset, t.training.lr) for t in trials} == {("digits", 0.1)}
    assert type(trials[0].loss.lambda_tc) is float


def test_the_originals_flat_form_is_a_space() -> None:
    """Axes at the top of the file, and a name from the file's name."""
    space = read("activation: [relu, tanh]\nhidden_dim: [16, 32]\nlambda_tc: [0.5]\nseed: [1, 2, 3]\n")
    assert space.name == "mine"
    assert space.description == ""
    assert list(space.axes) == ["model.activation", "model.hidden_dim", "loss.lambda_tc", "training.seed"]
    assert len(space.trials()) == 12


@pytest.mark.parametrize(
    "axes",
    [
        "{activation: [relu], seed: [1]}",
        "{model.activation: [relu], training.seed: [1]}",
        "{model: {activation: [relu]}, seed: [1]}",
    ],
)
def test_axes_may_be_short_dotted_or_nested(axes: str) -> None:
    """As in a config file."""
    assert read(f"axes: {axes}").axes == {"model.activation": ["relu"], "training.seed": [1]}


def test_a_range_of_one_is_one_value() -> None:
    """[4, 4] is 4, and may be negative only where the setting may."""
    assert read("axes: {seed: {range: [4, 4]}}").axes == {"training.seed": [4]}
    assert mistakes("axes: {seed: {range: [-1, 0]}}") == ["seed: must be at least 0, got -1 (mine.yaml, line 1)"]


def test_a_base_config_lies_under_the_spaces_own_settings() -> None:
    """Study defaults < --config < base < axes; its notes are passed on."""
    settings = "epochs: 5\nlr: 0.5\nseed: 99\nnum_workers: 2\n"
    space = read("base: {lr: 0.1}\naxes: {seed: [1, 2]}", config=settings)
    assert {(t.training.epochs, t.training.lr) for t in space.trials()} == {(5, 0.1)}
    assert [t.training.seed for t in space.trials()] == [1, 2]
    document = yaml_document.parse(settings, "base.yaml")
    _, notes = load_space("quickstart", config=document)
    assert notes == ["note: num_workers has no effect here: the data is held in memory (base.yaml, line 4)."]


def test_an_override_replaces_an_axis_or_makes_one() -> None:
    """A value fixes the axis; a list or a range is the axis; other settings go over the base."""
    text = "base: {lr: 0.1}\naxes: {activation: [relu, tanh], seed: {range: [1, 10]}}"
    space = read(text, "activation=softplus", "lr=0.2", "epochs=3")
    assert list(space.axes) == ["training.seed"]
    assert (space.base.model.activation, space.base.training.lr, space.base.training.epochs) == ("softplus", 0.2, 3)
    space = read(text, "seed={range: [1, 2]}", "hidden_dim=[4, 8, 16]")
    assert space.axes["training.seed"] == [1, 2]
    assert space.axes["model.hidden_dim"] == [4, 8, 16]
    assert len(space.trials()) == 12
    assert len(read("{}", "seed=[1, 2]").trials()) == 2


def test_an_override_mends_an_axis_that_is_wrong_in_the_file() -> None:
    """What is replaced is not complained about."""
    assert read("axes: {activation: [foo], seed: [1]}", "activation=[relu]").axes["model.activation"] == ["relu"]


def test_a_space_comes_back_from_the_sweep_file() -> None:
    """as_dict and from_dict are inverse."""
    space, _ = load_space("quickstart")
    again = SearchSpace.from_dict(
        yaml_document.parse(yaml_document.dump(space.as_dict()), "sweep.yaml").content, "sweep.yaml"
    )
    assert again == space
    assert again.trials() == space.trials()


def test_a_path_is_read_and_names_the_space(tmp_path: Path) -> None:
    """A file of the user's own, wherever it lies."""
    path = tmp_path / "some folder" / "größe.yaml"
    path.parent.mkdir()
    path.write_text("seed: [1, 2]\n", encoding="utf-8")
    space, _ = load_space(str(path))
    assert (space.name, len(space.trials())) == ("größe", 2)


# --- mistakes ---


def test_all_mistakes_of_a_space_are_reported_at_once() -> None:
    """Base, axes, overrides and base config together, each with its place."""
    text = """\
name: 5
base:
  lr: fast
axes:
  seed: [1, 1]
  activation: []
  hidden_dim: 16
  epochs: {range: [3, 1]}
  batch_size: {range: [1]}
  lambda_tc: [x, -1]
  foo: [1]
"""
    found = mistakes(text, "head=soft", config="model: {hiden_dim: 3}")
    expected = [
        r"name: must be text, got 5 \(mine\.yaml, line 1\)",
        r"key: 'model\.hiden_dim' is unknown; did you mean 'model\.hidden_dim'\? .* \(base\.yaml, line 1\)",
        r"key: 'foo' is unknown\. .* \(mine\.yaml, line 11\)",
        r"head: 'soft' is unknown; did you mean 'softmax'\? .* \(override 'head=soft'\)",
        r"lr: must be a number, got 'fast' \(mine\.yaml, line 3\)",
        r"training\.seed: 1 is given twice \(mine\.yaml, line 5\)",
        r"model\.activation: the axis is empty \(mine\.yaml, line 6\)",
        r"model\.hidden_dim: an axis must be a list or \{range: \[first, last\]\}, got 16; "
        r"to fix a value, put it under base \(mine\.yaml, line 7\)",
        r"training\.epochs: the range \[3, 1\] is empty: its last value is below its first \(mine\.yaml, line 8\)",
        r"data\.batch_size: a range must be \{range: \[first, last\]\} with two whole numbers, got \{'range': \[1\]\} .*",
        r"lambda_tc: must be a number, got 'x' \(mine\.yaml, line 10\)",
        r"lambda_tc: must be at least 0\.0, got -1 \(mine\.yaml, line 10\)",
    ]
    assert len(found) == len(expected), found
    for pattern, line in zip(expected, found, strict=True):
        assert re.fullmatch(pattern, line), line


@pytest.mark.parametrize(
    "text",
    [
        "axes: {seed: [1], training.seed: [2]}",
        "axes: {seed: [1], training: {seed: [2]}}",
        "axes: {training: {seed: [2]}, seed: [1]}",
        "axes: {seed: [1]}\nseed: [2]",
    ],
)
def test_an_axis_given_twice_is_refused(text: str) -> None:
    """In whatever spellings: the one that loses would be silently missing."""
    (line,) = mistakes(text)
    assert re.match(r"training\.seed: given twice \(mine\.yaml, line 1; mine\.yaml, line [12]\)", line)


@pytest.mark.parametrize("values", ["[1, 1]", "[1, 1.0]", "[0.5, 1, 5e-1]"])
def test_values_that_are_equal_are_given_twice(values: str) -> None:
    """1 and 1.0 are one number, and so one trial."""
    (line,) = mistakes(f"axes: {{lambda_tc: {values}}}")
    assert "is given twice" in line


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("base: {objective: reconstruction}\naxes: {lambda_tc: [0, 1], seed: [1]}", "lambda_tc"),
        ("base: {objective: random}\naxes: {lr: [0.1, 0.2], seed: [1]}", "lr"),
        ("base: {epochs: 0}\naxes: {optimizer: [adam, sgd]}", "optimizer"),
        ("axes: {objective: [random, reconstruction], lambda_tc: [0, 1]}", "lambda_tc"),
    ],
)
def test_an_axis_that_changes_nothing_anywhere_is_refused(text: str, axis: str) -> None:
    """It was meant to change something; the message names it."""
    (line,) = mistakes(text)
    assert re.match(
        rf"axes: two combinations are the same trial \(relu-k16-s1-[0-9a-f]{{16}}\): {axis} changes nothing", line
    )


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        (
            "{objective: [infomax, random, reconstruction], optimizer: [adam, sgd]}",
            [("infomax", "adam"), ("infomax", "sgd"), ("random", "adam"), ("reconstruction", "adam"),
             ("reconstruction", "sgd")],
        ),
        (
            "{optimizer: [sgd, adam], objective: [random, infomax]}",
            [("adam", "random"), ("sgd", "infomax"), ("adam", "infomax")],
        ),
        ("{objective: [infomax, random], epochs: [1, 2]}", [("infomax", 1), ("infomax", 2), ("random", 0)]),
        ("{objective: [infomax, reconstruction], lambda_tc: [0.0, 1.0]}",
         [("infomax", 0), ("infomax", 1), ("reconstruction", 0)]),
        ("{optimizer: [adam, sgd], momentum: [0.0, 0.9]}", [("adam", 0), ("sgd", 0), ("sgd", 0.9)]),
    ],
)  # fmt: skip
def test_a_baseline_that_ignores_an_axis_is_one_trial(axes: str, told: list[tuple[Any, ...]]) -> None:
    """It has the default of that axis; the others keep the order of the grid and their ids."""
    space = read(f"axes: {axes}")
    trials = space.trials()
    assert [tuple(config.flat()[name] for name in space.axes) for config in trials] == told
    assert list(space.plan()) == trials
    alone = [read("axes: {seed: [1]}", *[f"{k}={v}" for k, v in zip(space.axes, point, strict=True)]) for point in told]
    assert [one.trials()[0].trial_id for one in alone] == [config.trial_id for config in trials]


def test_the_order_of_an_axis_does_not_change_what_a_table_shows_of_a_baseline() -> None:
    shown = [
        {
            config.trial_id: config.flat()
            for config in read(f"axes: {{objective: [infomax, random], lr: {values}}}").trials()
        }
        for values in ("[0.01, 0.1]", "[0.1, 0.01]", "[0.5, 0.1, 0.01]")
    ]
    baseline = next(trial_id for trial_id, flat in shown[0].items() if flat["loss.objective"] == "random")
    assert shown[0] == shown[1]
    assert shown[2][baseline] == shown[0][baseline]
    assert len(shown[0]) == 3


def test_a_slip_of_the_keyboard_does_not_make_a_million_trials() -> None:
    """Neither one long axis nor the product of several."""
    (line,) = mistakes("axes: {seed: {range: [1, 1000000000]}}")
    assert "has more than 100000 values" in line
    (line,) = mistakes("axes: {seed: {range: [1, 1000]}, hidden_dim: {range: [1, 1000]}}")
    assert line == "axes: 1000000 trials exceed the limit of 100000 (mine.yaml)"


def test_a_name_that_is_near_is_suggested() -> None:
    """And all bundled names are listed."""
    with pytest.raises(
        ConfigError, match=r"'quikstart' is unknown; did you mean 'quickstart'\? One of activation_study"
    ):
        load_space("quikstart")
