"""part_check.py: good parts pass every check; a broken one fails the check that is for its mistake, with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from infomax_tune.errors import ConfigError
from infomax_tune.parts import catalogue
from infomax_tune.science.part_checks import KINDS, check, kind_of
from tests.command import call

HEAD = """\
import numpy as np
import torch
from infomax_tune.parts.activations import Activation
from infomax_tune.parts.datasets import Arrays, DataSource, Shape
from infomax_tune.parts.elementwise import sigmoid
from infomax_tune.parts.metrics import Metric
from infomax_tune.parts.optimizers import Rule
from infomax_tune.parts.terms import Term
"""
LINE = HEAD.count("\n") + 1
"""Where a part's own lines begin."""


def results(kind: str, text: str) -> dict[str, tuple[bool | None, str]]:
    """What is found of the object `part` in a file."""
    Path("my_part.py").write_text(HEAD + text)
    return {each.name: (each.passed, each.words) for each in check(kind, "my_part.py:part")}


@pytest.mark.parametrize("kind", KINDS)
def test_our_parts_pass(kind: str) -> None:
    names = ["digits", "synthetic_2d"] if kind == "dataset" else catalogue.ours(KINDS[kind][0])
    for name in names:
        assert not [each for each in check(kind, name) if each.passed is False], name


GOOD = {
    "activation": "def part(z):\n    return z.tanh()",
    "activation in loops": "part = Activation(lambda z: z * sigmoid(z), lambda z, a: sigmoid(z) + a * (1.0 - sigmoid(z)))",
    "activation with kinks": "part = Activation(lambda z: z.round())",
    "activation of rows": "part = Activation(lambda z: z - z.mean(dim=-1, keepdim=True), rows=True)",
    "term": "def part(a):\n    return a.square().mean()",
    "term of weights": "part = Term(lambda weight, eps: weight.square().sum(dim=(-2, -1)), on='weights')",
    "optimizer": "def part(parameter, gradient, lr):\n    return parameter - lr * gradient",
    "optimizer with a moment": "part = Rule(lambda p, g, m, lr: (p - lr * (0.5 * m + g), 0.5 * m + g), moments=('m',))",
    "dataset": "def part():\n    x = np.random.default_rng(1).normal(size=(50, 4))\n    return x[:40], x[40:]",
    "metric": "def part(weight, activations):\n    return activations.std(dim=0).mean()",
}


@pytest.mark.parametrize("name", GOOD)
def test_good_parts_of_a_user_pass(name: str) -> None:
    found = results(name.split(maxsplit=1)[0], GOOD[name])
    assert not [words for passed, words in found.values() if passed is False]
    if "loops" in found:
        in_loops = name in ("activation in loops", "optimizer", "optimizer with a moment")
        assert found["loops"][0] is (True if in_loops else None), found["loops"]


BROKEN = {
    "a factor forgotten": (
        "activation", "gradient", 2, "worst at z = ",
        "def forward(z): return z.square()\n\ndef derivative(z, a): return z\npart = Activation(forward, derivative)",
    ),
    "a gradient of rows": (
        "activation", "gradient", 2, "worst at z = ",
        "def forward(z): return z.softmax(dim=-1)\n\n"
        "def backward(grad, z, a): return grad * a\npart = Activation(forward, backward=backward, rows=True)",
    ),
    "noise": (
        "activation", "random", 0, "the random numbers of torch",
        "def part(z):\n    return z + 0 * torch.rand(1)",
    ),
    "noise of its own": (
        "activation", "random", 1, "another value every time",
        "rng = np.random.default_rng()\ndef part(z): return z * rng.random()",
    ),
    "rows that mix": (
        "activation", "independence", 0, "depend on other rows",
        "def part(z):\n    return z - z.mean(dim=-2, keepdim=True)",
    ),
    "units that mix": (
        "activation", "independence", 0, "depend on other units",
        "def part(z):\n    return z.softmax(dim=-1)",
    ),
    "an overflow": (
        "activation", "extremes", 0, "the output is NaN or infinite at z = 10000",
        "def part(z): return z.exp()",
    ),
    "another type": (
        "activation", "shape", 0, "have (3, 5) and torch.float64",
        "def part(z): return z.double()",
    ),
    "an input that is changed": (
        "activation", "shape", 0, "it changes its input",
        "def forward(z): return z.mul_(2)\npart = Activation(forward, lambda z, a: z * 0 + 2)",
    ),
    "an activation that raises": (
        "activation", "shape", 1, "AttributeError: 'Tensor' object has no attribute 'tan_h'",
        "def part(z):\n    return z.tan_h()",
    ),
    "a term's gradient": (
        "term", "gradient", 1, "worst at output = ",
        "def value(a): return a.square().sum(dim=(-2, -1))\ndef gradient(a): return a\npart = Term(value, gradient)",
    ),
    "a gradient of correlations": (
        "term", "gradient", 2, "worst at output = ",
        "def value(s): return s.excess.square().sum(dim=(-2, -1))\n\n"
        "def gradient(s): return 2 * s.excess, 0.0\npart = Term(value, gradient, on='correlation')",
    ),
    "a gradient of weights": (
        "term", "gradient", 1, "worst at weight = ",
        "def value(w, eps): return w.square().sum(dim=(-2, -1))\n"
        "def gradient(w, eps): return w\npart = Term(value, gradient, on='weights')",
    ),
    "one value for all replicas": (
        "term", "shape", 0, "3 replicas give a value of shape ()",
        "def value(a): return a.mean()\npart = Term(value)",
    ),
    "a term without noise control": (
        "term", "random", 0, "the random numbers of numpy",
        "def part(a):\n    return a.mean() * np.random.rand()",
    ),
    "a term that is infinite": (
        "term", "extremes", 0, "NaN or infinite where all numbers are 10000",
        "def part(a):\n    return a.exp().mean()",
    ),
    "an unstable update": (
        "optimizer", "descent", 0, "a sum of squares goes from",
        "def part(parameter, gradient, lr):\n    return parameter - gradient / lr",
    ),
    "an update that mixes": (
        "optimizer", "independence", 0, "depends on the others or on the shape",
        "def part(parameter, gradient, lr):\n    return parameter - lr * gradient / gradient[..., :1].abs().clamp_min(1)",
    ),
    "a moment of another shape": (
        "optimizer", "shape", 0, "m becomes ()",
        "def update(p, g, m, lr): return p - lr * g, g.mean()\npart = Rule(update, moments=('m',))",
    ),
    "an update in place": (
        "optimizer", "shape", 0, "changes its arguments",
        "def part(parameter, gradient, lr):\n    return parameter.sub_(lr * gradient)",
    ),
    "other data every time": (
        "dataset", "again", None, "another value every time",
        "def part():\n    x = np.random.default_rng().normal(size=(50, 4))\n    return x[:40], x[40:]",
    ),
    "data of the global generator": (
        "dataset", "again", None, "the random numbers of numpy",
        "def part():\n    x = np.random.normal(size=(50, 4))\n    return x[:40], x[40:]",
    ),
    "false facts": (
        "dataset", "shape", 1, "it says Shape(train=40, test=10, inputs=3)",
        "x, labels = np.ones((50, 4), np.float32), np.zeros(50, np.int64)\n"
        "def load(data_dir): return Arrays(x[:40], x[40:], labels[:40], labels[40:])\n"
        "part = DataSource(Shape(40, 10, 3), 0, load)",
    ),
    "data that raises": (
        "dataset", "load", 1, "ZeroDivisionError",
        "def part():\n    return 1 / 0",
    ),
    "a metric that changes its input": (
        "metric", "unchanged", 0, "it changes its input",
        "def part(weight, activations):\n    return activations.sub_(1).mean()",
    ),
    "a metric that is no number": (
        "metric", "finite", 0, "it is nan",
        "def part(weight, activations):\n    return (activations - 100).log().mean()",
    ),
    "a metric of a random row": (
        "metric", "random", 0, "the random numbers of torch",
        "def part(weight, activations):\n    return activations[torch.randint(60, ())].mean()",
    ),
}  # fmt: skip
"""The kind, the check that fails, the line of the text that it names, some of its words, and the text."""


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_part_fails_the_check_for_its_mistake_with_its_line(name: str) -> None:
    kind, about, line, words, text = BROKEN[name]
    passed, said = results(kind, text)[about]
    assert passed is False, said
    assert words in said
    if line is not None:
        assert f"my_part.py, line {LINE + line}" in said


def test_a_metric_of_the_order_is_noted() -> None:
    found = results("metric", "def part(weight, activations):\n    return activations[0].mean()")
    assert [name for name, (passed, _) in found.items() if passed is None] == ["order"]


def test_random_states_are_as_before() -> None:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state().tolist(), str(np.random.get_state())  # noqa: NPY002
    results("activation", BROKEN["noise"][4])
    assert (torch.get_rng_state().tolist(), str(np.random.get_state())) == before  # noqa: NPY002


def test_the_kind_is_that_of_the_object() -> None:
    found = {}
    for name in ("activation", "activation of rows", "term of weights", "optimizer with a moment"):
        Path("my_part.py").write_text(HEAD + GOOD[name])
        found[name] = kind_of("my_part.py:part")
    Path("my_part.py").write_text(HEAD + "part = Metric(lambda layer: 1.0)\ndata = DataSource(Shape(1, 1, 1), 0, None)")
    assert list(found.values()) == ["activation", "activation", "term", "optimizer"]
    assert kind_of("my_part.py:part") == "metric"
    assert kind_of("my_part.py:data") == "dataset"
    assert [kind_of(name) for name in ("relu", "tc", "adam", "effective_rank", "digits")] == list(KINDS)
    with pytest.raises(ConfigError, match="cannot be found"):
        kind_of("none.py:part")


def test_a_file_of_arrays_is_a_dataset() -> None:
    np.savez("my.npz", train=np.eye(4), test=np.eye(4))
    assert kind_of("my.npz") == "dataset"
    assert all(each.passed for each in check("dataset", "my.npz"))
    Path("bad.npz").write_text("no arrays")
    (finding,) = check("dataset", "bad.npz")
    assert (finding.passed, finding.name) == (False, "load")


def test_the_command_prints_a_line_for_each_check() -> None:
    Path("my_part.py").write_text(HEAD + GOOD["term"])
    done = call("check-part", "my_part.py:part", "--kind", "term")
    assert [line[:4] for line in done.stdout.splitlines()] == ["ok  "] * 4 + ["note", "ok  ", "my_p"]
    assert done.stdout.endswith("my_part.py:part, as a term: no checks failed\n")
    Path("my_part.py").write_text(HEAD + BROKEN["an overflow"][4])
    done = call("check-part", "my_part.py:part", ok=False)
    assert done.returncode == 1
    assert f"FAIL extremes: the output is NaN or infinite at z = 10000 (my_part.py, line {LINE})\n" in done.stdout
    assert call("check-part", "none.py:part", ok=False).returncode == 2
