"""plan.py: the trials that a sweep has so far."""

from __future__ import annotations

from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space, space_from_python
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


def test_labels_tell_cells_apart_with_as_few_digits_as_that_needs() -> None:
    settings = {"lambda_tc": [0.1, 0.1000001, 0.3, 0.1 + 0.2, 10**-1.5, 100.0, 1e-7], "activation": ["relu"]}
    space, _ = space_from_python("quickstart", settings, None)
    told = [label.partition("lambda_tc=")[2] for label in space.plan().cell_labels().values()]
    assert told == ["0.1", "0.1000001", "0.3", "0.30000000000000004", "0.0316228", "100", "1e-07"]
