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
        "Each seed's values are first averaged over the widths, divided by what they grow with: effective rank / K, weight "
        "redundancy / K (K - 1). The seeds are then the sample. A seed that lacks a width is left out and counted under "
        "\u201cleft out\u201d.",
    ),
    (
        "95% interval",
        "For a mean: Student's t over the seeds. Over many studies 95% of such intervals hold the true mean, if seeds "
        "scatter about normally; what lies beyond the values that a metric can have is cut off. We recommend it for 10 seeds; "
        "the bootstrap intervals (BCa) in cells.csv are too short there, and are for 30 seeds and more, for medians and "
        "interquartile means.",
    ),
    (
        "leads",
        "Somebody is always best on average. A setting leads where the corrected test tells it apart from the next best, on "
        "the seeds that all settings have. One that lost more than half of its seeds is not ranked.",
    ),
    (
        "IQM",
        "Interquartile mean: the mean of the middle half of the seeds, which a single odd seed cannot move far.",
    ),
    (
        "a - b",
        "The mean difference between two settings, seed by seed; of the variance ratio, that of its natural logarithm. \u201call "
        "95% from\u201d and \u201cto\u201d: a simultaneous interval. In 95% of studies those of a whole family hold all the true "
        "differences at once. Per cent: of b's mean.",
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
        "How often chance alone would give a difference at least this large: the share of ways of turning the signs of the "
        "seeds' differences. Up to 14 seeds all 2\u207f ways are counted; above, 9,999 are drawn, always the same.",
    ),
    (
        "p (max-T), family",
        "p corrected for the number of comparisons, by turning the signs of a seed in all of them at once. A family is one "
        "metric and one kind of comparison (say, all pairs of activations in all widths); within it, if nothing differs, the "
        "chance of even one p (max-T) at or under 0.05 is about 5%. p (Holm) is the older correction, which ten seeds cannot "
        "satisfy over more than 25 comparisons. Metrics are not corrected for one another.",
    ),
]

NOT_AVAILABLE = ("n/a", "Not available: too few seeds for an interval or a test, or a value that was not recorded.")


def glossary(metrics: Iterable[str], of_tables: Iterable[tuple[str, str]]) -> Terms:
    """Term and meaning: the metrics of this study, what all statistics share, what single tables bring."""
    explained = [(METRICS[name].label, METRICS[name].explanation) for name in metrics]
    return [*explained, *SHARED, *of_tables, NOT_AVAILABLE]
