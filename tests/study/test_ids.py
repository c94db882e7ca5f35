"""config.py: a trial's id, which names its record for good."""

from __future__ import annotations

import dataclasses
import hashlib
import re

import pytest

from infomax_tune.errors import ConfigError
from infomax_tune.study import yaml_document
from infomax_tune.study.config import LoggingConfig, TrainingConfig, TrialConfig
from infomax_tune.study.read_config import from_nested
from infomax_tune.study.read_space import bundled_spaces, load_space, parse_space
from infomax_tune.study.space import SearchSpace
from tests.conftest import MakeConfig

PINNED = {
    "activation_study": (
        "cce111cc2f6d3169be8cbf13890f1f2b2b3bbd10722317cf42891f8b5222c351",
        "identity-k16-s1-059bccd4",
    ),
    "quickstart": ("5cf48eebcbac844b0b1c4362fa51a3bcf433f1918f5720a77f6c41fac2aed2e3", "identity-k16-s1-6edeea71"),
    "synthetic_2d": ("196a2f14ea64d432cacdfbc8ea72adf1c8fe00add785955db779372578289020", "identity-k16-s1-ff5f0930"),
}
"""As 0.1.0 had them: the sha256 of all of a space's ids, a line each, and the first of them."""


@pytest.mark.parametrize("name", PINNED)
def test_the_ids_of_the_bundled_spaces_are_what_they_were(name: str) -> None:
    """In a sweep of before, which stays at 8 digits of the hash; a new one has more of the same."""
    space = load_space(name)[0]
    ids = [config.trial_id for config in dataclasses.replace(space, id_digits=8).trials()]
    assert (hashlib.sha256("\n".join(ids).encode()).hexdigest(), ids[0]) == PINNED[name]
    longer = [config.trial_id for config in space.trials()]
    assert [trial_id[:-8] for trial_id in longer] == ids
    assert re.fullmatch("identity-k16-s1-[0-9a-f]{16}", longer[0])


def test_every_bundled_space_is_pinned() -> None:
    assert set(PINNED) == set(bundled_spaces())


class LaterTraining(TrainingConfig):
    weight_decay: float = 0.0


class LaterLogging(LoggingConfig):
    histogram: bool = False


class LaterConfig(TrialConfig):
    """As some later version might have it, with two settings more."""

    training: LaterTraining = LaterTraining()
    logging: LaterLogging = LaterLogging()


SETTINGS = [
    {},
    {"model": {"activation": "tanh"}, "training": {"seed": 7}},
    {"loss": {"objective": "random"}},
    {"logging": {"probe": True}},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_setting_that_comes_later_keeps_every_id_while_it_has_its_default(settings: dict[str, object]) -> None:
    now, later = TrialConfig.model_validate(settings), LaterConfig.model_validate(settings)
    assert later.trial_id == now.trial_id
    assert later.cell == now.cell


def test_at_another_value_it_makes_another_trial() -> None:
    changed = LaterConfig(training=LaterTraining(weight_decay=0.1))
    assert changed.trial_id != TrialConfig().trial_id
    assert changed.cell != TrialConfig().cell
    assert LaterConfig(training=LaterTraining(weight_decay=0.2)).trial_id != changed.trial_id


NAMESAKES = ({"lr": 0.001064}, {"lr": 0.0052725})
"""Two learning rates whose trials of `BESIDE` have one id, where it has 8 digits. Found in a second."""
BESIDE = {"dataset": "digits", "epochs": 2}


def test_trials_of_one_id_are_told_apart_by_their_settings(make_config: MakeConfig) -> None:
    one, other = (make_config(**BESIDE, **settings) for settings in NAMESAKES)
    assert one.trial_id == other.trial_id == "relu-k16-s1-2fed1708"
    assert one.differences(other.nested()) == ["training.lr is 0.0052725 instead of 0.001064"]
    assert one.differences(one.nested()) == []


def test_what_changes_no_number_makes_no_other_trial() -> None:
    """Nor do settings that are not used, nor one that a later version has kept."""
    kept = LaterConfig(logging=LaterLogging(save_weights=False)).nested()
    assert TrialConfig().differences(kept) == []
    random = TrialConfig.model_validate({"loss": {"objective": "random"}})
    assert (
        random.differences(
            TrialConfig.model_validate({"loss": {"objective": "random"}, "training": {"lr": 0.1}}).nested()
        )
        == []
    )


def test_settings_that_this_version_does_not_know_are_another_trials() -> None:
    """A value that none may have here, and the name of a part that is not known here."""
    assert TrialConfig().differences({"model": {"hidden_dim": "wide"}}) == ["this version does not know its settings"]
    later = {"model": {"activation": "of_a_later_version"}}
    assert TrialConfig().differences(later) == ["model.activation is 'of_a_later_version' instead of 'relu'"]


def test_a_record_of_before_the_later_settings_is_of_the_same_trial() -> None:
    """What 0.1.0 kept of a trial lacks them; they have their defaults."""
    config = TrialConfig.model_validate({"training": {"optimizer": "sgd", "seed": 3}})
    later = {"lambda_var", "lambda_lse", "lambda_l1", "term", "lambda_term", "momentum", "metrics"}
    kept = {name: {key: keys[key] for key in keys if key not in later} for name, keys in config.nested().items()}
    assert sum(map(len, kept.values())) == 17
    assert config.differences(kept) == []
    assert from_nested(kept, "a record") == config


def test_two_trials_of_one_id_are_no_plan_and_are_told_with_the_true_reason() -> None:
    space = SearchSpace(
        "", "", TrialConfig.model_validate({"data": {"dataset": "digits"}, "training": {"epochs": 2}}), {}
    )
    space.axes["training.lr"] = [settings["lr"] for settings in NAMESAKES]
    message = r"same id by chance, relu-k16-s1-2fed1708 \(training.lr is 0.001064 instead of 0.0052725\)\. Change one"
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(space, id_digits=8).plan()
    assert len(space.plan()) == 2


def test_a_space_of_two_trials_that_had_one_id_is_read() -> None:
    """It was refused for what is not so: that the learning rate changes nothing."""
    text = "axes: {lr: [0.001064, 0.0052725]}\nbase: {dataset: digits, epochs: 2}"
    assert len(parse_space(yaml_document.parse(text, "test"), "test", None, {})[0].plan()) == 2


def test_what_changes_no_number_is_in_no_id() -> None:
    config = TrialConfig(logging=LoggingConfig(save_weights=False, save_metrics_every=3, checkpoint_every=2))
    assert config.trial_id == TrialConfig().trial_id


def test_minus_zero_is_zero() -> None:
    minus, plus = ({"loss": {"lambda_tc": value, "lambda_wr": value}} for value in (-0.0, 0.0))
    assert TrialConfig.model_validate(minus).trial_id == TrialConfig.model_validate(plus).trial_id
    assert str(TrialConfig.model_validate(minus).loss.lambda_tc) == "0.0"
