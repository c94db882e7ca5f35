"""pack.py: trials of one cell, and how they cross to Ray and back."""

from __future__ import annotations

import pytest

from infomax_tune.study.config import TrialConfig
from infomax_tune.study.pack import Pack, spans
from tests.conftest import MakeConfig


def test_a_pack_is_the_sequence_of_its_trials(make_config: MakeConfig) -> None:
    trials = [make_config(seed=seed) for seed in (3, 1, 7)]
    pack = Pack.of(trials)
    assert (len(pack), list(pack), pack[0]) == (3, trials, trials[0])
    assert (pack.cell, pack.seeds) == (trials[0].cell, [3, 1, 7])
    assert str(pack) == f"{trials[0].cell}, seeds 3, 1, 7"
    assert str(Pack.of(trials[:1])) == f"{trials[0].cell}, seed 3"


def test_it_crosses_as_plain_data_with_every_setting(make_config: MakeConfig) -> None:
    """No setting is lost or read again as a person's YAML would be: an odd learning rate keeps its last bit."""
    pack = Pack.of([make_config(lr=0.1 + 0.2, head="softmax", probe="true", seed=seed) for seed in (1, 2**32 - 1)])
    assert Pack.from_json(pack.to_json()) == pack


def test_it_keeps_the_length_of_its_ids() -> None:
    pack = Pack.of([TrialConfig(id_digits=16)])
    assert [trial.trial_id for trial in Pack.from_json(pack.to_json())] == [trial.trial_id for trial in pack]


def test_trials_of_two_cells_or_none_are_no_pack(make_config: MakeConfig) -> None:
    for trials in ([], [make_config(lr=0.1), make_config(lr=0.2)]):
        with pytest.raises(ValueError, match="differ only in seed"):
            Pack.of(trials)


def test_seeds_are_written_as_people_write_them() -> None:
    assert spans([1, 2, 3, 4, 7]) == "1-4, 7"
    assert spans([5]) == "5"
    assert spans([3, 2, 1]) == "3, 2, 1"
