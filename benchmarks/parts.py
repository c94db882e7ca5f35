"""Measures the parts of a step of the compiled loops, with its rows and weights in the core's cache.

    python -m benchmarks.parts [--repeats N]

Microseconds of CPU time on one core, the least of the repeats; relu with Adam on batches of 128 rows of MNIST. A whole
step takes longer than the sum of its parts, because it reads its rows from memory. Needs MNIST ($INFOMAX_TUNE_DATA_DIR).
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import numpy as np
from numba import njit

from benchmarks import peers
from infomax_tune.parts import catalogue
from infomax_tune.science import compiled
from infomax_tune.science.data import Dataset, load, shuffle
from infomax_tune.science.loops import loops_of_activation, loops_of_rule
from infomax_tune.science.model import initial_weight

WIDTHS = (16, 32, 64)
BATCHES, PASSES = 4, 25
"""Batches that a part works through, and how often in one measurement."""
Part = tuple[Any, tuple[Any, ...], tuple[Any, ...]]
"""A loop, and its arguments before and after the batch's rows; after is () where it reads no rows."""


def parts(dataset: Dataset, units: int) -> dict[str, list[Part]]:
    """The loops that each part of a step consists of."""
    data = dataset.nonzeros
    assert data is not None
    numbers = (data.starts, data.index, data.code, data.palette)
    n, inputs = peers.BATCH, dataset.train.shape[1]
    weight = np.ascontiguousarray(initial_weight(1, units, inputs).numpy().T).ravel()
    bias, real = np.zeros(units, np.float32), np.ones(units, np.float32)
    z, a, centered, grad = (np.full(n * units, 0.01, np.float32) for _ in range(4))
    products, identity = np.zeros(units * units, np.float32), np.eye(units, dtype=np.float32).ravel()
    variance, inverse_sd = np.ones(units, np.float32), np.ones(units, np.float32)
    result, mean, square = np.zeros_like(weight), np.zeros_like(weight), np.zeros_like(weight)
    eps, one = np.float32(peers.EPS), np.float32(1)
    relu = loops_of_activation(catalogue.ours("activations")["relu"])
    adam = catalogue.ours("optimizers")["adam"].rule()
    assert relu is not None
    factors = np.array(adam.factors(peers.LR, np.full(1, 10.0)), np.float32).ravel()
    return {
        "forward": [(compiled._forward, numbers, (weight, bias, z, units))],
        "activation": [
            (relu.forward, (z, a, n * units, real, units), ()),
            (relu.backward, (grad, z, a, n * units, real, units), ()),
        ],
        "statistics and their gradient": [
            (compiled._center, (a, centered, n, units), ()),
            (compiled._products, (centered, products, n, units), ()),
            (compiled._terms, (products, identity, real, variance, inverse_sd, n, units, one, one, eps), ()),
            (compiled._grad_activation, (centered, products, grad, n, units), ()),
        ],
        "gradient of the weights": [(compiled._grad_weight, numbers, (grad, result, units))],
        "Adam": [(loops_of_rule(adam), (weight, mean, square, result, factors), ())],
    }


def microseconds(part: Part, order: np.ndarray, repeats: int) -> float:
    """The least CPU time of a loop for one batch. order: the rows of `BATCHES` batches."""
    loop, before, after = part
    n = peers.BATCH

    @njit
    def alone(before: Any) -> None:
        for _ in range(PASSES * BATCHES):
            loop(*before)

    @njit
    def with_rows(before: Any, order: Any, after: Any) -> None:
        for i in range(PASSES * BATCHES):
            first = i % BATCHES * n
            loop(*(before + (order[first : first + n],) + after))  # noqa: RUF005 - numba knows no stars inside a tuple

    run, arguments = (with_rows, (before, order, after)) if after else (alone, (before,))
    run(*arguments)  # compiles
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        run(*arguments)
        times.append(time.process_time() - begun)
    return min(times) / PASSES / BATCHES * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="repeats of each part (default 9)")
    repeats = parser.parse_args().repeats
    peers.pin((os.cpu_count() or 1) - 1)
    dataset = load("mnist")
    order = shuffle(1, 1, len(dataset.train))[: BATCHES * peers.BATCH]
    found = {
        units: {
            name: sum(microseconds(loop, order, repeats) for loop in loops)
            for name, loops in parts(dataset, units).items()
        }
        for units in WIDTHS
    }
    whole = {}
    for units in WIDTHS:
        step = peers.ours(dataset, units, 10, 469)
        whole[units] = min(step() for _ in range(repeats)) * 1e6
    print("| part | " + " | ".join(f"K = {units}" for units in WIDTHS) + " |")
    print("| --- |" + " --- |" * len(WIDTHS))
    for name in found[WIDTHS[0]]:
        print(f"| {name} | " + " | ".join(f"{found[units][name]:.0f}" for units in WIDTHS) + " |")
    print("| together | " + " | ".join(f"{sum(found[units].values()):.0f}" for units in WIDTHS) + " |")
    print("| a whole step, its rows in memory | " + " | ".join(f"{whole[units]:.0f}" for units in WIDTHS) + " |")


if __name__ == "__main__":
    main()
