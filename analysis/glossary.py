"""The report's section "How to read this": each term in a sentence or two. The long form is docs/reading-the-report.md.

The terms that all tables share. `metrics` explains the metrics, `tables` the terms of single tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analysis.load import OwnPart
from analysis.metrics import METRICS

Terms = list[tuple[str, str]]

SHARED: Terms = [
    (
        "trial, cell, seed",
        "A trial is one training run. Trials that differ only in their seed form a cell. With the same seed and width, all "
        "activations share the initial weights and the batches, so they are compared seed by seed.",
    ),
    (
        "mean over widths",
        "Metrics that grow with the width K are first divided by K or K (K - 1): effective rank / K, weight redundancy / "
        "K (K - 1). Each seed's values are then averaged over the widths, and the seeds are the sample. A seed without a value "
        "at every width is excluded and counted under \u201cleft out\u201d.",
    ),
    (
        "95% interval",
        "For a mean: Student's t over the seeds. Over many studies, 95% of such intervals contain the true mean if the seeds "
        "are roughly normally distributed. Intervals are cut off at the limits of the metric's range.",
    ),
    (
        "leads",
        "Some setting is always best on average. A setting leads only if it differs significantly from every other ranked setting by the "
        "corrected test, on the seeds that all settings have. A setting with fewer than half as many seeds as the most complete one is not ranked.",
    ),
    (
        "a - b",
        "The mean difference between two settings, seed by seed; for the variance ratio, the mean difference of natural "
        "logarithms. \u201csimult. 95% from\u201d and \u201cto\u201d: a simultaneous interval. In 95% of studies, the simultaneous "
        "intervals of a whole family contain all the true differences at once. Percent: of b's mean.",
    ),
    (
        "Cohen's d",
        "The mean difference divided by the standard deviation of the differences. About 0.2 is small and 0.8 is large, but "
        "differences paired by seed are often far larger.",
    ),
    (
        "a is better in",
        "Probability of superiority: the share of seeds in which a is better than b (or larger, if neither direction is "
        "better); ties count half.",
    ),
    (
        "p",
        "How often chance alone would give a difference at least this large: the share of all ways to flip the signs of the "
        "seeds' differences that do so. Up to 14 seeds, all 2\u207f ways are counted; above that, 9,999 are drawn, always the "
        "same ones.",
    ),
    (
        "p (max-T), family",
        "p corrected for the number of comparisons by flipping the signs of a seed in all of them at once. A family is one "
        "metric and one kind of comparison (for example, all pairs of activations at all widths). If nothing differs within "
        "a family, the chance of even one p (max-T) of 0.05 or less is about 5%. \u201cSignificant\u201d means a p (max-T) of "
        "0.05 or less. p is not corrected across metrics.",
    ),
]

NOT_AVAILABLE = ("n/a", "Not available: too few seeds for an interval or a test, or the value was not recorded.")


def glossary(metrics: Iterable[str], own: Mapping[str, OwnPart], of_tables: Iterable[tuple[str, str]]) -> Terms:
    """Terms and meanings: this study's metrics and own parts, the shared terms, and the terms of single tables."""
    explained = [(METRICS[name].label, METRICS[name].explanation) for name in metrics]
    explained += [(name, part.explanation) for name, part in own.items() if part.explanation and "." not in name]
    return [*explained, *SHARED, *of_tables, NOT_AVAILABLE]
