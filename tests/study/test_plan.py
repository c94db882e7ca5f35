"""plan.py: the trials that a sweep has so far."""

from __future__ import annotations

from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from tests.conftest import MakeConfig


def test_the_plan_of_a_grid_holds_all_its_trials_in_their_order() -> None:
    overrides, _ = read_overrides(["lr=[0.1, 0.01]", "seed=[1, 2]", "activation=[relu, tanh]"])
    space, _ = load_space("quickstart", overrides=overrides)
    plan = space.plan()
    assert list(plan) == space.trials()
    assert (len(plan), len(plan.cells), plan.further_axes) == (8, 4, ("training.lr",))
    first = space.trials()[0]
    assert first.trial_id in plan
    assert plan[first.trial_id] == first


def test_a_plan_grows_and_holds_no_trial_twice(make_config: MakeConfig) -> None:
    """As a search would have it: points are added while it runs."""
    plan = Plan([make_config(seed=1)])
    plan.add([make_config(seed=2), make_config(seed=1), make_config(seed=3)])
    assert [config.training.seed for config in plan] == [1, 2, 3]
    assert make_config(seed=4).trial_id not in plan
    assert plan.cells == [make_config().cell]
