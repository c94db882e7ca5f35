"""The report's own "how to read this": each word in a sentence or two. The long form is docs/reading-the-report.md."""

from __future__ import annotations

METRIC_TERMS = {
    "effective_rank": "How many directions the weights really use: (sum s)\u00b2 / sum s\u00b2 of the singular values s. From 1 (all units parallel) to the smaller of K and the input size; higher is better.",
    "weight_redundancy": "How far the units' weight vectors are from being at right angles: the squared distance of their cosine matrix from the identity. 0 at best.",
    "dead_units": "Units that answer (above 1e-6 in size) to under 1% of the test images. Lower is better.",
    "output_correlation": "The squared distance of the outputs' correlation matrix from the identity. 0 means that no two units vary together in a straight line.",
    "gaussian_total_correlation": "The information that the outputs share, were they Gaussian: -1/2 log det of their correlations, in nats. Lower is better.",
    "variance_ratio": "The largest variance of a unit over the smallest. 1 is even; a dead unit makes it huge.",
    "max_avg_responsibility": "Where outputs sum to 1: the largest mean share that one unit takes. Best near 1/K.",
    "probe_accuracy": "Test accuracy of a linear classifier on the frozen outputs. Higher is better.",
    "convergence_epoch": "The first epoch whose training loss has made 90% of its fall. Lower is faster.",
    "activation_mean": "Mean of all outputs. Neither direction is better.",
    "activation_std": "Standard deviation of all outputs. Neither direction is better.",
    "loss": "What training minimises: entropy + lambda_tc x tc + lambda_wr x wr. Not comparable between widths or lambdas.",
    "entropy": "The loss's first term: minus the sum of the units' log variances. Lower means that the units vary more.",
    "tc": "The loss's second term: squared distance of the regularised correlation matrix from the identity on a batch. A decorrelation surrogate for total correlation, not total correlation itself.",
    "wr": "The loss's third term: weight redundancy during training.",
}

STATISTIC_TERMS = [
    (
        "trial, cell, seed",
        "A trial is one training run. The trials that differ only in their seed are a cell. All activations share, for one seed and width, the first weights and the batches, so they are compared seed by seed.",
    ),
    (
        "mean over widths",
        "Each seed's values are first averaged over the widths; the seeds are then the sample. A seed that lacks a width is left out of it and counted under \u201cleft out\u201d.",
    ),
    (
        "95% interval",
        "For a mean: Student's t over the seeds. Over many studies 95% of such intervals hold the true mean, if seeds scatter about normally. We recommend it for 10 seeds; the bootstrap intervals (BCa) in cells.csv are too short there, and are for 30 seeds and more, for medians and interquartile means.",
    ),
    (
        "IQM",
        "Interquartile mean: the mean of the middle half of the seeds, which a single odd seed cannot move far.",
    ),
    (
        "a - b",
        "The mean difference between two settings, seed by seed, with its own 95% interval (not corrected for the number of pairs: use p for that).",
    ),
    (
        "Cohen's d",
        "The mean difference divided by the standard deviation of the differences. About 0.2 is small and 0.8 large, but differences paired by seed are often far larger.",
    ),
    (
        "a better in",
        "Probability of superiority: the share of seeds in which a is better than b (or larger, where neither direction is better); ties count half.",
    ),
    (
        "p",
        "How often chance alone would give a difference at least this large. Up to 12 seeds: all 2\u207f ways of turning the signs of the differences are counted. More seeds: Wilcoxon's signed-rank test.",
    ),
    (
        "p (Holm), family",
        "p corrected for the number of comparisons. A family is one metric and one kind of comparison (say, all pairs of activations in all widths); within it, if nothing differs, the chance of even one p (Holm) at or under 0.05 is at most 5%. Metrics are not corrected for one another.",
    ),
    (
        "Friedman, Kendall's W",
        "Do the activations differ at all? Ranks within each seed are compared; W is the seeds' agreement on the ranking, 0 to 1.",
    ),
    (
        "critical-difference diagram",
        "Average ranks over seeds; a bar joins activations that Nemenyi's test (5%) does not tell apart.",
    ),
    (
        "Brown-Forsythe",
        "Do the activations differ in how much the final loss scatters over seeds? A guide only: it takes seeds as independent between activations.",
    ),
    (
        "n/a",
        "Not available: too few seeds for an interval or a test, or a value that was not recorded.",
    ),
]


def terms(metrics: list[str]) -> list[tuple[str, str]]:
    """Term and meaning: the metrics of this study, then the statistics."""
    from analysis.schema import label

    return [(label(metric), METRIC_TERMS[metric]) for metric in metrics if metric in METRIC_TERMS] + STATISTIC_TERMS
