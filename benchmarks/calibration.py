"""Measures what docs/reading-the-report.md states about the tests and intervals.

    python -m benchmarks.calibration [--tables 2000] [--samples 10000] [--resamples 1999]

Family-wise error: the share of tables without any effect in which some Holm-corrected pair reaches 0.05.
Coverage: the share of 95% intervals that contain the true mean, median or IQM, for normal and clearly skewed (lognormal) data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import stats

from analysis.intervals import bca_interval, mean_median_iqm, t_interval
from analysis.stats import paired_p

ACTIVATIONS, WIDTHS = 6, 3
Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
NOISES: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "lognormal": lambda rng, shape: rng.lognormal(size=shape),
}


def family_wise_error(tables: int, seeds: int, noise: Noise, pooled: bool) -> float:
    """Share of null tables with a Holm-significant pair. pooled: the family of means over widths, else that of all widths."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(tables):
        values = rng.normal(size=(1, 1, seeds)) + noise(rng, (WIDTHS, ACTIVATIONS, seeds))
        values = values.mean(axis=0, keepdims=True) if pooled else values
        one, other = np.triu_indices(ACTIVATIONS, 1)
        differences = list((values[:, one] - values[:, other]).reshape(-1, seeds))
        p, _ = paired_p(differences)
        # Holm's first step decides whether anything at all is significant.
        found += bool(p.min() * len(p) <= 0.05)
    return found / tables


def true_values(noise: str) -> tuple[float, float, float]:
    """Mean, median and IQM of the population."""
    if noise == "normal":
        return 0.0, 0.0, 0.0
    grid = stats.lognorm.ppf(np.linspace(0.25, 0.75, 200_001), 1)
    return float(np.exp(0.5)), 1.0, float(np.trapezoid(grid, dx=1 / 200_000))


def main() -> None:
    """Prints every number as it is computed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2_000)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=1_999)
    given = parser.parse_args()
    started = time.perf_counter()
    for name, noise in NOISES.items():
        for seeds, pooled, family in ((10, True, "15 pairs, mean over widths"), (11, False, "45 pairs, all widths")):
            share = family_wise_error(given.tables, seeds, noise, pooled)
            print(
                f"family-wise error  {name:9}  {seeds} seeds  {family:27} {share:.1%} of {given.tables} tables",
                flush=True,
            )
    for name, noise in NOISES.items():
        truth = true_values(name)
        for n in (10, 30):
            values = noise(np.random.default_rng(1), (given.samples, n))
            low, high = t_interval(values.mean(axis=1), values.std(axis=1, ddof=1), n)
            print(
                f"cover  {name:9}  n = {n}  t, mean       {_cover(low, high, truth[0])} of {given.samples}", flush=True
            )
            low, high = bca_interval(values, mean_median_iqm, seed=0, n_resamples=given.resamples)
            for i, what in enumerate(("mean", "median", "IQM")):
                print(
                    f"cover  {name:9}  n = {n}  BCa, {what:8} {_cover(low[i], high[i], truth[i])} of {given.samples}",
                    flush=True,
                )
    print(f"{time.perf_counter() - started:.0f} s")


def _cover(low: np.ndarray, high: np.ndarray, truth: float) -> str:
    return f"{np.mean((low <= truth) & (truth <= high)):.1%}"


if __name__ == "__main__":
    main()
