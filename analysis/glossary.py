"""The report's own "how to read this": each word in a sentence or two. The long form is docs/reading-the-report.md.

Metrics explain themselves in `metrics`, single statistics in `tables`; here is what they all share.
"""

from __future__ import annotations

from collections.abc import Iterable

from analysis.metrics import METRICS

Terms = list[tuple[str, str]]

SHARED: Terms = [
    (
        "trial, cell, seed",
        "A trial is one training run. The trials that differ only in their seed are a cell. All activations share, for one "
        "seed and width, the first weights and the batches, so they are compared seed by seed.",
    ),
    (
        "mean over widths",
        "Each seed's values are first averaged over the widths; the seeds are then the sample. A seed that lacks a width is "
        "left out of it and counted under \u201cleft out\u201d.",
    ),
    (
        "95% interval",
        "For a mean: Student's t over the seeds. Over many studies 95% of such intervals hold the true mean, if seeds "
        "scatter about normally. We recommend it for 10 seeds; the bootstrap intervals (BCa) in cells.csv are too short "
        "there, and are for 30 seeds and more, for medians and interquartile means.",
    ),
    (
        "IQM",
        "Interquartile mean: the mean of the middle half of the seeds, which a single odd seed cannot move far.",
    ),
    (
        "a - b",
        "The mean difference between two settings, seed by seed, with its own 95% interval (not corrected for the number of "
        "pairs: use p for that).",
    ),
    (
        "Cohen's d",
        "The mean difference divided by the standard deviation of the differences. About 0.2 is small and 0.8 large, but "
        "differences paired by seed are often far larger.",
    ),
    (
        "a better in",
        "Probability of superiority: the share of seeds in which a is better than b (or larger, where neither direction is "
        "better); ties count half.",
    ),
    (
        "p",
        "How often chance alone would give a difference at least this large. Up to 12 seeds: all 2\u207f ways of turning the "
        "signs of the differences are counted. More seeds: Wilcoxon's signed-rank test.",
    ),
    (
        "p (Holm), family",
        "p corrected for the number of comparisons. A family is one metric and one kind of comparison (say, all pairs of "
        "activations in all widths); within it, if nothing differs, the chance of even one p (Holm) at or under 0.05 is at "
        "most 5%. Metrics are not corrected for one another.",
    ),
]

NOT_AVAILABLE = ("n/a", "Not available: too few seeds for an interval or a test, or a value that was not recorded.")


def glossary(metrics: Iterable[str], of_tables: Iterable[tuple[str, str]]) -> Terms:
    """Term and meaning: the metrics of this study, what all statistics share, what single tables bring."""
    explained = [(METRICS[name].label, METRICS[name].explanation) for name in metrics]
    return [*explained, *SHARED, *of_tables, NOT_AVAILABLE]
