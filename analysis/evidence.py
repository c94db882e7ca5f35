"""What a study's sentences, figures and tables share, computed once: seed means, comparisons, the summary.

`tables` computes statistics that only their own table shows. Imports statistics, not their presentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analysis import reshape
from analysis.dynamics import only_settled, still_moving
from analysis.intervals import t_interval
from analysis.load import Study
from analysis.metrics import METRICS, REDUNDANCY_METRICS, bounds, from_scale, sign, to_scale
from analysis.schema import BASELINE_COLUMNS, LOSS_TERMS, NEVER_COMPARED, OTHER_OUTPUTS
from analysis.stats import compare, complete_blocks, seed_blocks


@dataclass(frozen=True)
class Evidence:
    """The shared numbers of one study.

    results: the whole results table, including baselines; convergence_epoch only in converged cells. infomax: the trials of
    the InfoMax objective (all trials if no baseline was run). sized: whether there are several widths; if so, averaged
    values are per size (`reshape.per_size`). averaged: the infomax trials, each metric averaged over the widths, one row
    per seed. others: settings that vary besides activation and width. pooled, by_width: pairs of activations on averaged
    values, and within each width, on complete blocks, except for metrics by which activations are not ranked.
    moving: what still moved when training ended. change: trained
    against untrained. baselines: InfoMax against each baseline. baseline_rows: the trials of both, those of a baseline at
    every level of a setting that it ignores. settings, settings_by_width: factor -> pairs of its levels, on averaged
    values, and within each width if there are several; not of the data set.
    """

    study: Study
    results: pd.DataFrame
    infomax: pd.DataFrame
    sized: bool
    averaged: pd.DataFrame
    metrics: list[str]
    others: list[str]
    counts: pd.DataFrame
    summary: pd.DataFrame
    pooled: pd.DataFrame
    by_width: pd.DataFrame
    moving: pd.DataFrame
    stages: pd.DataFrame
    change: pd.DataFrame
    baseline_rows: pd.DataFrame
    baselines: pd.DataFrame
    settings: dict[str, pd.DataFrame] = field(default_factory=dict)
    settings_by_width: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def pairs(self) -> pd.DataFrame:
        """All comparisons in one table, each with its scope."""
        parts = [
            self.pooled.assign(scope="activations, mean over widths"),
            self.by_width.assign(scope="activations, within a width"),
            self.change.assign(scope="trained against untrained"),
            self.baselines.assign(scope="against the baselines"),
            *(pairs.assign(scope=f"levels of {factor}, mean over widths") for factor, pairs in self.settings.items()),
            *(
                pairs.assign(scope=f"levels of {factor}, within a width")
                for factor, pairs in self.settings_by_width.items()
            ),
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


def gather(study: Study) -> Evidence:
    """All shared statistics of a study."""
    moving = still_moving(study.results, study.history)
    results = only_settled(study.results, moving)
    infomax = reshape.infomax_rows(results)
    sized = infomax["hidden_dim"].nunique() > 1
    averaged = reshape.mean_over_width(reshape.per_size(infomax) if sized else infomax)
    metrics = reshape.recorded_metrics(results)
    finished = reshape.done(infomax)
    others = reshape.varying(infomax, but=("activation", "hidden_dim"))
    compared = [factor for factor in others if factor != NEVER_COMPARED]
    stages = reshape.with_untrained(infomax, study.history)
    baseline_rows, baselines = _baselines(results, metrics)
    between = [metric for metric in metrics if METRICS[metric].ranked]
    return Evidence(
        study=study,
        results=results,
        infomax=infomax,
        sized=sized,
        averaged=averaged,
        metrics=metrics,
        others=others,
        counts=reshape.counts(results),
        summary=reshape.summary(results),
        pooled=_each(between, averaged, "activation", others, complete=True),
        # With one width, the pooled comparison is already this one; showing it twice would look like more evidence.
        by_width=(
            _each(between, finished, "activation", [*others, "hidden_dim"], complete=True) if sized else pd.DataFrame()
        ),
        moving=moving,
        stages=stages,
        change=_change(stages, [*others, "activation", "hidden_dim"]),
        baseline_rows=baseline_rows,
        baselines=baselines,
        settings={factor: _levels(factor, metrics, averaged, others) for factor in compared},
        settings_by_width=(
            {factor: _levels(factor, metrics, finished, [*others, "hidden_dim"]) for factor in compared}
            if sized
            else {}
        ),
    )


def level_means(rows: pd.DataFrame, metric: str, factor: str = "activation", units: int = 1) -> pd.DataFrame:
    """Mean of each level over the seeds that have every level, with its t interval.

    rows: one row per seed and level. units: of the layer, 1 for values per size. Columns: factor, n (seeds), mean (geometric
    for a ratio), ci_low, ci_high, ranked. A level with fewer than half as many seeds as the most complete one is not ranked,
    and its mean is over its own seeds (see `stats.complete_blocks`).
    """
    blocks = to_scale(metric, seed_blocks(rows, metric, factor, []))
    full = complete_blocks(blocks)
    values = blocks.copy()
    values.loc[~values.index.isin(full.index), full.columns] = np.nan
    n, mean = values.count(), values.mean()
    low, high = (from_scale(metric, end) for end in t_interval(mean, values.std(), n))
    bottom, top = bounds(metric, units)
    table = pd.DataFrame(
        {
            "n": n,
            "mean": from_scale(metric, mean),
            "ci_low": np.maximum(low, bottom),
            "ci_high": np.minimum(high, top),
            "ranked": values.columns.isin(full.columns),
        }
    )
    return table.rename_axis(factor).reset_index()


def _change(stages: pd.DataFrame, cell: Sequence[str]) -> pd.DataFrame:
    """Trained against untrained, within each cell."""
    if stages.empty:
        return pd.DataFrame()
    return _each([metric for metric in REDUNDANCY_METRICS if metric in stages], stages, "stage", cell)


def _levels(factor: str, metrics: Sequence[str], averaged: pd.DataFrame, others: Sequence[str]) -> pd.DataFrame:
    """The levels of a setting against each other, with all other settings equal."""
    # A loss with another lambda is another quantity, as are all its terms for other outputs; wr repeats weight redundancy.
    what = [metric for metric in metrics if metric != "loss" or not factor.startswith("lambda")]
    what = [metric for metric in what if metric not in LOSS_TERMS or factor not in OTHER_OUTPUTS]
    what = [metric for metric in what if metric != "wr" or "weight_redundancy" not in metrics]
    rest = [other for other in others if other != factor]
    return _each(what, averaged, factor, [*rest, "activation"], complete=True)


def _baselines(results: pd.DataFrame, metrics: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    if "objective" not in results or results["objective"].nunique() < 2 or "infomax" not in set(results["objective"]):
        return results.iloc[:0], pd.DataFrame()
    rows = reshape.with_setting(reshape.at_each_level(results), BASELINE_COLUMNS, "setting")
    is_infomax = rows["objective"] == "infomax"
    rest = reshape.varying(results, but=BASELINE_COLUMNS)
    what = [metric for metric in metrics if sign(metric) and metric not in LOSS_TERMS]
    # Each InfoMax setting against the baselines, in one family; other InfoMax settings are not baselines.
    levels = rows.loc[is_infomax, "setting"].drop_duplicates().tolist()
    return rows, _each(what, reshape.done(rows), "setting", rest, against=levels)


def _each(
    metrics: Sequence[str],
    rows: pd.DataFrame,
    factor: str,
    within: Sequence[str],
    *,
    against: object = None,
    complete: bool = False,
) -> pd.DataFrame:
    parts = []
    for metric in metrics:
        part = compare(rows, metric, factor, within, against=against, complete=complete)
        if len(part):
            parts.append(reshape.order(part, [column for column in within if column in part]))
    return stack(parts)


def stack(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenates tables by rows. Empty ones are skipped, because they would change the others' types."""
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
