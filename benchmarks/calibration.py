"""Measures what docs/reading-the-report.md states about the tests and intervals.

    python -m benchmarks.calibration [--tables 2000] [--samples 10000]

Family-wise error: the share of tables in which some pair without an effect has a corrected p (max-T) of 0.05 or less, both if no
activation has an effect and if two of six have a large one.
Simultaneous cover: the share of those tables whose intervals contain every true difference.
Coverage: the share of 95% intervals that contain the true mean, for normal and clearly skewed (lognormal) data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from analysis.intervals import t_interval
from analysis.sign_flips import flip_family

ACTIVATIONS = 6
Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
NOISES: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "lognormal": lambda rng, shape: rng.lognormal(size=shape),
}


def families(
    tables: int, seeds: int, noise: Noise, *, widths: int, shown: str, effect: float
) -> tuple[float, float, float]:
    """Of so many tables: the family-wise error, the simultaneous cover, and the share of real differences that are found.

    shown: "pairs" of six activations at each of the widths; "reference": of five against the sixth; "change": of each cell
    against 0. effect: of the last two activations, in standard deviations of a trial.
    """
    rng = np.random.default_rng(0)
    mean = np.array([0, 0, 0, 0, effect, 2 * effect])
    one, other = np.triu_indices(ACTIVATIONS, 1)
    if shown == "reference":
        one, other = one[:5], other[:5]
    truth = mean if shown == "change" else mean[one] - mean[other]
    truth = np.tile(truth, widths)
    wrong = held = found = 0
    for _ in range(tables):
        values = rng.normal(size=(1, 1, seeds)) + noise(rng, (widths, ACTIVATIONS, seeds)) + mean[:, None]
        if shown == "change":
            differences = values - rng.normal(size=(1, 1, seeds)) - noise(rng, (widths, ACTIVATIONS, seeds))
        else:
            differences = values[:, one] - values[:, other]
        tested = flip_family(differences.reshape(-1, seeds))
        wrong += bool((tested.p_max_t[truth == 0] <= 0.05).any())
        held += bool(((tested.low - 1e-9 <= truth) & (truth <= tested.high + 1e-9)).all())
        found += float((tested.p_max_t[truth != 0] <= 0.05).mean()) if effect else 0.0
    return wrong / tables, held / tables, found / tables


FAMILIES = (
    ("15 pairs, one width", 10, 1, "pairs"),
    ("45 pairs, three widths", 10, 3, "pairs"),
    ("45 pairs, three widths", 6, 3, "pairs"),
    ("15 pairs, one width", 20, 1, "pairs"),
    ("5 pairs, a reference", 10, 1, "reference"),
    ("18 cells, before and after", 10, 3, "change"),
)
"""Name, seeds, widths, what is compared."""


def main() -> None:
    """Prints every number as it is computed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2_000)
    parser.add_argument("--samples", type=int, default=10_000)
    given = parser.parse_args()
    started = time.perf_counter()
    for name, noise in NOISES.items():
        for what, seeds, widths, shown in FAMILIES:
            for effect in (0.0, 2.0):
                wrong, held, found = families(given.tables, seeds, noise, widths=widths, shown=shown, effect=effect)
                print(
                    f"{name:9}  {seeds} seeds  {what:27} {'two with an effect' if effect else 'no effect':18} "
                    f"family-wise error {wrong:.1%}, simultaneous cover {held:.1%}"
                    + (f", found {found:.1%}" if effect else "")
                    + f" of {given.tables} tables",
                    flush=True,
                )
    for name, noise in NOISES.items():
        truth = 0.0 if name == "normal" else float(np.exp(0.5))
        for n in (10, 30):
            values = noise(np.random.default_rng(1), (given.samples, n))
            low, high = t_interval(values.mean(axis=1), values.std(axis=1, ddof=1), n)
            cover = np.mean((low <= truth) & (truth <= high))
            print(f"cover  {name:9}  n = {n}  t, mean  {cover:.1%} of {given.samples}", flush=True)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
