"""The tables of a study: the csv file of each, and where and how the page shows it.

A new statistic is one entry here, in addition to its function. Imports statistics and words; `run` writes the files,
`sections` lays out the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis import reshape
from analysis.consistency import seed_consistency
from analysis.dynamics import last_epochs
from analysis.equivalence import MARGIN, equivalence
from analysis.evidence import Evidence
from analysis.intervals import cell_statistics
from analysis.report import SectionId, section_of_setting
from analysis.schema import DONE
from analysis.wording import capital

Terms = tuple[tuple[str, str], ...]

PAIR_COLUMNS = (
    *("a", "b", "n", "left_out", "difference", "sim_low", "sim_high", "percent", "percent_low", "percent_high"),
    *("cohens_d", "superiority", "p", "p_max_t"),
)


@dataclass(frozen=True)
class StudyTable:
    """One table of a study.

    csv: the file with every row. rows: what is written there; None if another table or the sweep writes it. A table
    without columns makes no file.
    section, id, caption: its place on the page; without a section it is a file only. shown: its rows on the page, if they
    differ from those of the file; a table without rows is omitted. columns: those on the page, in order; None: all.
    headings: for columns whose name does not say enough. terms: terms it adds to "How to read this", with explanations.
    """

    csv: str
    rows: pd.DataFrame | None = None
    section: SectionId | None = None
    id: str = ""
    caption: str = ""
    shown: pd.DataFrame | None = None
    columns: Sequence[str] | None = None
    headings: Mapping[str, str] = field(default_factory=dict)
    terms: Terms = ()

    @property
    def on_page(self) -> pd.DataFrame:
        """The rows that the page shows."""
        found = self.rows if self.shown is None else self.shown
        return pd.DataFrame() if found is None else found


def study_tables(e: Evidence) -> Iterator[StudyTable]:
    """Every table of a study, in page order; tables without data are empty."""
    yield StudyTable("counts.csv", e.counts)
    yield StudyTable("comparisons.csv", _scope_first(e.pairs))
    yield _change(e)
    yield StudyTable(
        "comparisons.csv",
        section="redundancy",
        id="baselines",
        caption="InfoMax (a) against each baseline (b)",
        shown=e.baselines,
        columns=_pair_columns(e, "activation", "hidden_dim"),
    )
    yield _summary(e)
    yield _cells(e)
    yield StudyTable(
        "comparisons.csv",
        section="activation",
        id="pairs",
        caption="Pairs of activations, mean over widths",
        shown=e.pooled,
        columns=_pair_columns(e),
    )
    yield StudyTable(
        "comparisons.csv",
        section="activation",
        id="pairs-by-width",
        caption="Pairs of activations within each width",
        shown=e.by_width,
        columns=_pair_columns(e, "hidden_dim"),
    )
    yield _equivalence(e)
    yield _moving(e)
    yield _consistency(e)
    for factor, pairs in e.settings.items():
        yield StudyTable(
            "comparisons.csv",
            section=section_of_setting(factor),
            id=f"pairs-{factor}",
            caption=f"Pairs of levels of {factor}",
            shown=pairs,
            columns=_pair_columns(e, "activation"),
        )
    yield StudyTable(
        "results.csv",
        section="lost",
        id="lost-table",
        caption="Trials that did not finish",
        shown=e.results[e.results["status"] != DONE],
        columns=["trial_id", "status", "diverged_epoch"],
    )


def _change(e: Evidence) -> StudyTable:
    what = "trained - untrained"
    return StudyTable(
        "comparisons.csv",
        section="redundancy",
        id="change",
        caption="Trained against untrained, by activation and width",
        # a is always "trained": the heading says it instead.
        shown=e.change.rename(columns={"difference": what}).drop(columns=["a", "b"], errors="ignore"),
        columns=[what if column == "difference" else column for column in _pair_columns(e, "activation", "hidden_dim")],
    )


def _summary(e: Evidence) -> StudyTable:
    summary = e.of_infomax(e.summary)
    numbers = ("planned", "n", "left_out", "mean", "sd", "n_seeds", "ci_low", "ci_high")
    return StudyTable(
        "summary.csv",
        e.summary,
        section="activation",
        id="summary",
        caption="Every metric by activation, mean over widths",
        shown=summary[summary["group"] == "activation"],
        columns=["activation", *e.others, "metric", *numbers],
    )


def _cells(e: Evidence) -> StudyTable:
    by = reshape.cell_columns(e.results)
    cells = cell_statistics(reshape.done(e.results), e.metrics, by=by)
    cells = reshape.order(cells, by)
    shown = e.of_infomax(cells).rename(columns={"t_low": "ci_low", "t_high": "ci_high"})
    numbers = ("n", "mean", "ci_low", "ci_high", "sd", "median")
    return StudyTable(
        "cells.csv",
        cells,
        section="activation",
        id="cells",
        caption="Every metric by activation and width",
        shown=shown,
        columns=["activation", *e.others, "hidden_dim", "metric", *numbers],
    )


def _equivalence(e: Evidence) -> StudyTable:
    table = equivalence(e.by_width if len(e.by_width) else e.pooled)
    margin = f"{MARGIN:g}%"
    return StudyTable(
        "equivalence.csv",
        table,
        section="activation",
        id="equivalence",
        caption="Pairs of activations, from most to least similar",
        shown=table.sort_values("within", kind="stable"),
        columns=[
            *e.others,
            "hidden_dim",
            "metric",
            "a",
            "b",
            "n",
            "percent",
            "percent_low",
            "percent_high",
            "within",
            "same",
        ],
        headings={
            "percent": "a - b in %",
            "percent_low": "simult. 95% from",
            "percent_high": "simult. 95% to",
            "within": "within %",
            "same": f"same within {margin}",
        },
        terms=(
            (
                f"the same within {margin}",
                f"The whole simultaneous interval of the difference lies within {margin} of b's mean. \u201cNot significantly "
                "different\u201d says less: there may be too few seeds to show a difference.",
            ),
        ),
    )


def _moving(e: Evidence) -> StudyTable:
    return StudyTable(
        "still_moving.csv",
        e.moving,
        section="activation",
        id="moving",
        caption=f"Changes {last_epochs(e.results)}",
        terms=(
            (
                "still moving",
                f"{capital(last_epochs(e.results))}, the mean over seeds moved by more than the standard deviation over seeds. A "
                "cell has converged if the loss and every redundancy metric are known there, and none is still moving.",
            ),
        ),
    )


def _consistency(e: Evidence) -> StudyTable:
    table = seed_consistency(e.infomax, e.study.load_weights)
    return StudyTable(
        "seed_consistency.csv",
        table,
        section="activation",
        id="consistency",
        caption="Whether each seed learns the same units",
        headings={"random": "random weights"},
        terms=(
            (
                "consistency",
                "Mean |cos| of the weights of two seeds' units, matched one to one so that it is largest, over all pairs of seeds; "
                "1 means that every seed learns the same units. Its 95% interval resamples seeds. Random weights of the same "
                "shape have the value in the last column.",
            ),
        ),
    )


def _pair_columns(e: Evidence, *keys: str) -> list[str]:
    """The columns of a comparison table: the other settings, these keys, and the numbers of each pair."""
    return [*e.others, *keys, "metric", *PAIR_COLUMNS]


def _scope_first(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs[["scope", *(column for column in pairs.columns if column != "scope")]]
