"""The checks of datasets and metrics."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import numpy as np
import torch

from infomax_tune.parts import catalogue
from infomax_tune.parts.datasets import Arrays, DataSource, Shape
from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.science.data import digest_of
from infomax_tune.science.part_checks.shared import Check, Note, Wrong, bits, use_no_random_numbers


def of_dataset(part: DataSource, name: str) -> dict[str, Check]:
    """The checks of a dataset, by name, in their order."""

    def load_again() -> str:
        return digest_of(*catalogue.again("datasets", name).load(None))

    arrays = functools.cache(lambda: part.load(None))
    return {
        "again": lambda: f"{use_no_random_numbers(load_again)}; digest {load_again()}",
        "shape": lambda: _facts_are_true(part, arrays()),
        "finite": lambda: _numbers_are_finite(arrays()),
    }


def _facts_are_true(part: DataSource, arrays: Arrays) -> str:
    shape = Shape(len(arrays.train), len(arrays.test), math.prod(arrays.train.shape[1:]))
    if shape != part.shape:
        raise Wrong(f"its arrays have {shape}, it says {part.shape}", part.load)
    if math.prod(arrays.test.shape[1:]) != shape.inputs:
        raise Wrong(f"test has the shape {arrays.test.shape}, train {arrays.train.shape}", part.load)
    if (len(arrays.train_labels), len(arrays.test_labels)) != (shape.train, shape.test):
        raise Wrong("there is not one label for each row", part.load)
    classes = len(np.unique(arrays.train_labels))
    if classes != (part.classes or 1):
        raise Wrong(f"train_labels has {classes} different labels, it says {part.classes}", part.load)
    digest = digest_of(*arrays)
    if part.digest not in ("", digest):
        raise Wrong(f"its digest is {digest}, it says {part.digest}", part.load)
    return f"{shape.train} training rows, {shape.test} test rows, {shape.inputs} inputs, {part.classes} classes"


def _numbers_are_finite(arrays: Arrays) -> str:
    for name in ("train", "test"):
        array = getattr(arrays, name)
        if array.dtype not in (np.float32, np.uint8):
            raise Wrong(f"{name} holds {array.dtype}, not float32 or uint8")
        if not np.isfinite(array).all():
            raise Wrong(f"{name} holds numbers that are NaN or infinite")
    return "every number is finite"


def of_metric(part: Metric, name: str) -> dict[str, Check]:  # noqa: ARG001 - as of the other kinds
    """The checks of a metric, by name, in their order."""
    return {
        "finite": lambda: _metric_is_finite(part),
        "unchanged": lambda: _inputs_stay(part),
        "random": lambda: use_no_random_numbers(lambda: _value(part, _measured(part)), part.measure),
        "order": lambda: _order_of_samples(part),
    }


def _measured(part: Metric, seed: int = 0, reverse: bool = False) -> tuple[Any, ...]:
    """Random arguments of its function. reverse: with the samples in the reverse order."""
    numbers = np.random.default_rng(seed)
    turn = slice(None, None, -1 if reverse else 1)
    if part.on == "losses":
        return (sorted(numbers.normal(size=12).tolist(), reverse=True),)
    train, test = (numbers.normal(size=(rows, 8))[turn].copy() for rows in (90, 60))
    if part.on == "labels":
        labels = [np.arange(rows)[turn].copy() % 3 for rows in (90, 60)]
        return torch.from_numpy(train).float(), labels[0], torch.from_numpy(test).float(), labels[1]
    return (Layer(torch.from_numpy(numbers.normal(size=(8, 20))), torch.from_numpy(test)),)


def _value(part: Metric, arguments: tuple[Any, ...]) -> float:
    """What a metric measures; of one number per unit, their mean."""
    return float(np.mean(np.asarray(part.measure(*arguments))))


def _metric_is_finite(part: Metric) -> str:
    values = [_value(part, _measured(part, seed)) for seed in range(3)]
    bad = [value for value in values if not math.isfinite(value)]
    if bad and part.on in ("layer", "trained layer"):
        layer = _measured(part)[0]
        if math.isfinite(_value(part, (Layer(layer.weight, layer.activations.softmax(dim=-1), bound=1.0),))):
            raise Note(f"it is {bad[0]} for a random layer, and a finite number where the outputs are shares of 1")
    if bad:
        raise Wrong(f"it is {bad[0]} for a random layer", part.measure)
    return f"a finite number for 3 random layers: {', '.join(f'{value:.4g}' for value in values)}"


def _inputs_stay(part: Metric) -> str:
    arguments = _measured(part)
    before = copy.deepcopy(arguments)
    values = [_value(part, arguments) for _ in range(2)]
    for one, other in zip(map(_numbers, arguments), map(_numbers, before), strict=True):
        if one != other:
            raise Wrong("it changes its input", part.measure)
    if bits(values[0]) != bits(values[1]):
        raise Wrong(f"it is first {values[0]}, then {values[1]} for the same layer", part.measure)
    return "it changes no input, and is the same twice"


def _numbers(argument: Any) -> tuple[bytes, ...]:
    return (bits(argument.weight), bits(argument.activations)) if isinstance(argument, Layer) else (bits(argument),)


def _order_of_samples(part: Metric) -> str:
    if part.on == "losses":
        raise Note("it is of the losses in their order")
    one, other = (_value(part, _measured(part, reverse=reverse)) for reverse in (False, True))
    if not math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12):
        raise Note(f"it depends on the order of the samples: {one:.6g}, in the reverse order {other:.6g}")
    return "the order of the samples does not matter"
