"""What a study's sentences, figures and tables share, worked out once: seed means, comparisons, the summary.

A statistic that only its own table shows is worked out in `tables`. Imports statistics, not how they are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis import reshape
from analysis.intervals import RESAMPLES, t_interval
from analysis.load import Study
from analysis.metrics import REDUNDANCY_METRICS, sign
from analysis.schema import BASELINE_COLUMNS, LOSS_TERMS
from analysis.stats import compare

LARGE = 2_000
"""Trials above which the bootstrap draws 1,999 resamples instead of 9,999: its error stays below the seeds'."""


@dataclass(frozen=True)
class Evidence:
    """The shared numbers of one study.

    infomax: the trials of the InfoMax objective (all, where no baseline was run). averaged: those, each metric averaged
    over the widths, one row a seed. others: settings that vary besides activation and width. pooled, by_width: pairs of
    activations on averaged values, and within each width. change: trained against untrained. baselines: InfoMax against
    each baseline. settings: factor -> pairs of its levels, on averaged values. seed, n_resamples: of every bootstrap.
    """

    study: Study
    infomax: pd.DataFrame
    averaged: pd.DataFrame
    metrics: list[str]
    others: list[str]
    counts: pd.DataFrame
    summary: pd.DataFrame
    pooled: pd.DataFrame
    by_width: pd.DataFrame
    stages: pd.DataFrame
    change: pd.DataFrame
    baseline_rows: pd.DataFrame
    baselines: pd.DataFrame
    seed: int
    n_resamples: int
    settings: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def results(self) -> pd.DataFrame:
        """The whole results table, baselines included."""
        return self.study.results

    @property
    def pairs(self) -> pd.DataFrame:
        """All comparisons under one heading, each with its scope."""
        parts = [
            self.pooled.assign(scope="activations, mean over widths"),
            self.by_width.assign(scope="activations, within a width"),
            self.change.assign(scope="trained against untrained"),
            self.baselines.assign(scope="against the baselines"),
            *(pairs.assign(scope=f"levels of {factor}, mean over widths") for factor, pairs in self.settings.items()),
        ]
        parts = [part for part in parts if "p" in part]
        return (
            pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["scope", "metric", "a", "b", "p"])
        )

    def of_infomax(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table without the rows of the baselines."""
        if "objective" not in table or "objective" in self.others:
            return table
        return table[table["objective"].isin(self.infomax["objective"])]


def gather(study: Study, *, seed: int) -> Evidence:
    """All statistics of a study. seed: of the bootstrap, the only draw there is."""
    results = study.results
    infomax = reshape.infomax_rows(results)
    averaged = reshape.mean_over_width(infomax)
    metrics = reshape.recorded_metrics(results)
    finished = reshape.done(infomax)
    others = reshape.varying(infomax, but=("activation", "hidden_dim"))
    stages = reshape.with_untrained(infomax, study.history)
    baseline_rows, baselines = _baselines(results, metrics)
    return Evidence(
        study=study,
        infomax=infomax,
        averaged=averaged,
        metrics=metrics,
        others=others,
        counts=reshape.counts(results),
        summary=reshape.summary(results),
        pooled=_each(metrics, averaged, "activation", others),
        # With one width the pooled comparison is this one already; twice would look like more evidence.
        by_width=(
            _each(metrics, finished, "activation", [*others, "hidden_dim"])
            if infomax["hidden_dim"].nunique() > 1
            else pd.DataFrame()
        ),
        stages=stages,
        change=_change(stages, [*others, "activation", "hidden_dim"]),
        baseline_rows=baseline_rows,
        baselines=baselines,
        seed=seed,
        n_resamples=RESAMPLES if len(results) <= LARGE else 1_999,
        settings={factor: _levels(factor, metrics, averaged, others) for factor in others},
    )


def level_means(rows: pd.DataFrame, metric: str, factor: str = "activation") -> pd.DataFrame:
    """Mean of each level over seeds with its t interval: columns factor, n, mean, ci_low, ci_high."""
    groups = rows.groupby(factor, sort=False, dropna=False)[metric]
    n, mean = groups.count(), groups.mean()
    low, high = t_interval(mean, groups.std(), n)
    return pd.DataFrame({"n": n, "mean": mean, "ci_low": low, "ci_high": high}).reset_index()


def _change(stages: pd.DataFrame, cell: Sequence[str]) -> pd.DataFrame:
    """Trained against untrained, within each cell."""
    if stages.empty:
        return pd.DataFrame()
    return _each([metric for metric in REDUNDANCY_METRICS if metric in stages], stages, "stage", cell)


def _levels(factor: str, metrics: Sequence[str], averaged: pd.DataFrame, others: Sequence[str]) -> pd.DataFrame:
    """The levels of a setting against each other, all other settings equal."""
    # A loss with another lambda is another quantity.
    what = [metric for metric in metrics if metric != "loss" or not factor.startswith("lambda")]
    rest = [other for other in others if other != factor]
    return _each(what, averaged, factor, [*rest, "activation"])


def _baselines(results: pd.DataFrame, metrics: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    if "objective" not in results or results["objective"].nunique() < 2 or "infomax" not in set(results["objective"]):
        return results.iloc[:0], pd.DataFrame()
    rows = reshape.with_setting(results, BASELINE_COLUMNS, "setting")
    infomax = rows.loc[rows["objective"] == "infomax", "setting"].drop_duplicates().tolist()
    rest = reshape.varying(results, but=BASELINE_COLUMNS)
    finished = reshape.done(rows)
    what = [metric for metric in metrics if sign(metric) and metric not in LOSS_TERMS]
    return rows, stack([_each(what, finished, "setting", rest, against=level) for level in infomax])


def _each(
    metrics: Sequence[str], rows: pd.DataFrame, factor: str, within: Sequence[str], against: object = None
) -> pd.DataFrame:
    parts = []
    for metric in metrics:
        part = compare(rows, metric, factor, within, against=against)
        if len(part):
            parts.append(reshape.order(part, [column for column in within if column in part]))
    return stack(parts)


def stack(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other; those that hold nothing change no type of the others'."""
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
