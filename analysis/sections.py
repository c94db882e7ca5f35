"""The layout of the page: its head, what was run, and a section for each of the study's questions.

Each section takes sentences from `claims` and the pictures and tables that name it. Imports no module of statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis import claims
from analysis.evidence import Evidence
from analysis.findings import Finding, findings, methods
from analysis.glossary import glossary
from analysis.metrics import METRICS, sign
from analysis.paper import Entry, PaperTable, heading
from analysis.report import Cell, Picture, Section, Table, flat, overview, section_of_setting, table
from analysis.reshape import cell_columns, gaps, order, varying
from analysis.schema import DONE, UNFINISHED, config_columns
from analysis.sign_flips import DRAWS, MAX_EXACT_SEEDS
from analysis.tables import StudyTable
from analysis.wording import capital, show, words

MAX_FIRST = 4
"""Tables of a paper at the top of the page; tables.md has the others."""

MAX_OVERVIEW = 60
MAX_ROWS = 600
"""Longer tables are cut on the page, and say so; the csv files have every row."""


def page(
    e: Evidence,
    pictures: Sequence[Picture],
    tables: Sequence[StudyTable],
    for_paper: Sequence[PaperTable] = (),
    *,
    command: str,
) -> dict[str, Any]:
    """Everything that the page's template needs. for_paper: of which the first stand at its top. command: the one that
    repeats the study."""
    study = e.study
    found = sections(e, pictures, tables)
    return {
        "title": str(study.space.get("name") or study.name),
        "description": str(study.space.get("description") or "").strip(),
        "planned": len(e.results),
        "done": int((e.results["status"] == DONE).sum()),
        "shortfall": ", ".join(claims.unfinished(e.results)),
        "command": command,
        "warnings": claims.warnings(e),
        "headlines": _linked(e, pictures, found),
        "first_tables": [_first(f"first-{i}", one) for i, one in enumerate(for_paper[:MAX_FIRST])],
        "first_how": capital(for_paper[0].how) if for_paper else "",
        "methods": methods(e),
        "run_tables": _run_tables(e),
        "notes": [
            *study.notes,
            *gaps(study.results),
            f"Sign patterns: all of them up to {MAX_EXACT_SEEDS} seeds; above that, {DRAWS:,} draws with a fixed seed. The "
            "differences that a number of seeds can detect are simulated, with a fixed seed. No other number here is drawn at "
            "random.",
        ],
        "sections": found,
        "glossary": glossary(e.metrics, e.study.own_parts(), [term for of_study in tables for term in of_study.terms]),
    }


def _first(name: str, made: PaperTable) -> Table:
    """A table for a paper as one of the page, which has no room for the metrics that say nearly the same as a main one."""
    on_top = [
        place
        for place, metric in enumerate(made.metrics)
        if METRICS[metric].headline or METRICS[metric].integer or not METRICS[metric].redundancy
    ]
    headings = [("activation", False), *((heading(made.metrics[place]), True) for place in on_top)]
    rows = []
    for activation, entries in made.rows:
        rows.append([Cell(activation, activation), *(_of_entry(entries[place]) for place in on_top)])
    if any(made.chances):
        rows.append([Cell("chance", "chance"), *(Cell(made.chances[place], numeric=True) for place in on_top)])
    return Table(name, f"{made.title}.{made.floors}", headings, rows)


def _of_entry(one: Entry | None) -> Cell:
    if one is None:
        return Cell("n/a", numeric=True)
    return Cell(one.value, one.mean, numeric=True, letters=one.letters, best=one.best)


def _linked(e: Evidence, pictures: Sequence[Picture], found: Sequence[Section]) -> list[Finding]:
    """The findings, with links to the tables and figures that are on this page."""
    on_page = {one.id for section in found for one in section.tables} | {"settings", "first-0"}
    return [finding.linked(on_page, [one.name for one in pictures]) for finding in findings(e)]


def sections(e: Evidence, pictures: Sequence[Picture], tables: Sequence[StudyTable]) -> list[Section]:
    """The questions that this study can address, in order, each with its pictures and tables."""
    lambdas = [factor for factor in e.settings if section_of_setting(factor) == "lambda"]
    rest = [factor for factor in e.settings if factor not in lambdas]
    found = [_redundancy(e), _activation(e)]
    if lambdas:
        section = Section("lambda", "Lambda", "What is the effect of lambda?")
        found.append(_about_settings(section, e, lambdas))
    if rest:
        title = f"What {'is the effect' if len(rest) == 1 else 'are the effects'} of {words(rest)}?"
        found.append(_about_settings(Section("settings", "Other settings", title), e, rest))
    if (e.results["status"] != DONE).any():
        found.append(_lost())
    for section in found:
        for one in pictures:
            if one.section == section.id:
                (section.folded_pictures if one.folded else section.pictures).append(one)
        section.tables += [_shown(one) for one in tables if one.section == section.id and len(one.on_page)]
    return found


def _redundancy(e: Evidence) -> Section:
    section = Section("redundancy", "Redundancy", "Does InfoMax produce non-redundant features?")
    section.findings = _told(claims.change_sentence(e, metric) for metric in claims.IN_SHORT)
    if len(e.change):
        section.lead.append(
            "Each trained network is compared, seed by seed, with itself before training (epoch 0: the same random weights)."
        )
        _say_power(section, e.change, "trained against untrained", only_caution=True)
    else:
        section.lead.append(f"{_no_change(e)}, so trained networks cannot be compared with untrained ones.")
    if len(e.baselines):
        section.findings += claims.baseline_sentences(e)
        _say_power(section, e.baselines, "InfoMax against the baselines", only_caution=True)
    else:
        section.lead.append(_no_baselines(e))
    return section


def _no_change(e: Evidence) -> str:
    """Why trained networks cannot be compared with untrained ones."""
    history = e.study.history
    if not claims.trained_cells(e):
        return "No network was to be trained"
    if history is None or not len(history):
        return "There is no history of the training"
    if not (history["epoch"] == 0).any():
        return "The history has no epoch 0"
    return "No finished trial has values both before and after training"


def _no_baselines(e: Evidence) -> str:
    """Why InfoMax cannot be compared with baselines."""
    objectives = e.results["objective"].unique().tolist() if "objective" in e.results else ["infomax"]
    baselines = [name for name in objectives if name != "infomax"]
    if not baselines:
        return "No baseline objective was run in this study."
    if len(baselines) == len(objectives):
        return "This study has no trial of InfoMax to compare its baselines with."
    finished = set(e.results.loc[e.results["status"] == DONE, "objective"])
    lost = [name for name in objectives if name not in finished]
    if lost:
        return f"InfoMax cannot be compared with the baselines: no trial of {words(lost)} finished."
    return "InfoMax cannot be compared with the baselines: they have no seed in common."


def _activation(e: Evidence) -> Section:
    section = Section("activation", "Activation", "What is the effect of the activation?")
    names = e.infomax["activation"].unique().tolist()
    widths = sorted(e.infomax["hidden_dim"].unique())
    if len(names) < 2:
        section.lead.append(f"This study has one activation, {names[0]}, so there is nothing to compare it with.")
    elif len(widths) < 2:
        section.findings = claims.leader_sentences(e) + claims.equivalent_sentences(e)
        _say_power(section, e.pooled, "pairs of activations")
    else:
        section.lead.append(
            f"Leaders are named at each width, K = {words([str(width) for width in widths])}. Before averaging over widths, "
            "metrics that grow with the width are divided by K or K (K - 1); otherwise the widest network would dominate."
            if not e.others
            else f"Leaders are named on the mean over the widths K = {words([str(width) for width in widths])}. Before "
            "averaging, metrics that grow with the width are divided by K or K (K - 1)."
        )
        section.findings = claims.leader_sentences(e) + claims.equivalent_sentences(e)
        if e.others:
            _say_power(section, e.pooled, "pairs of activations, mean over widths")
        else:
            _say_power(section, e.by_width, "pairs of activations within each width")
    moving = claims.moving_sentence(e)
    if moving:
        section.notes.append(moving)
    group = "activation, per size" if e.sized else "activation"
    pooled = e.of_infomax(e.summary[e.summary["group"] == group])
    keys = ["activation", *e.others]
    metrics = [metric for metric in e.metrics if sign(metric) and METRICS[metric].ranked]
    if metrics and len(pooled[keys].drop_duplicates()) <= MAX_OVERVIEW:
        caption = "Each metric by activation: mean over seeds, with its 95% interval"
        if e.sized:
            caption = (
                "Each metric by activation: mean over widths and seeds, per unit or per pair, with its 95% interval"
            )
        section.tables.append(overview("overview", caption, pooled, keys, metrics, per_size=e.sized))
    return section


def _about_settings(section: Section, e: Evidence, factors: Sequence[str]) -> Section:
    section.lead.append("Levels are compared seed by seed on the mean over widths, with all other settings equal.")
    for factor in factors:
        section.findings += _told(claims.setting_sentence(e, factor, metric) for metric in e.metrics)
        _say_power(section, e.settings[factor], f"levels of {factor}", only_caution=True)
    return section


def _lost() -> Section:
    section = Section("lost", "Unfinished trials", "Trials that did not finish")
    section.lead.append(
        "These planned trials have no result. No statistic above includes them; the seeds they leave incomplete are counted "
        "under \u201cleft out\u201d."
    )
    return section


def _told(sentences: Any) -> list[str]:
    """The sentences that could be made."""
    return [sentence for sentence in sentences if sentence]


def _say_power(section: Section, pairs: pd.DataFrame, what: str, *, only_caution: bool = False) -> None:
    """What the largest family of these comparisons can show, as a note; as a caution if it can show nothing."""
    note = claims.power_note(pairs, what)
    if note is not None and (note.caution or not only_caution):
        (section.cautions if note.caution else section.notes).append(note.text)


def _shown(one: StudyTable) -> Table:
    """A table of the study, folded, and cut if it is long."""
    rows, caption = one.on_page, one.caption
    if len(rows) > MAX_ROWS:
        caption = f"{caption} (first {MAX_ROWS} of {len(rows):,} rows; all are in {one.csv})"
    return table(one.id, caption, rows.head(MAX_ROWS), one.columns, folded=True, headings=one.headings)


def _run_tables(e: Evidence) -> list[Table]:
    """What was run: its settings, its trials, its environment."""
    lost = [status for status in UNFINISHED if e.counts[status].any()]
    columns = [*cell_columns(e.results), "planned", DONE, *lost]
    made = [
        table("settings", "Settings, varied and fixed", _settings(e.results)),
        table("counts", "Trials by activation and width", e.counts, columns, folded=True),
    ]
    if e.study.environment:
        rows = pd.DataFrame(flat(e.study.environment), columns=["what", "value"])
        made.append(table("environment", "Environment", rows, folded=True))
    return made


def _settings(results: pd.DataFrame) -> pd.DataFrame:
    """Each setting with its values, those that vary first."""
    changed = varying(results)
    held = [column for column in config_columns(results) if column not in changed]
    rows = []
    for column in [*changed, "seed", *held]:
        values = order(results[[column]].drop_duplicates(), [column])[column].tolist()
        text = ", ".join(show(value) for value in values)
        if len(values) > 12:
            text = f"{len(values)} values, {show(values[0])} to {show(values[-1])}"
        rows.append((column, "varied" if column in changed or len(values) > 1 else "fixed", text))
    return pd.DataFrame(rows, columns=["setting", "role", "values"])
