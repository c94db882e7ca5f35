"""The analysis from folder to page: what it writes, what it says, and that it repeats exactly."""

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import synthetic

import analysis
from analysis import claims, report, sections, svg
from analysis.album import album
from analysis.claims import leader_sentences, warnings
from analysis.evidence import gather, level_means
from analysis.tables import study_tables


class Page(HTMLParser):
    """The page's elements, and that each one opened is closed."""

    VOID = frozenset(("meta", "br", "link", "img", "input"))

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.links, self.text = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.links += [attrs[name] for name in ("href", "src", "xlink:href") if name in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def sections(self):
        return [attrs["id"] for tag, attrs in self.tags if tag == "section"]


def page_of(study):
    """A study's page without its figures, whose drawing takes most of the time, and the evidence behind it."""
    if isinstance(study, pd.DataFrame):
        study = analysis.Study("made up", analysis.check_results(study), synthetic.make_history(study))
    evidence = gather(study)
    tables = list(study_tables(evidence))
    return Page(report.render(sections.page(evidence, [], tables, command="again"))), evidence


def figures_of(evidence):
    """The section of each figure that a study would get."""
    return {drawing.name: drawing.section for drawing in album(evidence)}


def test_the_files_of_the_original_study_are_written(analyzed):
    """summary.csv, the plots by name, one training-curve figure per activation, and the page."""
    names = {path.name for path in analyzed.files}
    promised = {"summary.csv", "effective_rank.png", "redundancy_vs_dead.png", "report.html"}
    promised |= {f"training_curves_{name}.png" for name in synthetic.ACTIVATIONS}
    assert promised <= names
    assert {"by_width.png", "forest.png", "weights.png", "comparisons.csv"} <= names
    assert len([name for name in names if name.endswith(".png")]) < 20
    assert all(path.is_file() for path in analyzed.files)
    assert analyzed.folder.name == "analysis"


def test_the_result_is_the_path_of_the_report(analyzed):
    """It can be opened directly, and says how complete the study is."""
    with open(analyzed) as page:  # noqa: PTH123  # the point of the test
        assert page.readline().strip() == "<!doctype html>"
    assert (analyzed.planned, analyzed.done) == (120, 116)


@pytest.fixture(scope="module")
def elsewhere(small_analyzed, tmp_path_factory):
    """A study analyzed again by another process, which checks what it has imported, and has others draw beside it."""
    folder, out = small_analyzed.folder.parent, tmp_path_factory.mktemp("elsewhere")
    code = f"""
import sys, analysis
assert not {{"matplotlib", "pandas", "scipy"}} & set(sys.modules), "slow import"
analysis.load_study({str(folder)!r})
assert "matplotlib" not in sys.modules
analysis.analyze({str(folder)!r}, {str(out)!r})
assert not {{"ray", "torch"}} & set(sys.modules), "heavy import"
"""
    # Another hash seed than this process has: the order of a set must not be seen in a file.
    environment = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry), "PYTHONHASHSEED": "12345"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    return ended, out


def test_the_same_tables_give_the_same_bytes_in_another_process(small_analyzed, elsewhere):
    """Every file, into another folder."""
    _, out = elsewhere
    assert {path.name for path in out.iterdir()} == {path.name for path in small_analyzed.files}
    for one in small_analyzed.files:
        assert one.read_bytes() == (out / one.name).read_bytes(), one.name


def test_the_page_is_whole_and_needs_nothing_else(analyzed):
    """Elements close, ids are unique, links stay on the page."""
    page = Page(analyzed.report.read_text())
    assert len(page.ids) == len(set(page.ids))
    assert page.links
    for link in page.links:
        assert link.startswith(("#", "data:image/png")), link
        if link.startswith("#"):
            assert link[1:] in page.ids
    assert not re.search(r"https?://(?!www\.w3\.org/)", analyzed.report.read_text())


def test_every_figure_has_words_and_a_heading(analyzed):
    """Alternative text that names numbers, not only a kind of chart."""
    page = Page(analyzed.report.read_text())
    labels = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img"]
    assert len(labels) == sum(path.suffix == ".png" for path in analyzed.files)
    assert all(len(text) > 40 for text in labels)
    assert any("Mean effective rank / K over widths and seeds: identity" in text for text in labels)


def test_lost_trials_are_said_first_and_listed(analyzed):
    """Four of 120, by status and by name."""
    text = " ".join(" ".join(Page(analyzed.report.read_text()).text).split())
    assert "4 of 120 planned trials have no result (2 diverged, 1 failed and 1 missing)" in text
    assert "Trials that did not finish" in text


def test_names_from_the_study_cannot_become_markup(small_analyzed):
    """A search space may be called anything."""
    text = small_analyzed.report.read_text()
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;b&gt;&amp;&#34;" in text


def test_findings_name_the_leader_with_the_numbers_of_the_tables(results):
    """softplus is best by construction; its mean, interval and lead are those of the statistics."""
    evidence = gather(analysis.Study("made up", results[results["hidden_dim"] == 16]))
    (sentence,) = (text for text in leader_sentences(evidence) if text.startswith("Output correlation"))
    means = level_means(evidence.averaged, "output_correlation", units=16).set_index("activation").loc["softplus"]
    pair = evidence.pooled.query("metric == 'output_correlation' and a == 'tanh' and b == 'softplus'").iloc[0]
    tanh = results.query("activation == 'tanh' and hidden_dim == 16")["output_correlation"].mean()
    assert f"softplus leads with {means['mean']:.2f}" in sentence
    assert f"95% interval {means['ci_low']:.2f} to {means['ci_high']:.2f}" in sentence
    assert f"{100 * pair['difference'] / tanh:.0f}% (" in sentence
    assert "below tanh (corrected p = 0.002); it differs significantly from every other activation" in sentence


def test_without_an_effect_nobody_leads():
    """Some activation is always best on average; the sentence says that its lead is not significant."""
    table = synthetic.make_results(effect=0, draw=5)
    evidence = gather(analysis.Study("made up", table[table["hidden_dim"] == 16]))
    (sentence,) = (text for text in leader_sentences(evidence) if text.startswith("Effective rank"))
    assert "its lead is not significant: it does not differ significantly from" in sentence
    assert "leads" not in sentence


def test_a_tie_and_equality_are_said():
    """Two with the same best mean, and a metric that is the same for all."""
    means = pd.DataFrame(
        {"activation": ["relu", "tanh", "softmax"], "n": 3, "mean": [0.0, 0.0, 2.0], "ci_low": 0.0, "ci_high": 0.0}
    ).assign(ranked=True)
    tied = claims.leader("dead_units", means, pd.DataFrame())
    assert "relu and tanh share the best value, 0" in tied.text
    equal = claims.leader("dead_units", means.assign(mean=1.0), pd.DataFrame())
    assert equal.text == "the same for all (1)"
    assert claims.leader("activation_mean", means, pd.DataFrame()) is None


def test_too_few_seeds_are_blamed_and_nobody_leads(results):
    """Five seeds cannot reach 0.05, however much they agree."""
    few = results[(results["seed"] <= 5) & (results["hidden_dim"] == 16)]
    evidence = gather(analysis.Study("made up", few))
    (sentence,) = (text for text in leader_sentences(evidence) if text.startswith("Output correlation"))
    assert "5 seeds cannot show a significant difference; at least 6 are needed" in sentence
    assert "leads" not in sentence


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (1.0, "after training: better in both cells"),
        (-1.0, "after training: worse in both cells"),
        (0.0, "after training: unchanged in both cells"),
    ],
)
def test_what_training_did_is_said_in_its_direction(change, told):
    """Effective rank up is better, down is worse."""
    stages = pd.DataFrame(
        [
            {
                "activation": a,
                "hidden_dim": 16,
                "seed": s,
                "stage": stage,
                "effective_rank": 5 + s + (stage == "trained") * change,
            }
            for a in ("relu", "tanh")
            for s in range(5)
            for stage in ("trained", "untrained")
        ]
    )
    pairs = analysis.compare(stages, "effective_rank", "stage", ["activation", "hidden_dim"])
    assert told in claims.change("effective_rank", pairs, "cells")


def test_lambda_has_a_section_only_where_it_varies():
    """The third question, with its figure and its sentence."""
    page, evidence = page_of(synthetic.make_results({"lambda_tc": [0.1, 1.0, 10.0]}, seeds=4, epochs=5))
    assert page.sections() == ["short", "run", "redundancy", "activation", "lambda", "methods", "reading"]
    assert figures_of(evidence)["by_lambda_tc"] == "lambda"
    text = " ".join(page.text)
    assert "4 seeds cannot show which level is best for relu" in text
    assert "This study has one activation, relu" in text


def test_baselines_are_compared_with_infomax_and_kept_out_of_the_activations():
    """Their lambdas and epochs differ by definition and make no section."""
    axes = {"activation": ["relu", "tanh"]}
    tables = [synthetic.make_results(axes, seeds=6, epochs=5)]
    tables += [synthetic.make_results(axes, seeds=6, objective="random", epochs=0, effect=0, draw=1)]
    tables += [synthetic.make_results(axes, seeds=6, objective="variance_only", lambda_tc=0.0, epochs=5, draw=2)]
    page, evidence = page_of(pd.concat(tables, ignore_index=True))
    assert page.sections() == ["short", "run", "redundancy", "activation", "methods", "reading"]
    text = " ".join(" ".join(page.text).split())
    assert "against random, InfoMax is better in" in text
    assert "against variance_only, InfoMax is better in" in text
    (comparisons,) = (t.rows for t in study_tables(evidence) if t.csv == "comparisons.csv" and t.rows is not None)
    scopes = comparisons["scope"].unique()
    assert "against the baselines" in scopes
    assert not any("levels of" in scope for scope in scopes)


@pytest.mark.parametrize(
    "axes", [{"optimizer": ["adam", "sgd"]}, {"batch_size": [-1, 128]}, {"head": ["none", "softmax"]}]
)
def test_any_other_setting_gets_its_own_section(axes):
    """Adam against SGD, full batch against minibatch, head against none."""
    page, evidence = page_of(synthetic.make_results(axes, seeds=3, epochs=5))
    assert "settings" in page.sections()
    assert figures_of(evidence)[f"by_{next(iter(axes))}"] == "settings"


def test_one_seed_gives_a_report_with_intervals_not_available():
    """Numbers, without any claim about others."""
    page, _ = page_of(synthetic.make_results({"activation": ["relu", "tanh", "softmax"]}, seeds=1, epochs=5))
    text = " ".join(page.text)
    assert "This study has one seed" in text
    assert "one seed cannot show a lead" in text
    assert not re.search(r"\bleads\b", text.split("Methods")[0])
    assert "n/a" in text


def test_results_alone_give_a_report(tmp_path):
    """No history, space, environment or weights: fewer figures, and the page says so."""
    folder = tmp_path / "out"
    folder.mkdir()
    synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=3).to_csv(folder / "results.csv", index=False)
    page, evidence = page_of(analysis.load_study(folder))
    text = " ".join(page.text)
    assert "history.parquet is missing" in text
    assert "cannot be compared with untrained ones" in text
    assert not any("training_curves" in name for name in figures_of(evidence))


def test_no_finished_trial_gives_a_report_that_says_so():
    """A sweep that was killed early still ends with a page."""
    page, evidence = page_of(synthetic.spoil(synthetic.make_results({}, seeds=3), missing=[0, 1, 2]))
    assert "No trial has finished" in " ".join(page.text)
    assert figures_of(evidence) == {}


def test_columns_of_nothing_and_columns_that_are_gone_make_a_smaller_report(tmp_path):
    """A NaN column, and three metric columns less."""
    table = synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=3, epochs=5)
    table = table.assign(effective_rank=np.nan).drop(columns=["dead_units", "loss", "diverged_epoch"])
    page, evidence = page_of(analysis.load_study(synthetic.write_study(tmp_path / "out", table, history=False)))
    text = " ".join(page.text)
    assert "The results table has no column dead_units" in text
    assert "Not recorded in this study: effective_rank" in text
    assert not {"effective_rank", "redundancy_vs_dead"} & set(figures_of(evidence))


def test_tables_written_before_a_column_existed_give_the_rest_of_the_report(tmp_path):
    """A metric and a setting that a later version added: the report omits what needs them and says so; the rest is the same."""
    table = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [16, 32]}, seeds=3, epochs=5)
    newer = ["gaussian_total_correlation", "optimizer"]
    history = synthetic.make_history(table).drop(columns=newer[:1])
    folder = synthetic.write_study(tmp_path / "out", table.drop(columns=newer), history=history)
    page, evidence = page_of(analysis.load_study(folder))
    text = " ".join(page.text)
    for name in newer:
        assert f"The results table has no column {name}; anything that needs it is omitted." in text
    assert "gaussian_total_correlation" not in evidence.metrics
    _, whole = page_of(table)
    pd.testing.assert_frame_equal(
        evidence.pooled, whole.pooled.query("metric != 'gaussian_total_correlation'").reset_index(drop=True)
    )
    assert figures_of(evidence) == figures_of(whole)


def test_a_history_written_before_a_metric_existed_compares_the_others_with_epoch_0():
    """The results have the metric, but the history of epoch 0 does not."""
    table = synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=3, epochs=5)
    history = synthetic.make_history(table).drop(columns=["dead_units", "tc"])
    _, evidence = page_of(analysis.Study("old", analysis.check_results(table), history))
    compared = set(evidence.change["metric"])
    assert "effective_rank" in compared
    assert "dead_units" not in compared
    assert "dead_units" in evidence.metrics
    assert "training_curves_relu" in figures_of(evidence)


def test_every_table_stands_on_the_page_and_every_statistic_is_in_a_file(analyzed, study_folder):
    """A table whose section does not exist would be lost silently."""
    tables = list(study_tables(gather(analysis.load_study(study_folder))))
    page = Page(analyzed.report.read_text())
    shown = {one.id for one in tables if one.section and len(one.on_page)}
    assert len(shown) == 8
    assert shown <= set(page.ids)
    written = {path.name for path in analyzed.files}
    assert {one.csv for one in tables} - {"results.csv"} <= written
    words = " ".join(page.text)
    assert all(term in words for one in tables for term, _ in one.terms)


def test_warnings_of_a_whole_study_are_none(results):
    """Nothing to know before the numbers."""
    assert warnings(gather(analysis.Study("whole", results))) == []


def test_svg_ids_are_the_figures_own_and_roles_become_the_pages():
    """Two figures on one page share no id; ink follows the theme; alt text is escaped."""
    given = '<?xml version="1.0"?>\n<svg width="10pt" viewBox="0 0 1 1">\n <g id="a" style="fill: #1a1d21"/>\n'
    given += ' <use xlink:href="#a" clip-path="url(#b)"/>\n <path d="M 1.23456 2"/>\n</svg>'
    made = svg.inline(given, "fig", 'says "x" & y')
    assert 'id="fig-a"' in made
    assert 'href="#fig-a"' in made
    assert "url(#fig-b)" in made
    assert 'fill="currentColor"' in made
    assert "M 1.23 2" in made
    assert 'aria-label="says &quot;x&quot; &amp; y"' in made
    assert "width=" not in made


def test_the_public_names_are_complete():
    """Each name in __all__ loads, each public function of the package has its docstring."""
    for name in analysis.__all__:
        assert getattr(analysis, name).__doc__, name
    assert set(analysis.__all__) <= set(dir(analysis))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = analysis.nothing


def test_importing_costs_nothing_and_analysing_needs_neither_ray_nor_torch(elsewhere):
    """matplotlib waits for a plot, pandas for a table."""
    ended, _ = elsewhere
    assert ended.returncode == 0, ended.stderr


def test_a_name_that_is_more_than_a_name_is_refused(tmp_path):
    """An activation's name became part of the page and of a file name: with this one, the page ran its script."""
    for number, name in enumerate(('relu"><script>alert(1)</script>', "../../relu", 'x" onload="alert(1)', "re lu")):
        table = synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=2, epochs=2)
        table["activation"] = table["activation"].replace("tanh", name)
        folder = synthetic.write_study(tmp_path / str(number), table)
        with pytest.raises(
            analysis.AnalysisError, match=r"line \d+: activation is .*; a name may contain only letters, digits"
        ):
            analysis.analyze(folder)


def test_the_page_runs_its_own_script_and_no_other(analyzed):
    """By its hash in the page's policy; nothing is allowed merely because it is in the page."""
    text = analyzed.report.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    for kind, tag in (("script-src", "script"), ("style-src-elem", "style")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert allowed[kind] == f"'sha256-{digest}'"
    assert allowed["default-src"] == "'none'"


def test_a_figures_name_cannot_leave_its_id():
    picture = '<?xml version="1.0"?><svg width="1"><g id="a"/><use href="#a"/></svg>'
    assert svg.inline(picture, 'x" onload="alert(1)', "words") == (
        '<svg role="img" aria-label="words" stroke-linejoin="round" stroke-linecap="butt">'
        '<g id="x__onload__alert_1_-a"/><use href="#x__onload__alert_1_-a"/></svg>'
    )
