"""Measures how the cost of training grows with the width, the seeds of a pack and the rows of data, and draws it.

    python -m benchmarks.scaling [--repeats N] [--out docs/images/scaling.png]

CPU time of one core, the least of the repeats; relu on MNIST. Prints the order of growth: the slope between the last two
points on logarithmic axes. Needs MNIST ($INFOMAX_TUNE_DATA_DIR).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks import peers
from infomax_tune.science.data import Dataset, load
from infomax_tune.science.training import train

_STEPS = 40


def width(dataset: Dataset, repeats: int, *, compiled: bool) -> dict[int, float]:
    """Microseconds per step, by the number of units."""
    return {
        units: _least(peers.ours(dataset, units, 1, _STEPS, compiled=compiled), repeats) * 1e6
        for units in (16, 32, 64, 128, 256, 512, 1024)
        if units <= 512 or not compiled  # wider layers are torch's
    }


def seeds(dataset: Dataset, repeats: int) -> dict[int, float]:
    """Milliseconds for `_STEPS` steps of a pack, by its number of seeds."""
    return {n: _least(peers.ours(dataset, 16, n, _STEPS), repeats) * n * _STEPS * 1e3 for n in (1, 2, 4, 8, 16, 32, 64)}


def rows(dataset: Dataset, repeats: int) -> dict[int, float]:
    """Milliseconds an epoch, by the number of training rows."""
    found = {}
    for count in (1_875, 3_750, 7_500, 15_000, 30_000, 60_000):
        part = dataclasses.replace(dataset, train=dataset.train[:count])
        reports = train([peers.config(epochs=10**6)], part)
        next(reports)
        next(reports)

        def epoch(reports=reports) -> float:
            begun = time.process_time()
            next(reports)
            return time.process_time() - begun

        found[count] = _least(epoch, repeats) * 1e3
    return found


def _least(run: peers.Steps, repeats: int) -> float:
    return min(run() for _ in range(repeats))


def order_of_growth(found: dict[int, float]) -> float:
    (x0, y0), (x1, y1) = list(found.items())[-2:]
    return math.log(y1 / y0) / math.log(x1 / x0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="repeats of each point (default 5)")
    parser.add_argument("--out", type=Path, help="where to write the figure (default: nowhere)")
    arguments = parser.parse_args()
    peers.pin((os.cpu_count() or 1) - 1)
    dataset, repeats = load("mnist"), arguments.repeats
    curves = {
        "units": {
            "compiled loops": width(dataset, repeats, compiled=True),
            "torch": width(dataset, repeats, compiled=False),
        },
        "seeds": {"compiled loops": seeds(dataset, repeats)},
        "training rows": {"compiled loops": rows(dataset, repeats)},
    }
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for ax, (name, lines), unit in zip(
        axes, curves.items(), ("µs per step", "ms per pack", "ms per epoch"), strict=True
    ):
        for label, found in lines.items():
            growth = order_of_growth(found)
            print(
                f"{name}, {label} ({unit}): ",
                {x: round(y, 1) for x, y in found.items()},
                f"order {growth:.2f}",
                flush=True,
            )
            ax.loglog(list(found), list(found.values()), "o-", label=f"{label}, order {growth:.2f}")
        ax.set(xlabel=name, ylabel=unit)
        ax.legend(frameon=False)
    if arguments.out:
        figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
