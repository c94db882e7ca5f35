"""What the statistics promise, measured on simulated data.

Quick by default; `python -m benchmarks.calibration` measures the same with more draws, for docs/reading-the-report.md.
"""

import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy import stats

from analysis.intervals import t_interval
from analysis.reshape import mean_over_width
from analysis.stats import compare

TABLES = 500
GRID = [(table, name, width) for table in range(TABLES) for name in synthetic.ACTIVATIONS for width in (16, 32, 64)]


def null_tables(rng, seeds, noise):
    """500 tables of six activations x three widths without any effect: a shared block a seed, plus noise.

    They are told apart by lambda_tc, which makes each a stratum of its own: one call compares them all.
    """
    block = np.repeat(rng.normal(size=(TABLES, seeds)), 18, axis=0)
    return pd.DataFrame(
        {
            "lambda_tc": np.repeat([table for table, _, _ in GRID], seeds),
            "activation": np.repeat([name for _, name, _ in GRID], seeds),
            "hidden_dim": np.repeat([width for _, _, width in GRID], seeds),
            "seed": np.tile(np.arange(seeds), len(GRID)),
            "status": "done",
            "effective_rank": (block + noise(rng, (len(GRID), seeds))).ravel(),
        }
    )


def normal(rng, shape):
    """Symmetric noise."""
    return rng.normal(size=shape)


def skewed(rng, shape):
    """Noise with a long tail, the same for all, so that differences are symmetric all the same."""
    return rng.lognormal(size=shape)


@pytest.mark.parametrize("noise", [normal, skewed])
def test_without_an_effect_at_most_five_percent_of_tables_have_a_significant_pair(noise):
    """The report's main family (10 seeds, 15 pairs, mean over widths), over 500 tables.

    More than binomial(500, 0.05) gives once in a thousand would be a defect. That uncorrected p finds something in many
    tables shows that the test could fail.
    """
    rows = mean_over_width(null_tables(np.random.default_rng(0), 10, noise))
    pairs = compare(rows, "effective_rank", within=["lambda_tc"], family="stratum")
    assert set(pairs["family_size"]) == {15}
    tables = pairs.groupby("lambda_tc")
    assert len(tables) == TABLES
    assert tables["significant"].any().sum() <= stats.binom.ppf(0.999, TABLES, 0.05)
    assert (tables["p"].min() <= 0.05).mean() > 0.2


def cover(low, high, truth):
    """Share of the intervals that hold the truth."""
    return float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize("n", [10, 30])
def test_t_intervals_cover_95_percent_of_normal_means(n):
    """20,000 samples: the sampling error of the cover is 0.15%."""
    values = np.random.default_rng(2).normal(size=(20_000, n))
    low, high = t_interval(values.mean(axis=1), values.std(axis=1, ddof=1), n)
    assert 0.93 <= cover(low, high, 0) <= 0.97


def test_a_real_difference_is_found():
    """Two standard deviations between neighbors: the same machinery that keeps quiet above speaks here."""
    found = compare(mean_over_width(synthetic.make_results(effect=3.0)), "effective_rank")
    assert found["significant"].mean() > 0.8
