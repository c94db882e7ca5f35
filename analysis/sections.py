"""The report's sections: the study's three questions, each answered by sentences, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis import findings
from analysis.evidence import Evidence, level_means
from analysis.power import ALPHA, detectable_effect, format_p, power_of, smallest_p
from analysis.report import Picture, Section, overview, table
from analysis.schema import METRICS, label
from analysis.tables import show

REDUNDANCY = ("effective_rank", "weight_redundancy", "output_correlation", "gaussian_total_correlation", "dead_units")
PAIR_COLUMNS = ("a", "b", "n", "left_out", "difference", "ci_low", "ci_high", "cohens_d", "superiority", "p", "p_holm")
MAX_OVERVIEW = 60
MAX_ROWS = 600
"""Longer tables are cut in the page, and say so; the csv files hold every row."""


def sections(evidence: Evidence, pictures: Mapping[str, Picture]) -> list[Section]:
    """The questions that this study can speak to, in order."""
    found = [_redundancy(evidence, pictures), _activation(evidence, pictures)]
    lambdas = [factor for factor in evidence.settings if factor.startswith("lambda")]
    if lambdas:
        found.append(_setting(evidence, pictures, lambdas, ("lambda", "Lambda", "How does lambda matter?")))
    rest = [factor for factor in evidence.settings if factor not in lambdas]
    if rest:
        title = f"How {'does' if len(rest) == 1 else 'do'} {findings.words(rest)} matter?"
        found.append(_setting(evidence, pictures, rest, ("settings", "Other settings", title)))
    lost = evidence.results[evidence.results["status"] != "done"]
    if len(lost):
        section = Section("lost", "Unfinished trials", "Trials that did not finish")
        section.lead.append(
            "These are planned trials without a result. They are in no statistic above; seeds they leave incomplete are "
            "counted under \u201cleft out\u201d."
        )
        _add(
            section,
            "lost-table",
            "Trials that did not finish",
            "results.csv",
            lost,
            columns=["trial_id", "status", "diverged_epoch"],
        )
        found.append(section)
    return found


def headlines(evidence: Evidence) -> list[str]:
    """The study in a few sentences: what training did, which activation leads, what lambda does."""
    first = [metric for metric in REDUNDANCY[:3] if metric in evidence.metrics]
    sentences = [text for metric in first if (text := _change_sentence(evidence, metric))]
    sentences += [text for metric in REDUNDANCY if (text := _leader_sentence(evidence, metric))]
    for factor in evidence.settings:
        sentences += [text for metric in first[:1] if (text := _setting_sentence(evidence, factor, metric))]
    if evidence.metrics and not any(factor.startswith("lambda") for factor in evidence.settings):
        held = [
            f"{c} = {show(evidence.infomax[c].iloc[0])}" for c in ("lambda_tc", "lambda_wr") if c in evidence.infomax
        ]
        if held:
            sentences.append(f"How lambda matters cannot be said from this study: it holds {findings.words(held)}.")
    return sentences


def warnings(evidence: Evidence) -> list[str]:
    """What a reader must know before any number: lost trials, too few seeds."""
    texts = []
    status = evidence.results["status"].value_counts()
    planned, finished = len(evidence.results), int(status.get("done", 0))
    if finished == 0:
        texts.append("No trial has finished, so there is nothing to compare yet. Run the sweep again to go on with it.")
    elif finished < planned:
        lost = [f"{status[s]} {s}" for s in ("diverged", "failed", "missing") if status.get(s)]
        texts.append(
            f"{planned - finished} of {planned} planned trials have no result ({findings.words(lost)}). They are left out "
            "of every statistic; where they lack for a reason, such as divergence, the rest flatter their settings."
        )
    seeds = evidence.results["seed"].nunique()
    if finished and seeds < 2:
        texts.append("This study has one seed: its numbers are shown without intervals or tests, which need several.")
    return texts


def _redundancy(e: Evidence, pictures: Mapping[str, Picture]) -> Section:
    section = Section("redundancy", "Redundancy", "Does InfoMax give non-redundant features?")
    section.findings = [text for metric in REDUNDANCY if (text := _change_sentence(e, metric))]
    if len(e.change):
        section.lead.append(
            "Each trained network is compared with itself before training (epoch 0: the same random weights), seed by seed."
        )
        _say_power(section, e.change, "trained against untrained")
        named = e.change.rename(columns={"difference": "trained - untrained"}).drop(columns=["a", "b"])
        columns = ["trained - untrained" if column == "difference" else column for column in PAIR_COLUMNS]
        columns = [*e.others, "activation", "hidden_dim", "metric", *columns]
        _add(
            section,
            "change",
            "Trained against untrained, by activation and width",
            "comparisons.csv",
            named,
            columns=columns,
        )
    else:
        section.lead.append("The history holds no epoch 0, so trained networks cannot be compared with untrained ones.")
    if len(e.baselines):
        section.findings += _baseline_sentences(e)
        _say_power(section, e.baselines, "InfoMax against the baselines")
        columns = [*(c for c in (*e.others, "activation", "hidden_dim") if c in e.baselines), "metric", *PAIR_COLUMNS]
        _add(
            section,
            "baselines",
            "InfoMax (a) against each baseline (b)",
            "comparisons.csv",
            e.baselines,
            columns=columns,
        )
    else:
        section.lead.append("No baseline objective was run in this study.")
    section.pictures = _some(pictures, "trained_vs_untrained", "baselines", "weights", "weight_lines")
    return section


def _activation(e: Evidence, pictures: Mapping[str, Picture]) -> Section:
    section = Section("activation", "Activation", "How does the activation matter?")
    names = e.infomax["activation"].unique().tolist()
    if len(names) < 2:
        section.lead.append(f"This study has one activation, {names[0]}, so there is no other to compare it with.")
    else:
        widths = sorted(e.infomax["hidden_dim"].unique())
        if len(widths) > 1:
            section.lead.append(
                f"Leaders are named on the mean over the widths K = {findings.words([str(w) for w in widths])}, seed by "
                "seed; one family is one metric."
            )
        section.findings = [text for metric in e.metrics if (text := _leader_sentence(e, metric))]
        _say_power(section, e.pooled, "pairs of activations" + (", mean over widths" if len(widths) > 1 else ""))
        if len(e.by_width):
            _say_power(section, e.by_width, "pairs of activations within each width")
    section.pictures = _some(pictures, "effective_rank", "ranks", "ranks_output_correlation", "by_width", "heatmaps",
                             "redundancy_vs_dead", "trade_offs", "convergence", "loss_spread")  # fmt: skip
    section.folded_pictures = [picture for name, picture in pictures.items() if name.startswith("training_curves_")]
    _activation_tables(section, e)
    return section


def _activation_tables(section: Section, e: Evidence) -> None:
    others = [column for column in e.others if column in e.summary]
    summary, cells = _of_infomax(e, e.summary), _of_infomax(e, e.cells)
    pooled = summary[summary["group"] == "activation"]
    keys = ["activation", *others]
    shown = [metric for metric in e.metrics if METRICS[metric].sign]
    if shown and len(pooled[keys].drop_duplicates()) <= MAX_OVERVIEW:
        caption = "Each metric by activation: mean over widths and seeds, with its 95% interval"
        section.tables.append(overview("overview", caption, pooled, keys, shown))
    cells = cells.rename(columns={"t_low": "ci_low", "t_high": "ci_high"})
    numbers = ["planned", "n", "left_out", "mean", "sd", "n_seeds", "ci_low", "ci_high"]
    cell_numbers = ["n", "mean", "ci_low", "ci_high", "sd", "median", "iqm"]
    for name, caption, source, frame, columns in (
        ("summary", "Every metric by activation, mean over widths", "summary", pooled, [*keys, "metric", *numbers]),
        ("cells", "Every metric by activation and width", "cells", cells, [*keys, "hidden_dim", "metric", *cell_numbers]),
        ("pairs", "Pairs of activations, mean over widths", "comparisons", e.pooled, [*others, "metric", *PAIR_COLUMNS]),
        ("pairs-by-width", "Pairs of activations within each width", "comparisons", e.by_width,
         [*others, "hidden_dim", "metric", *PAIR_COLUMNS]),
        ("friedman", "Friedman's test over activations, mean over widths", "friedman", e.friedman, None),
        ("convergence-table", "Speed of convergence (epochs)", "convergence", e.convergence, None),
        ("spread", "Spread of the final loss over seeds", "loss_spread", e.spread, None),
        ("equal-spread", "Brown-Forsythe test of equal spread of the final loss", "equal_spread", e.equal_spread, None),
    ):  # fmt: skip
        _add(section, name, caption, f"{source}.csv", frame, columns=columns)


def _setting(e: Evidence, pictures: Mapping[str, Picture], factors: list[str], names: tuple[str, str, str]) -> Section:
    section = Section(*names)
    section.lead.append("Levels are compared on the mean over the widths, seed by seed, all other settings equal.")
    for factor in factors:
        section.findings += [text for metric in e.metrics if (text := _setting_sentence(e, factor, metric))]
        pairs = e.settings[factor]
        _say_power(section, pairs, f"levels of {factor}")
        section.pictures += _some(pictures, f"by_{factor}")
        columns = [*(c for c in (*e.others, "activation") if c in pairs), "metric", *PAIR_COLUMNS]
        _add(section, f"pairs-{factor}", f"Pairs of levels of {factor}", "comparisons.csv", pairs, columns=columns)
    return section


def _leader_sentence(e: Evidence, metric: str) -> str | None:
    """Which activation leads. Where other settings vary, in how many of them each one leads."""
    if metric not in e.metrics or e.infomax["activation"].nunique() < 2 or not METRICS[metric].sign:
        return None
    pairs = e.pooled[e.pooled["metric"] == metric] if len(e.pooled) else e.pooled
    if not e.others:
        means = level_means(e.averaged, metric)
        lacking = [str(name) for name in means.loc[means["n"] == 0, "activation"]]
        found = findings.leader(metric, means, pairs)
        if found is None:
            return None
        return found.text + (f" No complete value for {findings.words(lacking)}." if lacking else "")
    leads: dict[str, int] = {}
    strata = 0
    for _, rows in e.averaged.groupby(e.others, dropna=False):
        found = findings.leader(metric, level_means(rows, metric), pd.DataFrame())
        if found is not None:
            strata += 1
            for name in found.leaders:
                leads[name] = leads.get(name, 0) + 1
    if not leads:
        return None
    told = [f"{name} in {n}" for name, n in sorted(leads.items(), key=lambda item: -item[1])]
    text = f"{findings.capital(label(metric))} ({METRICS[metric].better} is better): of {strata} settings of "
    text += f"{findings.words(e.others)}, best is {findings.words(told)}"
    return text + (f"; {findings.significant_pairs(pairs)}." if len(pairs) else ".")


def _change_sentence(e: Evidence, metric: str) -> str | None:
    if not len(e.change):
        return None
    return findings.change(metric, e.change[e.change["metric"] == metric], "cells")


def _baseline_sentences(e: Evidence) -> list[str]:
    texts = []
    for (metric, baseline), pairs in e.baselines.groupby(["metric", "b"], sort=False):
        gain = pairs["difference"] * METRICS[str(metric)].sign
        if gain.notna().any():
            texts.append(
                f"{findings.capital(label(str(metric)))}: InfoMax is better than {baseline} in {int((gain > 0).sum())} of "
                f"{int(gain.notna().sum())} cells ({int(((gain > 0) & pairs['significant']).sum())} significantly better, "
                f"{int(((gain < 0) & pairs['significant']).sum())} significantly worse)."
            )
    return texts


def _setting_sentence(e: Evidence, factor: str, metric: str) -> str | None:
    pairs = e.settings[factor]
    pairs = pairs[pairs["metric"] == metric] if len(pairs) else pairs
    if not len(pairs) or not METRICS[metric].sign:
        return None
    means = e.averaged.groupby(["activation", factor], sort=False)[metric].mean().unstack(factor).dropna(how="all")
    if means.empty:
        return None
    # Activations whose levels are all equal have no best level.
    flat = means.index[np.ptp(means.to_numpy(), axis=1) == 0].tolist()
    means = means.drop(index=flat)
    best = means.idxmax(axis=1) if METRICS[metric].sign > 0 else means.idxmin(axis=1)
    told = [f"{show(level)} for {findings.words([str(n) for n in names.index])}" for level, names in best.groupby(best)]
    told += [f"the same at every level for {findings.words(flat)}"] if flat else []
    text = f"{findings.capital(label(metric))} ({METRICS[metric].better} is better): the best {factor} is {findings.words(told)}"
    return f"{text}; {findings.significant_pairs(pairs)}."


def _say_power(section: Section, pairs: pd.DataFrame, what: str) -> None:
    """What the largest family of these comparisons can show, as a note; as a caution where that is nothing."""
    if not len(pairs):
        return
    family, seeds = int(pairs["family_size"].max()), int(pairs["n"].max())
    if family == 0:
        section.cautions.append(f"{findings.capital(what)}: no pair has two seeds, so nothing can be tested.")
        return
    power = power_of(seeds, family)
    text = f"{findings.capital(what)}: {power.sentence}"
    if not power.reachable:
        text += f" Read a p above {ALPHA:g} here as \u201cnot enough seeds\u201d, not as \u201cno difference\u201d."
        section.cautions.append(text)
        return
    text += (
        f" It finds a difference of {detectable_effect(seeds, family):.2g} standard deviations (Cohen's d) in about 4 "
    )
    text += "studies of 5."
    fewest = int(pairs.loc[pairs["p"].notna(), "n"].min())
    if fewest < seeds:
        text += f" Pairs that lost seeds can show less: {fewest} seeds allow no p under {format_p(smallest_p(fewest))}."
    section.notes.append(text)


def _add(
    section: Section, name: str, caption: str, source: str, frame: pd.DataFrame, *, columns: Sequence[str] | None = None
) -> None:  # fmt: skip
    """A folded table, unless there is nothing in it. source: the csv file that holds every row."""
    if len(frame) > MAX_ROWS:
        caption = f"{caption} (the first {MAX_ROWS} of {len(frame):,} rows; all are in {source})"
    if len(frame):
        section.tables.append(table(name, caption, frame.head(MAX_ROWS), columns, folded=True))


def _of_infomax(e: Evidence, frame: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of the baselines, which this section does not speak of."""
    if "objective" not in frame or "objective" in e.others:
        return frame
    return frame[frame["objective"].isin(e.infomax["objective"])]


def _some(pictures: Mapping[str, Picture], *names: str) -> list[Picture]:
    return [pictures[name] for name in names if name in pictures]
