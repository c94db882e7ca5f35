"""own.py: parts that are objects of this program become source text, with what they use."""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from infomax_tune.errors import ConfigError
from infomax_tune.parts import catalogue
from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import maximum, sigmoid
from infomax_tune.parts.elementwise import sigmoid as squash
from infomax_tune.parts.optimizers import Optimizer, Rule
from infomax_tune.parts.terms import Term
from infomax_tune.science.activations import layer_activation
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.read_config import config_from_python
from infomax_tune.study.read_space import space_from_python

SLOPE = 0.25
STEEP = np.float64(2.0)
TOP = inf
NOTHING = None
BELOW: Any = math
clamp = object()
"""Nothing can write it down. Only a method of tensors has its name."""


def value_of(kind: str, name: str, *inputs: Any) -> Any:
    """What the function in a part gives, as it is after its source text was run."""
    part = catalogue.find(kind, name)
    return {"activations": lambda: part.forward, "terms": lambda: part.value}[kind]()(*inputs)


def activation(given: Any) -> str:
    """The name that a setting has for it."""
    name: str = config_from_python(None, {"activation": given})[0].model.activation
    return name


def at(given: Any, *z: float) -> list[float]:
    """The activation's values, rounded."""
    found = value_of("activations", activation(given), torch.tensor(z))
    return [round(float(each), 4) for each in found]


def of_torch(z: torch.Tensor) -> torch.Tensor:
    return torch.where(z > 0, z, functional.softplus(z))


def of_elementwise(z: Any) -> Any:
    return maximum(z * sigmoid(z), -0.1)


def by_another_name(z: Any) -> Any:
    return squash(z)


def of_constants(z: Any) -> Any:
    return z * SLOPE * STEEP if NOTHING is None and TOP > 0 else z


def _twice(z: Any) -> Any:
    return 2 * z


again = _twice


def of_helpers(z: Any) -> Any:
    return again(_twice(z)) + BELOW.floor(0.5)


def of_methods(z: Any) -> Any:
    return z.clamp(min=0)


def with_defaults(z: Any, slope: float = SLOPE) -> Any:
    return slope * z


def with_an_inner_function(z: Any) -> Any:
    def inner(x: Any) -> Any:
        return SLOPE * x

    return inner(z)


def even(n: int) -> bool:
    return n == 0 or odd(n - 1)


def odd(n: int) -> bool:
    return n > 0 and even(n - 1)


def of_each_other(z: Any) -> Any:
    return z if even(4) else -z


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (of_torch, [0.6931, 1.0]),  # log 2
        (torch.tanh, [0.0, 0.7616]),
        (functional.relu, [0.0, 1.0]),
        (of_elementwise, [0.0, 0.7311]),  # 1 / (1 + 1/e)
        (by_another_name, [0.5, 0.7311]),
        (of_constants, [0.0, 0.5]),  # 1/4 of 2
        (of_helpers, [0.0, 4.0]),
        (of_methods, [0.0, 1.0]),
        (with_defaults, [0.0, 0.25]),
        (with_an_inner_function, [0.0, 0.25]),
        (of_each_other, [0.0, 1.0]),
    ],
)
def test_a_function_takes_with_it_what_it_uses(given: Any, expected: list[float]) -> None:
    """Its values at 0 and 1, after its text was run alone."""
    assert at(given, 0.0, 1.0) == expected


def test_the_text_holds_what_is_used_and_nothing_else() -> None:
    """In an order in which it runs: first the name of the function's helper, then the helper's other name."""
    (source,) = catalogue.sources([activation(of_helpers)])
    assert source.file == "program.py"
    assert source.content.decode().split("\n", 1)[0] == "from __future__ import annotations"
    text = source.content.decode()
    assert text.index("import math as BELOW") < text.index("def _twice") < text.index("again = _twice")
    assert text.index("again = _twice") < text.index("def of_helpers")
    assert not any(word in text for word in ("SLOPE", "torch", "maximum"))


def test_an_own_part_is_named_after_its_function() -> None:
    name = activation(of_constants)
    assert catalogue.is_pinned(name)
    assert name.startswith("program.py:of_constants@")
    trial = config_from_python(None, {"activation": of_constants})[0]
    assert trial.trial_id.startswith("of_constants-k16-s1-")


def slope(z: Any, a: Any) -> Any:
    return SLOPE


def test_an_activation_with_its_derivative() -> None:
    """Which is not the true one here. dL/dz is dL/da times it."""
    name = activation(Activation(of_methods, slope, bound=1.0, color="#123456", explanation="mine"))
    part = catalogue.find("activations", name)
    assert (part.bound, part.color, part.marker, part.explanation) == (1.0, "#123456", "", "mine")
    z = torch.tensor([[3.0, -3.0]])
    assert layer_activation(part).backward(torch.ones(1, 2), z, part.forward(z)).tolist() == [[0.25, 0.25]]


def step(parameter: Any, gradient: Any, lr: float) -> Any:
    return parameter - 2 * lr * gradient


def heavy(parameter: Any, gradient: Any, velocity: Any, lr: float) -> Any:
    velocity = SLOPE * velocity + gradient
    return parameter - lr * velocity, velocity


def make_rule() -> Rule:
    return Rule(heavy, moments=("velocity",))


@pytest.mark.parametrize(
    ("given", "moments", "expected"),
    [
        (step, (), 0.8),  # 1 - 2 x 0.1
        (Rule(heavy, moments=("velocity",)), ("velocity",), (0.85, 1.5)),  # 1/4 x 2 + 1
        (Optimizer(make_rule), ("velocity",), (0.85, 1.5)),
    ],
)
def test_an_optimizer_is_an_update_a_rule_or_what_makes_one(given: Any, moments: Any, expected: Any) -> None:
    """From 1 along the gradient 1 at lr 0.1, with velocity 2."""
    name = config_from_python(None, {"optimizer": given})[0].training.optimizer
    rule = catalogue.find("optimizers", name).rule()
    assert rule.moments == moments
    assert rule.update(1.0, 1.0, *[2.0] * len(moments), *rule.factors(0.1, 1)) == pytest.approx(expected)


def spread(a: torch.Tensor) -> torch.Tensor:
    return a.max() - a.min()


def largest(weight: Any, eps: Any) -> Any:
    return weight.amax(dim=(-2, -1))


def test_a_term_is_a_function_of_one_trials_outputs_or_a_term() -> None:
    """Two replicas: 5 - 1 and 7 - 7. A Term is of all at once."""
    a = torch.tensor([[[1.0, 5.0]], [[7.0, 7.0]]])
    of_function = config_from_python(None, {"term": spread, "lambda_term": 0.5})[0]
    assert value_of("terms", of_function.loss.term, a).tolist() == [4, 0]
    of_term = config_from_python(None, {"term": Term(largest, on="weights")})[0]
    assert value_of("terms", of_term.loss.term, a, 0).tolist() == [5, 7]
    assert catalogue.find("terms", of_term.loss.term).on == "weights"


def test_a_space_takes_objects_in_its_base_its_axes_and_its_settings() -> None:
    """Beside names of ours."""
    axes = {"activation": ["relu", of_methods, Activation(of_torch)], "seed": [1, 2]}
    space, _ = space_from_python({"axes": axes, "base": {"optimizer": step}}, {"dataset": "digits"}, None)
    names = space.axes["model.activation"]
    assert [catalogue.short(name) for name in names] == ["relu", "of_methods", "part"]
    assert catalogue.short(space.base.training.optimizer) == "step"
    assert len({trial.trial_id for trial in space.trials()}) == 6
    assert space.plan()


def closed_over(slope: float) -> Any:
    def made(z: Any) -> Any:
        return slope * z

    return made


UNWRITABLE = object()


def of_an_object(z: Any) -> Any:
    return z if UNWRITABLE else -z


def two_things(z: Any) -> Any:
    return z


def _other() -> Any:
    def two_things(z: Any) -> Any:
        return -z

    return two_things


async def awaited(z: Any) -> Any:
    return z


def of_its_attribute(z: Any) -> Any:
    return of_its_attribute.slope * z


of_its_attribute.slope = 2.0  # pyright: ignore[reportFunctionMemberAccess]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            lambda z: z,
            r"^activation: <lambda> is not a function that `def` defines .* put it into a file: .*settings",
        ),
        (closed_over(2.0), r"^activation: made cannot be sent to other processes: .* without a closure"),
        (Activation(lambda z: z), r"^activation: <lambda> is not a function that `def` defines"),
        (awaited, r"^activation: awaited is not a function that `def` defines"),
        (of_its_attribute, r"^activation: of_its_attribute cannot be sent .* without a closure or attributes"),
        (
            of_an_object,
            r"^activation: UNWRITABLE = <object .*> cannot be sent .*put the part into a file: FILE\.py:NAME",
        ),
        (torch.nn.GELU(), r"^activation: part = GELU.* cannot be sent"),
        (catalogue.ours("optimizers")["adam"], r"^activation: <lambda> is not a function that `def` defines"),
        (Activation(two_things, _other()), r"^activation: two_things is two different things in this part"),
    ],
)
def test_what_cannot_be_written_down_is_refused_with_what_to_do(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_python(None, {"activation": given})


def test_a_function_without_source_is_refused() -> None:
    """Such as one that was made from a string."""
    made: dict[str, Any] = {}
    exec("def nowhere(z):\n    return z", made)
    with pytest.raises(
        ConfigError, match=r"^activation: nowhere is not a function that `def` defines.* FILE\.py:nowhere"
    ):
        config_from_python(None, {"activation": made["nowhere"]})


def test_an_object_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^activation: program\.py:part: is not an activation, but Rule"):
        config_from_python(None, {"activation": Rule(step)})


PROGRAM = """\
from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import exp, tanh
from infomax_tune.study.read_config import config_from_python
import torch, math
B, A = 2.0, 3
def helper(z): return A * tanh(B * z)
def mine(z): return helper(z) + exp(-z) * math.pi + torch.zeros(())
def slope(z, a): return A * B
for given in (mine, Activation(mine, slope, bound=4.0)):
    print(config_from_python(None, {"activation": given})[0].trial_id)
"""


def test_the_id_does_not_depend_on_the_process(tmp_path: Path) -> None:
    """Two with other hashes of strings, in folders of other names; another constant is another trial."""
    ids = []
    for seed, text in (("1", PROGRAM), ("2", PROGRAM), ("1", PROGRAM.replace("B, A = 2.0", "B, A = 2.5"))):
        file = tmp_path / f"folder-{len(ids)}" / f"program{seed}.py"
        file.parent.mkdir()
        file.write_text(text)
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        ids.append(done.stdout.split())
    assert ids[0] == ids[1]
    assert [each.rpartition("-")[0] for each in ids[0]] == ["mine-k16-s1", "part-k16-s1"]
    assert not {*ids[0]} & {*ids[2]}


def test_a_name_of_ours_may_be_given_as_its_object_too() -> None:
    """It is then a part like any other, of another name."""
    relu = catalogue.ours("activations")["relu"]
    assert at(relu, -1.0, 1.0) == [0, 1]
    assert TrialConfig().model.activation != activation(relu)


LEVEL = 2.0


def of_todays_level(z: Any, level: float = LEVEL) -> Any:
    return level * z


LEVEL = 5.0
SIZES = (np.float32(2.5), np.int64(3), {"a": -inf})


def of_sizes(z: Any) -> Any:
    return z * SIZES[0] * SIZES[1] + (SIZES[2]["a"] > 0)


def test_defaults_are_what_they_were_when_the_function_was_defined() -> None:
    assert at(of_todays_level, 1.0) == [float(of_todays_level(1.0))] == [2.0]


def test_numbers_may_be_numpys_infinite_and_in_tuples_and_dicts() -> None:
    assert at(of_sizes, 2.0) == [15.0]
    part = catalogue.find("activations", activation(Activation(of_methods, bound=inf)))
    assert part.bound == inf


def test_a_function_whose_file_was_edited_since_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text would be another function than the one that was given."""
    file = tmp_path / "edited.py"
    file.write_text("def same(z):\n    return z * 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    same = importlib.import_module("edited").same
    assert at(same, 2.0) == [2.0]
    file.write_text("def same(z):\n    return z * 10000\n")
    with pytest.raises(ConfigError, match=r"^activation: same was edited since it was imported"):
        activation(same)
