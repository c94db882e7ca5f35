"""Every number of the report, gathered once: from a study's tables to the tables of its statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis import tables
from analysis.dynamics import convergence_speed, equal_spread, loss_spread
from analysis.intervals import RESAMPLES, cell_statistics, t_interval
from analysis.schema import BASELINE_COLUMNS, EPOCH_ZERO_METRICS, METRICS
from analysis.stats import compare, friedman
from analysis.study import Study

LARGE = 2_000
"""Trials above which the bootstrap draws 1,999 resamples instead of 9,999: its error stays below the seeds'."""


@dataclass(frozen=True)
class Evidence:
    """The statistics of one study.

    infomax: the trials of the InfoMax objective (all, where no baseline was run). averaged: those, each metric averaged
    over the widths, one row a seed. others: settings that vary besides activation and width. pooled, by_width: pairs of
    activations on averaged values, and within each width. change: trained against untrained. baselines: InfoMax against
    each baseline. settings: factor -> pairs of its levels, on averaged values.
    """

    results: pd.DataFrame
    infomax: pd.DataFrame
    averaged: pd.DataFrame
    metrics: list[str]
    others: list[str]
    counts: pd.DataFrame
    summary: pd.DataFrame
    cells: pd.DataFrame
    pooled: pd.DataFrame
    by_width: pd.DataFrame
    friedman: pd.DataFrame
    stages: pd.DataFrame
    change: pd.DataFrame
    baseline_rows: pd.DataFrame
    baselines: pd.DataFrame
    convergence: pd.DataFrame
    spread: pd.DataFrame
    equal_spread: pd.DataFrame
    n_resamples: int
    settings: dict[str, pd.DataFrame] = field(default_factory=dict)

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


def gather(study: Study, *, seed: int) -> Evidence:
    """All statistics of a study. seed: of the bootstrap, the only draw there is."""
    results = study.results
    infomax = tables.infomax_rows(results)
    averaged = tables.mean_over_width(infomax)
    metrics = tables.recorded_metrics(results)
    finished = tables.done(infomax)
    others = tables.varying(infomax, but=("activation", "hidden_dim"))
    resamples = RESAMPLES if len(results) <= LARGE else 1_999
    stages = tables.with_untrained(infomax, study.history)
    start = [metric for metric in EPOCH_ZERO_METRICS if metric in stages]
    widths = infomax["hidden_dim"].nunique()
    cell = [*others, "activation", "hidden_dim"]
    baseline_rows, baselines = _baselines(results, metrics)
    return Evidence(
        results=results,
        infomax=infomax,
        averaged=averaged,
        metrics=metrics,
        others=others,
        counts=tables.counts(results),
        summary=tables.summary(results),
        cells=tables.order(
            cell_statistics(
                tables.done(results), metrics, seed=seed, by=tables.cell_columns(results), n_resamples=resamples
            ),
            tables.cell_columns(results),
        ),
        pooled=_each(metrics, averaged, "activation", others),
        # With one width the pooled comparison is this one already; twice would look like more evidence.
        by_width=_each(metrics if widths > 1 else [], finished, "activation", [*others, "hidden_dim"]),
        friedman=_stack([friedman(averaged, metric, "activation", others) for metric in metrics]),
        stages=stages,
        change=_each(start if len(stages) else [], stages, "stage", cell),
        baseline_rows=baseline_rows,
        baselines=baselines,
        convergence=convergence_speed(results) if "convergence_epoch" in metrics else pd.DataFrame(),
        spread=loss_spread(results, seed=seed, n_resamples=resamples) if "loss" in metrics else pd.DataFrame(),
        equal_spread=equal_spread(infomax) if "loss" in metrics else pd.DataFrame(),
        n_resamples=resamples,
        settings={
            factor: _each(
                # A loss with another lambda is another quantity.
                [metric for metric in metrics if metric != "loss" or not factor.startswith("lambda")],
                averaged,
                factor,
                [*(other for other in others if other != factor), "activation"],
            )
            for factor in others
        },
    )


def level_means(rows: pd.DataFrame, metric: str, factor: str = "activation") -> pd.DataFrame:
    """Mean of each level over seeds with its t interval: columns factor, n, mean, ci_low, ci_high."""
    groups = rows.groupby(factor, sort=False, dropna=False)[metric]
    n, mean = groups.count(), groups.mean()
    low, high = t_interval(mean, groups.std(), n)
    return pd.DataFrame({"n": n, "mean": mean, "ci_low": low, "ci_high": high}).reset_index()


def _baselines(results: pd.DataFrame, metrics: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    if "objective" not in results or results["objective"].nunique() < 2 or "infomax" not in set(results["objective"]):
        return results.iloc[:0], pd.DataFrame()
    rows = tables.with_setting(results, BASELINE_COLUMNS, "setting")
    infomax = rows.loc[rows["objective"] == "infomax", "setting"].drop_duplicates().tolist()
    rest = tables.varying(results, but=BASELINE_COLUMNS)
    finished = tables.done(rows)
    what = [metric for metric in metrics if METRICS[metric].sign and metric not in ("loss", "entropy", "tc", "wr")]
    pairs = [_each(what, finished, "setting", rest, against=level) for level in infomax]
    return rows, _stack(pairs)


def _each(
    metrics: Sequence[str], rows: pd.DataFrame, factor: str, within: Sequence[str], against: object = None
) -> pd.DataFrame:
    parts = []
    for metric in metrics:
        part = compare(rows, metric, factor, within, against=against)
        if len(part):
            parts.append(tables.order(part, [column for column in within if column in part]))
    return _stack(parts)


def _stack(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
