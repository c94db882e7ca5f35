"""What the checks of parts share: results, the line of a user's function, random states, finite differences, training."""

from __future__ import annotations

import inspect
import pickle
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infomax_tune.parts import catalogue
from infomax_tune.science.data import Dataset
from infomax_tune.science.training import packs_agree, train, why_not_compiled
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.read_config import Setting, build_config

Check = Callable[[], str]
"""Returns what it found in words. Raises Wrong if the part breaks its contract, Note for what is only good to know."""
STEP = 1e-6
"""Of finite differences, in float64."""
_TRAINING = {
    "model.hidden_dim": 16,
    "data.batch_size": 64,
    "loss.variance_eps": 1e-4,
    "training.epochs": 1,
    "training.lr": 1e-3,
    "training.optimizer": "sgd",  # adam divides a gradient by its size, and thereby rounding errors too
}


class Wrong(Exception):  # noqa: N818 - not an error of ours
    """The part breaks its contract, in the given function of it."""

    def __init__(self, words: str, function: Any = None) -> None:
        place = place_of(function)
        super().__init__(f"{words} ({place})" if place else words)


class Note(Exception):  # noqa: N818
    """Something that is no mistake."""


@dataclass(frozen=True)
class Result:
    """The result of one check. passed: None for a note."""

    name: str
    passed: bool | None
    words: str


def run_check(name: str, check: Check, file: str) -> Result:
    """Runs a check, and restores the global random generators. file: the part's, whose line is named if its code raises."""
    kept = _states()
    try:
        return Result(name, True, check())
    except Note as note:
        return Result(name, None, str(note))
    except Wrong as wrong:
        return Result(name, False, str(wrong))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's code may raise anything
        return Result(name, False, raised(error, file))
    finally:
        torch.set_rng_state(torch.from_numpy(kept["torch"]))
        np.random.set_state(kept["numpy"])  # noqa: NPY002
        random.setstate(kept["random"])


def raised(error: BaseException, file: str) -> str:
    """An error in words, with the line of this file that it passed through."""
    line = catalogue.line_in(file, error)
    words = f"{type(error).__name__}: {error}"
    return words if line == "?" else f"{file}, line {line}: {words}"


def place_of(function: Any) -> str:
    """FILE, line N of a function; "" if it has none. Of one that `part_from` made, that of the function in it."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None:
        return ""
    if Path(code.co_filename).name == "__init__.py" and function.__closure__:
        return place_of(function.__closure__[0].cell_contents)
    return f"{Path(code.co_filename).name}, line {code.co_firstlineno}"


def generator(seed: int = 0) -> torch.Generator:
    """Random numbers of our own."""
    return torch.Generator().manual_seed(seed)


def bits(value: Any) -> bytes:
    """What must be equal for two values to be the same."""
    return value.detach().numpy().tobytes() if isinstance(value, Tensor) else pickle.dumps(value)


def use_no_random_numbers(compute: Callable[[], Any], function: Any = None) -> str:
    """Computes it after two seeds: it may neither draw from the global generators, nor give another value."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the generator that a user's code might draw from
        random.seed(seed)
        before = {name: pickle.dumps(state) for name, state in _states().items()}
        found.append(bits(compute()))
        drawn = [name for name, state in _states().items() if pickle.dumps(state) != before[name]]
        if drawn:
            raise Wrong(f"it draws or seeds the random numbers of {' and '.join(drawn)}", function)
    if found[0] != found[1]:
        raise Wrong("it gives another value every time", function)
    return "the same bits after any seed, and no generator was used"


def _states() -> dict[str, Any]:
    return {"torch": torch.get_rng_state().numpy(), "numpy": np.random.get_state(), "random": random.getstate()}  # noqa: NPY002


def is_close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    """Whether two tensors are equal, to this error relative to the number, or to 1 if it is smaller."""
    return one.shape == other.shape and bool(((one - other).abs() <= tolerance * (1 + other.abs())).all())


def compare_gradient(given: Tensor, numeric: Tensor, at: Tensor, what: str, function: Any, skip: Any = False) -> str:
    """Compares a gradient with finite differences. at: the numbers it is for, called `what`; skip: where it has none."""
    if given.shape != numeric.shape:
        raise Wrong(f"the gradient has the shape {tuple(given.shape)}, not {tuple(numeric.shape)}", function)
    error = (given - numeric).abs() / (1 + numeric.abs())
    error = error.masked_fill(torch.as_tensor(skip), 0.0).flatten()
    worst = int(error.argmax())  # NaN counts as the largest
    if not error[worst] <= 1e-5:
        numbers = (float(tensor.flatten()[worst]) for tensor in (at, given, numeric))
        words = "worst at {} = {:.6g}: the gradient is {:.6g}, finite differences give {:.6g}"
        raise Wrong(words.format(what, *numbers), function)
    return f"that of finite differences at {len(error)} points, to {float(error[worst]):.0e}"


def torch_and_loops_agree(settings: Mapping[str, Any]) -> str:
    """Trains an epoch with torch and in compiled loops. Raises Note if it does not run in the loops."""
    config, data = _config(settings, 1), _images(0.3, 200)
    if reason := why_not_compiled(config, data):
        raise Note(f"it trains with torch, not in compiled loops: {reason}")
    (*_, ours), (*_, torchs) = train([config], data), train([config], data, compiled=False)
    one, other = (report.losses[0] | report.state(0).tensors for report in (ours, torchs))
    for name, value in other.items():
        first, second = torch.as_tensor(one[name]), torch.as_tensor(value)
        if not is_close(first, second, 1e-5):
            raise Wrong(f"after an epoch, {name} differs by {float((first - second).abs().max()):.1e}")
    return "an epoch gives the same numbers to 1e-5"


def packs_are_exact(settings: Mapping[str, Any]) -> str:
    """Trains packs of sparse images, in loops if it runs there, and of dense ones, with torch."""
    pack = [_config(settings, seed) for seed in (1, 2, 3)]
    for share, what in ((0.3, "sparse"), (1.0, "dense")):
        if not packs_agree(pack, _images(share, 784)):
            raise Wrong(f"a trial has other bits in a pack than alone, on {what} data")
    return "trials have the same bits in packs and alone"


def _config(settings: Mapping[str, Any], seed: int) -> TrialConfig:
    given = _TRAINING | dict(settings) | {"training.seed": seed}
    return build_config({name: Setting(value, "") for name, value in given.items()})


def _images(share: float, inputs: int) -> Dataset:
    """Random pixels, of which this share is not zero."""
    numbers = np.random.default_rng(0)
    pixels = numbers.integers(1, 256, size=(101, inputs)) * (numbers.random((101, inputs)) < share)
    x = (pixels / 255).astype(np.float32)
    labels = np.zeros(len(x), np.int64)
    return Dataset("random", x, x[:16], labels, labels[:16])
