"""config.py: what a trial is, where its settings come from, what its id says, and every mistake at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infomax_tune.errors import ConfigError
from infomax_tune.study import yaml_document
from infomax_tune.study.columns import LATER, SETTINGS
from infomax_tune.study.config import MAX_SEED, NAMES, TrialConfig, choices
from infomax_tune.study.read_config import (
    NO_EFFECT,
    build_config,
    from_nested,
    read_config,
    read_overrides,
    read_settings,
    resolve_name,
)
from tests.conftest import MakeConfig

STUDY = """\
data: {dataset: mnist, batch_size: 128, num_workers: 4}
model: {input_dim: 784, hidden_dim: 16, activation: relu, head: none}
loss: {lambda_tc: 1.0, lambda_wr: 0.0, variance_eps: 1.0e-6, objective: infomax}
training: {epochs: 100, lr: 0.001, optimizer: adam, seed: 1}
logging: {save_weights: true, save_metrics_every: 10, print_every: 10, output_dir: results}
"""


def read(text: str, *overrides: str) -> TrialConfig:
    """The config of a file's text under overrides."""
    return read_config(yaml_document.parse(text, "mine.yaml"), overrides)[0]


def mistakes(text: str, *overrides: str) -> list[str]:
    """The lines of the message that refuses them."""
    with pytest.raises(ConfigError) as error:
        read(text, *overrides)
    return str(error.value).splitlines()


def test_the_defaults_are_the_studys() -> None:
    """An empty file is the study's own first trial; its file sets nothing that is not the default."""
    assert TrialConfig().nested() == {
        "data": {"dataset": "mnist", "batch_size": 128},
        "model": {"hidden_dim": 16, "activation": "relu", "head": "none"},
        "loss": {
            "lambda_var": 1.0,
            "lambda_tc": 1.0,
            "lambda_wr": 0.0,
            "lambda_lse": 0.0,
            "lambda_l1": 0.0,
            "variance_eps": 1e-6,
            "objective": "infomax",
            "term": "none",
            "lambda_term": 1.0,
        },
        "training": {"epochs": 100, "lr": 1e-3, "optimizer": "adam", "seed": 1, "momentum": 0.0},
        "logging": {
            "save_weights": True,
            "save_metrics_every": 10,
            "checkpoint_every": 10,
            "probe": False,
            "metrics": "none",
        },
    }
    assert read("") == read(STUDY) == TrialConfig()


def test_a_file_of_the_original_study_is_read_with_a_note_on_what_has_no_effect() -> None:
    """The four keys are accepted wherever they stood, each with its reason and its line."""
    _, notes = read_config(yaml_document.parse(STUDY, "old.yaml"), [])
    assert notes == [
        "note: num_workers has no effect here: the data is held in memory (old.yaml, line 1).",
        "note: input_dim has no effect here: it follows from the dataset (old.yaml, line 2).",
        "note: print_every has no effect here: progress is always shown (old.yaml, line 5).",
        "note: output_dir has no effect here: the output folder is given beside the settings (old.yaml, line 5).",
    ]
    _, notes = read_config(yaml_document.parse("output_dir: x\nnum_workers: 2\n", "flat.yaml"), [])
    assert [re.sub(r":.*", "", note.removeprefix("note: ")) for note in notes] == [
        "output_dir has no effect here",
        "num_workers has no effect here",
    ]
    assert set(NO_EFFECT) == {"num_workers", "input_dim", "print_every", "output_dir"}


@pytest.mark.parametrize(
    "text",
    [
        "model: {activation: tanh}\ntraining: {lr: 0.5}",
        "activation: tanh\nlr: 0.5",
        "model.activation: tanh\ntraining.lr: 0.5",
        "activation: tanh\ntraining: {lr: 0.5}\nloss:\n",
    ],
)
def test_keys_may_be_nested_flat_or_dotted(text: str) -> None:
    """All spellings are the same config; a section without content is none."""
    assert read(text) == build_config(read_overrides(["activation=tanh", "lr=0.5"])[0])


def test_short_names_are_unambiguous() -> None:
    """Every setting can be given by its last word alone."""
    shorts = [name.split(".")[1] for name in NAMES]
    assert len(set(shorts)) == len(shorts) == 24
    assert [resolve_name(short) for short in shorts] == list(NAMES) == [resolve_name(name) for name in NAMES]
    assert resolve_name("model") is None
    assert resolve_name("training.activation") is None


def test_later_layers_win() -> None:
    """Defaults < file < overrides, and the last of two overrides."""
    config = read("activation: tanh\nhidden_dim: 32\n", "hidden_dim=64", "model.hidden_dim=8", "lr=1e-2")
    assert (config.model.activation, config.model.hidden_dim, config.training.lr) == ("tanh", 8, 0.01)
    assert config.data.batch_size == 128


def test_a_whole_number_will_do_for_a_number_and_makes_the_same_trial(make_config: MakeConfig) -> None:
    """lr=1 and lr=1.0 are one experiment, with one id."""
    assert make_config(lr=1).trial_id == make_config(lr=1.0).trial_id
    assert make_config(lr="1e-3") == make_config(lr="0.001") == make_config()


def test_a_config_cannot_be_changed() -> None:
    """Its id would no longer be its own."""
    config = TrialConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.model.hidden_dim = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.model = config.model  # type: ignore[misc]


# --- trial ids ---


def test_a_trial_id_says_what_the_trial_is(make_config: MakeConfig) -> None:
    """`<activation>-k<width>-s<seed>-<8 hex>`; a cell is the same for trials that differ in seed only."""
    trial = make_config(activation="leaky_relu", hidden_dim=64, seed=7)
    assert re.fullmatch(r"leaky_relu-k64-s7-[0-9a-f]{8}", trial.trial_id)
    assert re.fullmatch(r"leaky_relu-k64-[0-9a-f]{8}", trial.cell)
    sibling = make_config(activation="leaky_relu", hidden_dim=64, seed=8)
    assert sibling.cell == trial.cell
    assert sibling.trial_id != trial.trial_id
    assert make_config(activation="leaky_relu", hidden_dim=64, seed=8, lr=0.1).cell != trial.cell


def test_trial_ids_stay_what_they_are() -> None:
    """An id that moves would make every record of every existing folder a stranger."""
    assert TrialConfig().trial_id == "relu-k16-s1-7ffa4f72"
    assert TrialConfig().cell == "relu-k16-02c91527"


OTHER: dict[str, object] = {
    "data.dataset": "digits",
    "data.batch_size": 64,
    "model.hidden_dim": 17,
    "model.activation": "tanh",
    "model.head": "softmax",
    "loss.lambda_tc": 0.5,
    "loss.lambda_wr": 0.5,
    "loss.lambda_var": 0.5,
    "loss.lambda_lse": 0.5,
    "loss.lambda_l1": 0.5,
    "loss.variance_eps": 1e-5,
    "loss.objective": "variance_only",
    "loss.term": "mine.py:spread@0123456789ab",
    "loss.lambda_term": 0.5,
    "training.epochs": 99,
    "training.lr": 1e-2,
    "training.optimizer": "sgd",
    "training.seed": 2,
    "training.momentum": 0.5,
    "logging.save_weights": False,
    "logging.save_metrics_every": 1,
    "logging.checkpoint_every": 1,
    "logging.probe": True,
    "logging.metrics": "mine.py:largest@0123456789ab",
}
"""A second value for every setting."""

MEASURES_MORE = {"logging.probe", "logging.metrics"}
"""What adds a number to a trial's record, and changes none of the others."""

OF_ANOTHER = {"loss.lambda_term": "loss.term", "training.momentum": "training.optimizer"}
"""What counts only where another setting has its second value."""

UNTRAINED = {"data.dataset", "model.hidden_dim", "model.activation", "model.head", "loss.objective", "training.seed"}
"""What the numbers of an untrained network depend on."""


def other(base: TrialConfig, name: str) -> TrialConfig:
    """The config with another value of one setting."""
    section, key = name.split(".")
    nested = base.nested()
    nested[section][key] = OTHER[name]
    return from_nested(nested, "test")


def changes_id(base: TrialConfig, name: str) -> bool:
    """Whether another value of one setting makes another trial."""
    return other(base, name).trial_id != base.trial_id


def test_every_setting_has_a_second_value_here() -> None:
    """A new setting must say whether it is part of the id."""
    assert set(OTHER) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_id_covers_what_changes_the_numbers_and_nothing_else(name: str) -> None:
    """What is only logged does not change what a trial learns."""
    base = other(TrialConfig(), OF_ANOTHER[name]) if name in OF_ANOTHER else TrialConfig()
    assert changes_id(base, name) == (not name.startswith("logging.") or name in MEASURES_MORE)


@pytest.mark.parametrize("name", OF_ANOTHER)
def test_a_setting_of_what_is_not_used_is_not_in_the_id(name: str) -> None:
    """Such as momentum with adam."""
    assert not changes_id(TrialConfig(), name)


WEIGHTS_OF_LATER_TERMS = ["loss.lambda_var", "loss.lambda_lse", "loss.lambda_l1"]


@pytest.mark.parametrize(
    ("objective", "used"),
    [
        ("infomax", {"loss.lambda_var", "loss.lambda_lse", "loss.lambda_l1"}),
        ("variance_only", {"loss.lambda_var", "loss.lambda_lse", "loss.lambda_l1"}),
        ("reconstruction", set()),
        ("sae", {"loss.lambda_l1"}),
        ("random", set()),
    ],
)
@pytest.mark.parametrize("name", WEIGHTS_OF_LATER_TERMS)
def test_the_weight_of_a_term_that_an_objective_does_not_add_is_not_in_the_id(
    name: str, objective: str, used: set[str], make_config: MakeConfig
) -> None:
    """Two trials that differ in it alone would be one experiment twice."""
    assert changes_id(make_config(objective=objective), name) == (name in used)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"training.epochs"}))
def test_how_an_untrained_network_would_have_been_trained_is_not_in_its_id(name: str, make_config: MakeConfig) -> None:
    """With no epochs, the training and loss settings change nothing."""
    assert changes_id(make_config(epochs=0), name) == (name in UNTRAINED | MEASURES_MORE)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"loss.objective"}))
def test_the_random_baseline_is_untrained(name: str, make_config: MakeConfig) -> None:
    """`objective: random` trains nothing, so epochs do not count either."""
    assert changes_id(make_config(objective="random"), name) == (name in UNTRAINED | MEASURES_MORE)


@pytest.mark.parametrize("objective", ["variance_only", "reconstruction"])
@pytest.mark.parametrize("name", ["loss.lambda_tc", "loss.lambda_wr"])
def test_a_baseline_has_no_lambdas(objective: str, name: str, make_config: MakeConfig) -> None:
    """They are settled to 0 in the config itself, so that no table shows a value that was not used."""
    config = make_config(objective=objective, lambda_tc=3, lambda_wr=2)
    assert (config.loss.lambda_tc, config.loss.lambda_wr) == (0, 0)
    assert not changes_id(config, name)


def test_the_random_baseline_shows_no_epochs(make_config: MakeConfig) -> None:
    """Its config says 0 epochs, whatever was asked for."""
    assert make_config(objective="random", epochs=50).training.epochs == 0


# --- there and back ---

_positive = st.floats(1e-12, 1e12)
_configs = st.fixed_dictionaries(
    {
        "data.dataset": st.sampled_from(choices("data.dataset")),
        "data.batch_size": st.one_of(st.just(-1), st.integers(2, 10**6)),
        "model.hidden_dim": st.integers(1, 65536),
        "model.activation": st.sampled_from(choices("model.activation")),
        "model.head": st.sampled_from(["none", "softmax"]),
        "loss.lambda_tc": st.one_of(st.just(0.0), _positive),
        "loss.lambda_wr": st.one_of(st.just(0.0), _positive),
        "loss.lambda_var": st.one_of(st.just(1.0), _positive),
        "loss.lambda_lse": st.one_of(st.just(0.0), _positive),
        "loss.lambda_l1": st.one_of(st.just(0.0), _positive),
        "loss.variance_eps": _positive,
        "loss.objective": st.sampled_from(choices("loss.objective")),
        "loss.term": st.sampled_from(["none", OTHER["loss.term"]]),
        "loss.lambda_term": _positive,
        "training.epochs": st.integers(0, 10**6),
        "training.lr": _positive,
        "training.optimizer": st.sampled_from(["adam", "sgd"]),
        "training.seed": st.integers(0, MAX_SEED),
        "training.momentum": st.one_of(st.just(0.0), _positive),
        "logging.save_weights": st.booleans(),
        "logging.save_metrics_every": st.integers(1, 1000),
        "logging.checkpoint_every": st.integers(1, 1000),
        "logging.probe": st.booleans(),
        "logging.metrics": st.sampled_from(["none", OTHER["logging.metrics"]]),
    }
)


@given(_configs)
def test_a_config_comes_back_from_what_it_is_kept_as(settings: dict[str, Any]) -> None:
    """nested(), and the YAML that is left beside a record, give the same config with the same id."""
    config = build_config(read_settings(settings, yaml_document.Document({}, "test"))[0])
    again = from_nested(config.nested(), "test")
    assert again == config
    assert again.trial_id == config.trial_id
    from_file = read(yaml_document.dump(config.nested()))
    assert from_file == config
    assert from_file.trial_id == config.trial_id
    assert list(config.flat()) == list(NAMES)


@given(_configs, _configs)
def test_configs_with_equal_numbers_and_only_those_share_an_id(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The id is a function of `numbers()`, and its hash tells any two of these apart."""
    first, second = (build_config(read_settings(x, yaml_document.Document({}, "test"))[0]) for x in (one, other))
    assert (first.trial_id == second.trial_id) == (first.numbers() == second.numbers())


# --- mistakes ---


def test_all_mistakes_are_reported_at_once_each_with_its_place() -> None:
    """Unknown keys, wrong values and wrong overrides in one message, nearest matches named."""
    text = "model:\n  actvation: tanh\n  hidden_dim: -3\ntraining: {lr: fast,\n  seed: true}\nfoo: 1\n"
    found = mistakes(text, "dataset=minst", "epoch=3", "optimizer")
    assert len(found) == 8
    expected = [
        r"key: 'model\.actvation' is unknown; did you mean 'model\.activation'\? One of .* \(mine\.yaml, line 2\)",
        r"key: 'foo' is unknown\. One of .* \(mine\.yaml, line 6\)",
        r"key: 'epoch' is unknown; did you mean 'epochs'\? One of .* \(override 'epoch=3'\)",
        r"override 'optimizer': must look like key=value, for example activation=tanh\.",
        r"dataset: 'minst' is unknown; did you mean 'mnist'\? One of mnist, .*synthetic_2d\. \(override 'dataset=minst'\)",
        r"hidden_dim: must be at least 1, got -3 \(mine\.yaml, line 3\)",
        r"lr: must be a number, got 'fast' \(mine\.yaml, line 4\)",
        r"seed: must be a whole number, got True \(mine\.yaml, line 5\)",
    ]
    for pattern, line in zip(expected, found, strict=True):
        assert re.fullmatch(pattern, line), line


def test_the_list_of_choices_is_complete() -> None:
    """Someone who reads the message need not look anything up."""
    (line,) = mistakes("activation: sigmoidal")
    assert line == (
        "activation: 'sigmoidal' is unknown. One of identity, relu, leaky_relu, softmax, tanh, softplus, gelu, silu, elu, abs. "
        "(mine.yaml, line 1)"
    )
    (line,) = mistakes("foo: 1")
    assert all(name.split(".")[1] in line for name in NAMES)
    (line,) = mistakes("model: {foo: 1}")
    assert all(name in line for name in NAMES)


def test_a_key_in_the_wrong_section_is_told_its_own() -> None:
    """`model: {lr: ...}` is nearer to training.lr than to any key of the model."""
    assert mistakes("model:\n  lr: 0.1") == [
        "key: 'model.lr' is unknown; did you mean 'training.lr'? (mine.yaml, line 2)"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: tanh", r"model: must contain `key: value` lines, got 'tanh' \(mine\.yaml, line 1\)"),
        ("model: [1]", r"model: must contain `key: value` lines, got \[1\]"),
        ("lr: 1\ntraining: {lr: 2}", r"training\.lr: given twice \(mine\.yaml, line 1; mine\.yaml, line 2\)"),
        ("model: {1: 2}", r"key: 'model\.1' is unknown"),
        ("1: 2", r"key: '1' is unknown"),
    ],
)
def test_wrong_shapes_are_named(text: str, message: str) -> None:
    """A section that is no mapping, a setting that is given in two spellings, a key that is a number."""
    (line,) = mistakes(text)
    assert re.match(message, line), line


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hidden_dim=0", "must be at least 1, got 0"),
        ("hidden_dim=65537", "must be at most 65536, got 65537"),
        ("hidden_dim=16.0", "must be a whole number, got 16.0"),
        ("hidden_dim='16'", "must be a whole number, got '16'"),
        ("batch_size=1", "must be -1 (the full training set) or at least 2, got 1"),
        ("batch_size=0", "must be -1 (the full training set) or at least 2, got 0"),
        ("batch_size=-2", "must be -1 (the full training set) or at least 2, got -2"),
        ("epochs=-1", "must be at least 0, got -1"),
        ("epochs=", "must be a whole number, got None"),
        ("seed=-1", "must be at least 0, got -1"),
        (f"seed={MAX_SEED + 1}", f"must be at most {MAX_SEED}, got {MAX_SEED + 1}"),
        ("lr=0", "must be more than 0.0, got 0"),
        ("lr=.nan", "must be a finite number, got nan"),
        ("lr=.inf", "must be a finite number, got inf"),
        ("lr=true", "must be a number, got True"),
        ("lr=" + "9" * 400, "must be a number, got 999"),
        ("lambda_tc=-0.1", "must be at least 0.0, got -0.1"),
        ("variance_eps=0", "must be more than 0.0, got 0"),
        ("save_weights=1", "must be true or false, got 1"),
        ("probe=maybe", "must be true or false, got 'maybe'"),
        ("save_metrics_every=0", "must be at least 1, got 0"),
        ("head=1", "1 is unknown. One of none, softmax."),
        ("optimizer=[adam]", "['adam'] is unknown; did you mean 'adam'? One of adam, sgd."),
    ],
)
def test_a_wrong_value_is_told_what_is_allowed(override: str, message: str) -> None:
    """Types are strict: text is no number, a float no whole number, 1 no yes."""
    (line,) = mistakes("", override)
    key = override.partition("=")[0]
    assert line.startswith(f"{key}: {message}"), line
    assert line.endswith(f"(override {override!r})"), line


@pytest.mark.parametrize(
    ("given", "column"),
    [
        ({"metrics": "my.py:effective_rank"}, "effective_rank"),
        ({"metrics": "my.py:loss"}, "loss"),
        ({"metrics": "my.py:seed"}, "seed"),
        ({"metrics": "my.py:l1"}, "l1"),
        ({"term": "my.py:entropy"}, "entropy"),
        ({"term": "my.py:spread", "metrics": "my.py:spread"}, "spread"),
        ({"metrics": "my.py:spread other.py:spread"}, "spread"),
    ],
)
def test_no_column_of_a_users_own_overwrites_another(given: dict[str, str], column: str) -> None:
    """Neither one of ours nor one of their own. What was saved is still read."""
    Path("my.py").write_text(
        "def spread(a, *others):\n    return a.std()\n\n\neffective_rank = loss = seed = l1 = entropy = spread\n"
    )
    Path("other.py").write_text("def spread(weight, a):\n    return a.max()\n")
    settings = [f"{key}={value}" for key, value in given.items()]
    *_, (key, value) = given.items()
    with pytest.raises(
        ConfigError, match=rf"^{key}: {column} is the name of another column .* \(override '{key}={value}'\)$"
    ):
        read("", *settings)
    sections = {"term": "loss", "metrics": "logging"}
    saved = {sections[key]: {key: f"{value.split()[0]}@0123456789ab"} for key, value in given.items()}
    assert from_nested(saved, "here").parts()


@pytest.mark.parametrize("name", ["hidden_dim", "lr", "seed", "activation", "probe"])
@given(value=st.recursive(st.none() | st.text() | st.dates() | st.binary(), st.lists, max_leaves=4))
def test_no_value_gets_past_the_checks_or_breaks_them(name: str, value: object) -> None:
    """Whatever YAML can hold is either the right kind or a mistake with a message."""
    document = yaml_document.Document({}, "x")
    settings, _, problems = read_settings({name: value}, document)
    if problems:  # it reads like the name of a file or a module
        assert ":" in str(value) or ".npz" in str(value)
        assert all(problem.startswith(f"{name}: ") for problem in problems)
        return
    if value in choices("model.activation"):
        return
    with pytest.raises(ConfigError, match=f"^{name}: "):
        build_config(settings)


def test_the_edges_of_what_is_allowed_are_allowed(make_config: MakeConfig) -> None:
    """Seed 0, the largest seed, one unit, full batch, no epochs."""
    config = make_config(seed=0, hidden_dim=1, batch_size=-1, epochs=0, lambda_tc=0)
    assert (config.training.seed, config.data.batch_size) == (0, -1)
    assert make_config(seed=MAX_SEED).training.seed == 2**32 - 1


def test_every_setting_that_can_change_numbers_has_a_column() -> None:
    """Without one, no table or report could tell two of its values apart."""
    assert {name for name in NAMES if not name.startswith("logging.")} == set((SETTINGS | LATER).values())
