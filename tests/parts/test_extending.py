"""docs/extending.md: every example on it is written and run as it stands there, and computes what the page says of it."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from argparse import ArgumentParser
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special
from sklearn.datasets import load_digits

import infomax_tune
from infomax_tune.science import data
from infomax_tune.science.losses import infomax
from infomax_tune.science.model import initial_weight
from infomax_tune.science.training import why_not_compiled
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import read_history_table, read_results
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.read_config import config_from_python
from tests import read_tensorboard
from tests.command import call
from tests.folders import make_sweep
from tests.parts.named import ROOT, named_in

PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
UNITS, LR = 4, 0.01
SMALL = {"dataset": "digits", "hidden_dim": UNITS, "lr": LR, "epochs": 3}
ONE_STEP = SMALL | {"epochs": 1, "batch_size": -1, "optimizer": "sgd"}
"""One step from the first weights, along the gradient of all rows: what it gives can be written down."""


def blocks(language: str) -> list[str]:
    """The blocks of the page that are in this language."""
    return [code for given, code in re.findall(r"```([^\n]*)\n(.*?)```", PAGE, flags=re.DOTALL) if given == language]


def examples() -> dict[str, str]:
    """All that a reader of the page copies: each block of Python, by the name of its file or by its first line, and each
    line that is typed, in a block or in a sentence.
    """
    found: dict[str, str] = {}
    for code in blocks("python"):
        first = code.partition("\n")[0]
        name = first.removeprefix("# ")
        found[f"{name} again" if name in found else name] = code
    sentences = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    lines = [line for code in blocks("sh") for line in code.splitlines()]
    return found | {line: line for line in (*lines, *re.findall(r"`((?:--set|infomax-tune) [^`]+)`", sentences))}


EXAMPLES = examples()


def test_every_example_of_the_page_is_run_here() -> None:
    """So that a new one needs a test."""
    assert set(re.findall(r"```([^\n]*)\n.*?```", PAGE, flags=re.DOTALL)) == {"python", "sh"}
    tests = [each for each in ast.parse(Path(__file__).read_text(encoding="utf-8")).body if is_test(each)]
    assert set(EXAMPLES) - set().union(*(named_in(test, EXAMPLES) for test in tests)) == set()


def is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def test_every_block_of_python_has_fewer_than_15_lines() -> None:
    assert {name: code.count("\n") for name, code in EXAMPLES.items() if code.count("\n") >= 15} == {}


# ---- what a reader does


def write(example: str, name: str = "") -> ModuleType:
    """Writes the file of an example into the working directory, and imports it, for the numbers that it should give."""
    file = Path(name or example)
    file.write_text(EXAMPLES[example], encoding="utf-8")
    spec = importlib.util.spec_from_file_location(file.stem, file.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def type_in(line: str) -> list[str]:
    """The words of a line that the page says to type, without the program's name."""
    words = shlex.split(EXAMPLES[line])
    return words[1:] if words[0] == "infomax-tune" else words


def settings_in(line: str) -> dict[str, Any]:
    """The settings that a line names, each as its key and its value."""
    return dict(word.split("=", 1) for word in type_in(line) if word != "--set")


def sweep_as_typed(line: str, *more: str) -> SweepFolder:
    """What the sweep of that line leaves, with more settings that make it short. Trains in this process, without Ray."""
    parser = ArgumentParser()
    parser.add_argument("command", choices=["sweep"])
    parser.add_argument("space")
    parser.add_argument("--set", action="append")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(type_in(line))
    return make_sweep(
        given.out, *given.set, "epochs=1", f"hidden_dim=[{UNITS}]", "seed=[1,2]", *more, space=given.space
    )


def train(out: str, settings: dict[str, Any]) -> tuple[Record, dict[str, Any]]:
    """A single trial's record and its weights."""
    record = infomax_tune.run(settings, out=out, say=lambda line: None)
    return record, TrialFolder(Path(out)).read_weights()


def dataset_of(name: str) -> data.Dataset:
    """The arrays that a trial with this setting has."""
    return data.load(config_from_python({"dataset": name}, {})[0].data.dataset)


def plain_name(shown: str) -> str:
    """The name of a part, of what a table shows: swish.3f2a9c1b4d5e."""
    return shown.partition(".")[0]


def same_bits(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def outputs(weights: dict[str, Any], x: Any) -> Any:
    """a = swish(x W^T + b), in float64."""
    z = x.astype(np.float64) @ weights["weight"].T.astype(np.float64) + weights["bias"]
    return z * special.expit(z)


# ---- an activation


def test_an_activation_is_what_its_formula_says_with_and_without_its_derivative() -> None:
    """The first block, the second, and our own silu, which is the same function."""
    write("my_swish.py")
    plain, plain_weights = train("plain", SMALL | {"activation": "my_swish.py:swish"})
    plain_loops = why_not_compiled(config_from_python(plain.config, {})[0], dataset_of("digits"))
    write("my_swish.py again", "my_swish.py")
    formulas, weights = train("formulas", SMALL | {"activation": "my_swish.py:swish"})
    loops = why_not_compiled(config_from_python(formulas.config, {})[0], dataset_of("digits"))
    silu, silu_weights = train("silu", SMALL | {"activation": "silu"})

    assert "no forward and derivative made of infomax_tune.parts.elementwise" in plain_loops
    assert loops == ""
    a = outputs(weights, data.load("digits").test)
    for record in (plain, formulas, silu):
        assert record.result["activation_mean"] == pytest.approx(a.mean(), rel=1e-4)
        assert record.result["activation_std"] == pytest.approx(a.std(ddof=1), rel=1e-4)
        assert record.result["loss"] == pytest.approx(formulas.result["loss"], rel=1e-4)
    for found in (plain_weights, silu_weights):
        np.testing.assert_allclose(found["weight"], weights["weight"], rtol=1e-4, atol=1e-5)
    start = initial_weight(1, UNITS, 64).numpy()
    assert np.abs(weights["weight"] - start).max() > 0.1  # what is compared has been learned


def test_check_part_finds_nothing_wrong_with_it() -> None:
    write("my_swish.py again", "my_swish.py")
    said = call(*type_in("infomax-tune check-part my_swish.py:swish")).stdout
    assert re.search(r"^ok   gradient: that of finite differences", said, flags=re.MULTILINE)
    assert re.search(r"^ok   loops: an epoch gives the same numbers", said, flags=re.MULTILINE)
    assert re.search(r"^ok   packs: trials have the same bits in packs and alone", said, flags=re.MULTILINE)
    assert said.endswith("my_swish.py:swish, as an activation: no checks failed\n")


def test_a_sweep_compares_it_with_ours_and_keeps_a_copy_of_its_file() -> None:
    write("my_swish.py")
    line = "infomax-tune sweep quickstart --set activation=relu,my_swish.py:swish --out results/swish"
    folder = sweep_as_typed(line)
    results = read_results(folder)
    assert sorted(map(plain_name, results["activation"])) == ["relu", "relu", "swish", "swish"]
    assert set(results["status"]) == {"done"}
    test = data.load("digits").test
    for trial_id, mean in zip(results["trial_id"], results["activation_mean"], strict=True):
        if trial_id.startswith("swish-"):
            a = outputs(folder.trial(trial_id).read_weights(), test)
            assert mean == pytest.approx(a.mean(), rel=1e-4)
    (copy,) = Path("results/swish/parts").iterdir()
    assert copy.read_text(encoding="utf-8") == EXAMPLES["my_swish.py"]


# ---- a dataset


def test_a_dataset_is_a_file_of_arrays() -> None:
    """Those of our digits give the bits of our digits. x and y are split; bytes are scaled."""
    ours = data.load("digits")
    arrays = ("train", "test", "train_labels", "test_labels")
    np.savez("my_data.npz", **{name: getattr(ours, name) for name in arrays})
    folder = sweep_as_typed(
        "infomax-tune sweep quickstart --set dataset=my_data.npz --out results/mine", "activation=[tanh]"
    )
    results = read_results(folder)
    assert list(map(plain_name, results["dataset"])) == ["my_data"] * 2
    known = make_sweep(Path("ours"), "epochs=1", f"hidden_dim=[{UNITS}]", "seed=[1,2]", "activation=[tanh]")
    for mine, theirs in zip(results["trial_id"], read_results(known)["trial_id"], strict=True):
        assert same_bits(folder.trial(mine).read_weights(), known.trial(theirs).read_weights())
    assert not Path("results/mine/parts").exists()

    x, y = load_digits(return_X_y=True)
    np.savez("my_data.npz", x=(x * 15).astype(np.uint8), y=y)
    split = dataset_of("my_data.npz")
    assert (len(split.train), len(split.test)) == (1437, 360)  # of 1797
    assert (split.train.min(), split.train.max()) == (0, np.float32(240 / 255))
    assert {len(split.train_labels), *split.train_labels} == {1437, *range(10)}


def test_a_dataset_is_a_function_that_returns_the_arrays() -> None:
    """A trial has the bits of one with the same arrays in a file."""
    train_rows, test_rows = write("my_points.py").points()
    dataset = dataset_of("my_points.py:points")
    assert (dataset.train.tobytes(), dataset.test.tobytes()) == (train_rows.tobytes(), test_rows.tobytes())
    np.savez("points.npz", train=train_rows, test=test_rows)
    write("my_swish.py")  # torch trains it: numba would compile loops for numbers of which none is 0
    settings = SMALL | {"activation": "my_swish.py:swish"}
    record, weights = train("function", settings | {"dataset": "my_points.py:points"})
    assert same_bits(weights, train("file", settings | {"dataset": "points.npz"})[1])
    assert weights["weight"].shape == (UNITS, 8)
    assert record.result["activation_mean"] == pytest.approx(outputs(weights, test_rows).mean(), rel=1e-4)


# ---- a term, an optimizer, a metric


def first_loss(settings: dict[str, Any], term: Any, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of the first weights on all rows, with a term times its weight, and its gradient: float64, by autograd."""
    x = torch.from_numpy(data.load("digits").train).double()
    weight = initial_weight(1, UNITS, 64).double().requires_grad_()
    z = x @ weight.T
    a = z * torch.sigmoid(z)
    value = term(a)
    loss = infomax(a, weight, eps=1e-6)["loss"] + scale * value
    (gradient,) = torch.autograd.grad(loss, weight)
    return torch.stack([loss, value]).detach(), gradient


def test_a_term_is_added_to_the_loss_with_its_weight() -> None:
    """After one step from the same weights: in the loss, in a column of its own, and in what was learned."""
    spread = write("my_term.py").spread
    given = settings_in("--set term=my_term.py:spread --set lambda_term=0.5")
    given["lambda_term"] = float(given["lambda_term"])
    settings = ONE_STEP | {"activation": "silu", "lr": 0.001}
    record, weights = train("with", settings | given)
    without, others = train("without", settings)
    (loss, value), gradient = first_loss(settings, spread, 0.5)
    assert record.result["spread"] == pytest.approx(value.item(), rel=1e-5)
    assert record.result["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert record.result["loss"] - without.result["loss"] == pytest.approx(0.5 * value.item(), rel=1e-3)
    stepped = initial_weight(1, UNITS, 64).double() - 0.001 * gradient
    np.testing.assert_allclose(weights["weight"], stepped, rtol=1e-4, atol=1e-6)
    assert np.abs(others["weight"] - stepped.numpy()).max() > 1e-5  # it makes a difference


def test_an_optimizer_takes_the_step_that_its_function_says() -> None:
    """One step of lr along minus the sign of the gradient."""
    write("my_rule.py")
    given = settings_in("--set optimizer=my_rule.py:sign_descent")
    _, weights = train("sign", ONE_STEP | {"activation": "silu"} | given)
    _, gradient = first_loss(SMALL, lambda a: 0 * a.sum(), 0)
    start = initial_weight(1, UNITS, 64)
    clear = (gradient.abs() > 1e-4 * gradient.abs().max()) | (gradient == 0)  # else its sign is a matter of rounding
    assert clear.float().mean() > 0.9
    step = torch.from_numpy(weights["weight"]) - start
    np.testing.assert_allclose(step[clear], -LR * torch.sign(gradient)[clear], atol=1e-6)
    assert (gradient == 0).any()  # pixels that are always empty
    np.testing.assert_allclose(np.abs(weights["bias"]), LR, rtol=1e-5)


def test_a_metric_is_a_column_of_the_tables_and_a_curve_of_tensorboard() -> None:
    """Beside ours; the loss's terms and what is learned are the same as without it."""
    write("my_metric.py")
    given = settings_in("--set metrics=my_metric.py:skewness")
    settings = [f"{key}={value}" for key, value in given.items()]
    small = ["activation=[silu]", "seed=[1]", f"hidden_dim=[{UNITS}]", "epochs=2", "save_metrics_every=1"]
    folder = make_sweep(Path("out"), *small, *settings)
    (trial_id,), (measured,) = read_results(folder)["trial_id"], read_results(folder)["skewness"]
    a = outputs(folder.trial(trial_id).read_weights(), data.load("digits").test)
    assert measured == pytest.approx(((a - a.mean()) ** 3).mean() / a.std(ddof=1) ** 3, rel=1e-4)
    history = read_history_table(folder)
    assert history is not None
    assert history["skewness"].notna().tolist() == [True] * 3
    assert history["skewness"].iloc[-1] == measured
    (run,) = {path.parent for path in read_tensorboard.event_files(folder.runs_folder)}
    curve = read_tensorboard.curves(run)["skewness"]
    assert curve == [(epoch, np.float32(value)) for epoch, value in enumerate(history["skewness"])]
    plain = make_sweep(Path("plain"), *small)
    (other,) = read_results(plain)["trial_id"]
    assert same_bits(folder.trial(trial_id).read_weights(), plain.trial(other).read_weights())


# ---- a notebook, and all of it at once, on Ray


def test_the_function_itself_is_the_value_in_a_sweep_with_every_kind_of_part() -> None:
    """The line of the page, with parts of all other kinds beside it, in Ray's workers: the bits of trials that trained here."""
    swish = write("my_swish.py").swish
    for name in ("my_points.py", "my_term.py", "my_rule.py", "my_metric.py"):
        write(name)
    others = {"dataset": "my_points.py:points", "term": "my_term.py:spread", "optimizer": "my_rule.py:sign_descent"}
    more = others | {"metrics": "my_metric.py:skewness", "epochs": 2, "seed": [1, 2], "hidden_dim": [UNITS]}

    def sweep(space: str, *, settings: dict[str, Any], out: str) -> Any:
        return infomax_tune.sweep(space, settings=settings | more, out=out, report=False, quiet=True)

    line = 'sweep("quickstart", settings={"activation": ["relu", swish]}, out="results/swish")'
    done = eval(EXAMPLES[line], {"sweep": sweep, "swish": swish})
    assert dict(done.counts) == {"done": 4}
    results, folder = done.results, SweepFolder(done.out)
    assert list(map(plain_name, results["activation"])) == ["swish", "swish", "relu", "relu"]
    assert results[["spread", "skewness", "loss"]].notna().all(axis=None)
    for place, (trial_id, activation) in enumerate(zip(results["trial_id"], [swish] * 2 + ["relu"] * 2, strict=True)):
        own = more | {"activation": activation, "seed": 1 + place % 2, "hidden_dim": UNITS}
        alone, weights = train(f"alone{place}", {"batch_size": 128, "lr": 1e-2, "save_metrics_every": 5} | own)
        assert trial_id.startswith(alone.trial_id)  # a sweep's ids are longer
        assert same_bits(weights, folder.trial(trial_id).read_weights())
        assert results["skewness"][place] == alone.result["skewness"]
    names = sorted(path.name.partition("-")[0] for path in (folder.root / "parts").iterdir())
    assert names == ["my_metric", "my_points", "my_rule", "my_term", "program"]
