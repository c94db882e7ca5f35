"""packing.py: every trial in exactly one pack, packs of one cell, the costliest first."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infomax_tune.packs.packing import pack_trials
from infomax_tune.study.config import MAX_SEED, TrialConfig
from infomax_tune.study.pack import Pack
from infomax_tune.study.read_config import build_config, read_overrides
from infomax_tune.study.read_space import load_space
from tests.conftest import MakeConfig


def study() -> list[TrialConfig]:
    return load_space("activation_study")[0].trials()


@pytest.mark.parametrize(
    ("slots", "size", "packs"),
    [
        (1, 10, 17 + 4),
        (2, 10, 16 + 8),
        (3, 10, 15 + 12),
        (4, 10, 18),
        (18, 10, 18),
        (19, 5, 36),
        (36, 5, 36),
        (54, 4, 54),
        (90, 2, 90),
        (91, 1, 180),
        (500, 1, 180),
    ],
)
def test_auto_takes_as_many_seeds_a_pack_as_still_give_every_slot_one(slots: int, size: int, packs: int) -> None:
    """18 cells of 10: a laptop packs ten, and the last pack of each of its slots in threes; a big cluster trains each alone."""
    planned = pack_trials(study(), slots)
    assert len(planned) == packs
    assert max(map(len, planned)) == size


@pytest.mark.parametrize(("size", "packs"), [(1, 180), (3, 72), (5, 36), (10, 18), (100, 18)])
def test_a_given_pack_size_is_taken_whatever_the_slots(size: int, packs: int) -> None:
    """--pack N is a maximum: a cell of ten in threes is 3 + 3 + 3 + 1."""
    for slots in (1, 1000):
        planned = pack_trials(study(), slots, size)
        assert len(planned) == packs
        assert max(map(len, planned)) == min(size, 10)


def test_cells_whose_names_are_the_same_by_chance_are_two(make_config: MakeConfig) -> None:
    """Else one of them would be trained twice, and the other never."""
    one, other = (make_config(dataset="digits", epochs=2, lr=lr) for lr in (0.0022624, 0.0030465))
    assert one.cell == other.cell
    packs = pack_trials([config.with_seed(seed) for seed in (1, 2) for config in (one, other)], 1)
    assert sorted([(config.training.lr, config.training.seed) for config in pack] for pack in packs) == [
        [(0.0022624, 1), (0.0022624, 2)],
        [(0.0030465, 1), (0.0030465, 2)],
    ]
    with pytest.raises(ValueError, match="differ only in seed"):
        Pack.of([one, other])


def test_the_costliest_packs_come_first() -> None:
    """Widest first, and the rests of cells last among their like."""
    planned = pack_trials(study(), 1, 3)
    # six cells of each width, each in packs of 3, 3, 3 and 1; three trials of 16 units cost about as much as one of 64
    shapes = [(pack.config.model.hidden_dim, len(pack)) for pack in planned]
    assert shapes == [(64, 3)] * 18 + [(32, 3)] * 18 + [(16, 3)] * 18 + [(64, 1)] * 6 + [(32, 1)] * 6 + [(16, 1)] * 6


def test_cost_is_what_training_multiplies(make_config: MakeConfig) -> None:
    """A narrow unit on MNIST outweighs a wide one on two inputs; fewer epochs cost less."""
    cheap, long, mnist = (
        make_config(dataset="synthetic_2d", hidden_dim=64),
        make_config(dataset="synthetic_2d", hidden_dim=64, epochs=200),
        make_config(hidden_dim=16),
    )
    assert pack_trials([cheap, long, mnist], 1) == [Pack.of([mnist]), Pack.of([long]), Pack.of([cheap])]


def test_nothing_to_train_is_no_pack() -> None:
    """A finished sweep plans nothing."""
    assert pack_trials([], 4) == []
    assert pack_trials([], 4, 3) == []


_trial = st.builds(
    lambda activation, width, dataset, epochs, seed: build_config(
        read_overrides(
            [
                f"activation={activation}",
                f"hidden_dim={width}",
                f"dataset={dataset}",
                f"epochs={epochs}",
                f"seed={seed}",
            ]
        )[0]
    ),
    st.sampled_from(["relu", "tanh"]),
    st.sampled_from([1, 8, 64]),
    st.sampled_from(["digits", "mnist"]),
    st.sampled_from([0, 1, 30]),
    st.one_of(st.integers(0, 12), st.just(MAX_SEED)),
)


@given(
    st.lists(_trial, unique_by=lambda trial: trial.trial_id, max_size=40),
    st.integers(1, 60),
    st.one_of(st.none(), st.integers(1, 12)),
)
def test_every_trial_is_planned_exactly_once(missing: list[TrialConfig], slots: int, pack: int | None) -> None:
    """Whatever is missing, in whatever order: one cell a pack, none too large, no slot left idle needlessly."""
    planned = pack_trials(missing, slots, pack)
    assert Counter(trial.trial_id for trials in planned for trial in trials) == Counter(t.trial_id for t in missing)
    assert all(len({trial.cell for trial in trials}) == 1 for trials in planned)
    assert all(trials for trials in planned)
    if pack is not None:
        assert all(len(trials) <= pack for trials in planned)
    else:
        assert len(planned) >= min(slots, len(missing))
    for earlier, later in itertools.combinations(planned, 2):
        assert not _surely_costs_more(later, earlier)


def _surely_costs_more(pack: Pack, other: Pack) -> bool:
    """Whether it has more of something that costs, and less of nothing."""
    if pack.config.training.epochs == 0:
        return False
    ours, theirs = (
        (len(one), one.config.training.epochs, one.config.model.hidden_dim, one.config.data.dataset == "mnist")
        for one in (pack, other)
    )
    return ours != theirs and all(mine >= its for mine, its in zip(ours, theirs, strict=True))


@given(st.lists(_trial, unique_by=lambda trial: trial.trial_id, min_size=1, max_size=20), st.integers(1, 4))
def test_a_pack_comes_back_from_tunes_param_space(missing: list[TrialConfig], size: int) -> None:
    """It travels as plain JSON values, and each trial comes back with its own id."""
    for trials in pack_trials(missing, 1, size):
        travelled = trials.to_json()
        assert Pack.from_json(travelled) == trials
        assert [trial.trial_id for trial in Pack.from_json(travelled)] == [trial.trial_id for trial in trials]
