"""Tables for a paper: who is bold, who shares a letter, how many digits, and that LaTeX's own signs are escaped."""

import itertools
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

import analysis
from analysis import paper
from analysis.equivalence import equivalence
from analysis.evidence import gather


@given(st.data())
def test_levels_share_a_letter_exactly_where_they_are_not_told_apart(data):
    """For any set of significant pairs, even one that no ranking could give."""
    levels = [f"level {i}" for i in range(data.draw(st.integers(1, 6)))]
    pairs = list(itertools.combinations(levels, 2))
    apart = set(data.draw(st.lists(st.sampled_from(pairs), unique=True))) if pairs else set()
    given = paper.letters(levels, apart)
    assert given[levels[0]].startswith("a")
    for one, other in pairs:
        assert bool(set(given[one]) & set(given[other])) == ((one, other) not in apart)


def test_letters_solved_by_hand():
    """Three in a row, of which only the ends differ significantly: the middle one shares both letters."""
    assert paper.letters(["x", "y", "z"], [("x", "z")]) == {"x": "a", "y": "ab", "z": "b"}


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((55.4213, 55.1613, 55.6813), "55.42 ± 0.26"),
        ((1234.5, 1200.0, 1269.0), "1,234 ± 34"),
        ((0.0, 0.0, 0.0), "0"),
        ((3.0, 3.0, 3.0), "3 ± 0"),
        ((3.0, np.nan, np.nan), "3"),
        ((0.4, 0.0, 0.9), "0.40 (0.00 to 0.90)"),
    ],
)
def test_means_have_the_digits_that_their_interval_allows(numbers, told):
    """Two of half the interval; an interval that ends at a bound is written out."""
    assert paper.with_interval(*numbers) == told


@pytest.fixture(scope="module")
def tables():
    """Two widths of three activations, of which tanh is best by construction."""
    results = synthetic.make_results(
        {"activation": ["relu", "leaky_relu", "tanh"], "hidden_dim": [16, 32]}, seeds=8, effect=2
    )
    evidence = gather(analysis.Study("made up", results))
    return evidence, paper.paper_tables(evidence)


def test_the_best_is_bold_and_the_letters_are_those_of_the_pairs(tables):
    """In both formats; the numbers are the summary's."""
    evidence, made = tables
    assert [table.title for table in made] == ["K = 16", "K = 32"]
    text = paper.as_markdown(made)
    rows = [line for line in text.splitlines() if line.startswith("| tanh")]
    means = evidence.summary.query("metric == 'effective_rank' and activation == 'tanh' and hidden_dim == 16").iloc[0]
    value = paper.with_interval(means["mean"], means["ci_low"], means["ci_high"])
    assert rows[0].startswith(f"| tanh | **{value}** <sup>a</sup> |")
    narrow = evidence.by_width.query("metric == 'effective_rank' and hidden_dim == 16").set_index(["a", "b"])[
        "significant"
    ]
    column = {name: entries[0].letters for name, entries in made[0].rows}
    for (a, b), told in narrow.items():
        assert bool(set(column[a]) & set(column[b])) is not bool(told)
    latex = paper.as_latex(made)
    written = value.replace("±", "$\\pm$")
    assert f"\\textbf{{{written}}}\\textsuperscript{{a}}" in latex
    assert "leaky\\_relu" in latex
    for what in ("\\begin{tabular}", "\\end{tabular}", "\\caption{"):
        assert latex.count(what) == 4, "of six metrics, three in each"
    assert [f"\\label{{tab:infomax-{i}}}" in latex for i in range(1, 6)] == [True] * 4 + [False]
    assert "5\\%" in latex


DOCUMENT = """\\documentclass%s{article}
\\usepackage{booktabs,graphicx}
\\begin{document}
%s
\\end{document}
"""


def has_latex():
    if shutil.which("pdflatex") is None:
        return False
    return subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_latex(), reason="there is no pdflatex with booktabs (texlive-latex-recommended)")
@pytest.mark.parametrize("options", ["", "[twocolumn]"])
def test_latex_takes_the_tables_and_they_fit(tables, options, tmp_path):
    """Into a page and into a column, of the class as it is; long names and counts of thousands too."""
    with_losses = paper.paper_tables(gather(analysis.Study("made up", lost_seeds(relu_also=False))))
    wide = synthetic.make_results({"activation": ["relu", "an_activation_with_a_long_name"]}, seeds=7)
    wide[["effective_rank", "weight_redundancy", "variance_ratio"]] *= 12345
    long = paper.paper_tables(gather(analysis.Study("made up", wide)))
    (tmp_path / "tables.tex").write_text(DOCUMENT % (options, paper.as_latex([*tables[1], *with_losses, *long])))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "Overfull" not in done.stdout
    assert "multiply defined" not in done.stdout


def test_the_best_is_bold_only_if_it_differs_from_any_other():
    """Without an effect nothing is bold, and neither is a 0 that every seed has."""
    results = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [16]}, seeds=8, effect=0)
    results["dead_units"] = np.where(results["activation"] == "tanh", 0, 9 + results["seed"])
    results["effective_rank"] = np.where(results["activation"] == "tanh", 9.0 + results["seed"] % 2, 9.5)
    (table,) = paper.paper_tables(gather(analysis.Study("made up", results)))
    entries = {name: dict(zip(table.metrics, row, strict=True)) for name, row in table.rows}
    dead = entries["tanh"]["dead_units"]
    assert (dead.value, dead.best, dead.letters) == ("0", False, "a")
    assert entries["relu"]["dead_units"].letters == "b"
    assert not any(entries[name]["effective_rank"].best for name in entries)


def test_effect_sizes_are_of_the_best_against_the_next(tables):
    """As in the table of pairs, whichever is first there."""
    evidence, made = tables
    pairs = evidence.by_width.query("metric == 'weight_redundancy' and hidden_dim == 16")
    (found,) = pairs[(pairs["a"] == "leaky_relu") & (pairs["b"] == "tanh")]["cohens_d"]
    place = made[0].metrics.index("weight_redundancy")
    assert made[0].effects[place] == f"{abs(found):.2g}"
    assert f"& {abs(found):.2g} " in paper.as_latex(made)
    assert "| d | " in paper.as_markdown(made)
    assert "d: paired Cohen's d of the best mean against the next." in made[0].note


def test_baselines_have_tables_of_their_own():
    """After InfoMax's, without letters, since their activations are not tested; a setting that they ignore is not named."""
    axes = {"activation": ["relu", "tanh"], "hidden_dim": [16]}
    infomax = synthetic.make_results({**axes, "optimizer": ["adam", "sgd"]}, seeds=8, effect=2)
    random = synthetic.make_results(axes, seeds=8, objective="random", epochs=0, lambda_tc=0.0, draw=1)
    both = pd.concat([random, infomax], ignore_index=True)
    made = paper.paper_tables(gather(analysis.Study("made up", both)))
    assert [table.title for table in made] == [
        "objective = infomax, K = 16, optimizer = adam",
        "objective = infomax, K = 16, optimizer = sgd",
        "objective = random, K = 16",
    ]
    assert not any(entry.letters or entry.best for _, row in made[2].rows for entry in row)
    alone = paper.paper_tables(gather(analysis.Study("made up", infomax)))
    assert [table.rows for table in alone] == [table.rows for table in made[:2]]


def test_each_data_set_has_as_many_tables():
    """If there are too many settings for a table of each."""
    axes = {"dataset": ["digits", "mnist"], "activation": ["relu", "tanh"], "lr": [i / 100 for i in range(1, 14)]}
    made = paper.paper_tables(gather(analysis.Study("made up", synthetic.make_results(axes, seeds=2))))
    assert [sum(f"dataset = {name}" in table.title for table in made) for name in ("digits", "mnist")] == [12, 12]


def lost_seeds(relu_also):
    """tanh lost three seeds, on which relu is low, and is below relu in each other seed; softplus has two seeds of ten."""
    relu = [15.27, 15.29, 15.26, 15.3, 15.25, 15.28, 15.31, 9, 8, 9.5]
    tanh = [value - 0.25 - 0.01 * i for i, value in enumerate(relu[:7])]
    named = {"relu": relu[:7] if relu_also else relu, "tanh": tanh, "softplus": [] if relu_also else [15.5, 15.7]}
    table = synthetic.make_results({"activation": list(named), "hidden_dim": [16]}, seeds=7 if relu_also else 10)
    for name, values in named.items():
        rows = table.index[table["activation"] == name]
        table.loc[rows[: len(values)], "effective_rank"] = values
        table = synthetic.spoil(table, diverged=rows[len(values) :])
    return table


def test_bold_letters_and_colors_are_of_the_seeds_that_the_text_compares():
    """The mean of tanh's remaining seeds is above relu's of all seeds: tanh was bold and bright while the text said that relu
    leads. softplus has too few seeds to be compared. Without the hard seeds, nothing is marked."""
    table = lost_seeds(relu_also=False)
    (made,) = paper.paper_tables(gather(analysis.Study("made up", table)))
    rank = {name: entries[0] for name, entries in made.rows}
    assert rank["relu"] == paper.Entry("15.280 ± 0.020", best=True, letters="a", n=7, ranked=True)
    assert rank["tanh"] == paper.Entry("15.000 ± 0.023†", best=False, letters="b", n=7, ranked=True)
    few = rank["softplus"]
    assert (few.value[-1], few.best, few.letters, few.n, few.ranked) == ("†", False, "", 2, False)
    assert "† Some seeds have no value; activations are compared on the seeds that all of them have." in made.note
    assert "is not compared and has no letter." in made.note
    assert "15.000 $\\pm$ 0.023$\\dagger$" in paper.as_latex([made])

    table = lost_seeds(relu_also=True)
    (made,) = paper.paper_tables(gather(analysis.Study("made up", table)))
    assert [(name, entries[0].best) for name, entries in made.rows if entries[0]] == [("relu", True), ("tanh", False)]
    assert "†" not in paper.as_markdown([made])


def test_a_setting_of_which_no_seed_is_complete_has_no_table():
    """Each activation lost another seed: there is no mean to show, and the other setting keeps its table."""
    axes = {"activation": ["relu", "tanh"], "hidden_dim": [16], "lambda_tc": [1.0, 10.0]}
    table = synthetic.make_results(axes, seeds=2)
    hard = table["lambda_tc"] == 10
    lost = hard & ((table["activation"] == "relu") == (table["seed"] == 1))
    table = synthetic.spoil(table, diverged=table.index[lost])
    made = paper.paper_tables(gather(analysis.Study("made up", table)))
    assert [one.title for one in made] == ["K = 16, lambda_tc = 1"]


def test_one_seed_has_neither_intervals_nor_letters():
    """Nothing was tested; the note promises nothing."""
    results = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [16]}, seeds=1)
    text = paper.as_markdown(paper.paper_tables(gather(analysis.Study("made up", results))))
    assert "<sup>" not in text
    assert "±" not in text
    assert "mean over 1 seed." in text


def test_pairs_are_the_same_only_where_the_whole_interval_is_within_the_margin():
    """Half a percent apart, once with a narrow interval and once not; pairs without an interval are excluded."""
    pairs = pd.DataFrame(
        {
            "hidden_dim": 16,
            "metric": "effective_rank",
            "a": "relu",
            "b": ["leaky_relu", "tanh", "softmax"],
            "n": [10, 10, 3],
            "percent": 0.5,
            "percent_low": [0.2, -0.9, np.nan],
            "percent_high": [0.8, 1.9, np.nan],
        }
    )
    table = equivalence(pairs)
    assert table["b"].tolist() == ["leaky_relu", "tanh"]
    assert table["within"].tolist() == [0.8, 1.9]
    assert table["same"].tolist() == [True, False]
    assert equivalence(pairs, margin=2)["same"].all()
    nothing = equivalence(pd.DataFrame())
    assert list(nothing[nothing["same"]].columns) == list(nothing.columns)  # rows are chosen, not columns
