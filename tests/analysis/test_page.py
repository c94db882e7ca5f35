"""The page's layout and the files beside it: where things stand, what captions say, which files are asked for."""

import re

import pytest
import synthetic
from typer.testing import CliRunner

import analysis
from analysis.album import _by_width, _effective_rank, album
from analysis.evidence import gather
from infomax_tune import cli


@pytest.fixture(scope="module")
def page(analyzed):
    return analyzed.report.read_text()


@pytest.fixture(scope="module")
def drawings(analyzed, study_folder):
    """What the analyzed study's album says of each figure."""
    return {one.name: one for one in album(gather(analysis.load_study(study_folder)))}


def test_the_page_allows_no_style_in_place(page):
    """matplotlib writes a style into every element; the page's are attributes, so that its policy needs no exception."""
    assert "unsafe-inline" not in page
    assert not re.search(r"<[^>]* style=", page)


def test_captions_say_how_many_seeds_there_are_and_what_a_band_is(drawings):
    """Whoever sees a figure alone must not have to guess."""
    for name, one in drawings.items():
        if name != "weights":
            assert re.search(r"\d seeds|n = \d", one.caption), name
        if name.startswith(("epochs_", "by_")):
            assert "the band is its 95% interval" in one.caption


def test_the_main_metrics_have_figures(drawings):
    """One forest of all, each one's way over the epochs; none of the loss, and none of what never varies."""
    for metric in ("effective_rank", "weight_redundancy", "dead_units", "output_correlation"):
        assert drawings[f"epochs_{metric}"].metric == metric
    assert "effective rank: identity in" in drawings["forest"].alt
    assert "relu" in drawings["forest"].title
    assert not {"epochs_loss", "epochs_entropy"} & set(drawings)
    table = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [16, 32]}, seeds=3, epochs=5)
    table["dead_units"] = 0.0
    evidence = gather(analysis.Study("made up", table, synthetic.make_history(table)))
    found = {one.name: one for one in album(evidence)}
    assert not {"redundancy_vs_dead", "epochs_dead_units"} & set(found)
    assert "dead units" not in found["by_width"].alt


def test_a_space_of_lambdas_has_its_pareto_curve():
    """In the section that speaks of lambda."""
    axes = {"activation": ["relu", "tanh"], "lambda_tc": [0.1, 1.0, 10.0], "hidden_dim": [16]}
    evidence = gather(analysis.Study("made up", synthetic.make_results(axes, seeds=3, epochs=5)))
    found = {one.name: one for one in album(evidence)}
    assert found["pareto_lambda_tc"].section == "lambda"
    assert "logarithmic axis" in found["pareto_lambda_tc"].caption


def test_the_page_begins_with_a_table_per_width(page, analyzed):
    """With letters, the values by chance, and what softmax cannot be below; the numbers are those of tables.md."""
    top = page[page.index('id="short"') : page.index('id="run"')]
    assert re.findall(r"<caption>(K = \d+)\.", top) == ["K = 16", "K = 32"]
    assert "The outputs of softmax sum to 1, so their least possible value is: output correlation 1.07." in top
    assert re.findall(r'data-v="chance">chance</td><td class="n"></td><td class="n">([^<]+)', top) == ["0.306", "1.27"]
    assert re.search(
        r'<td class="n" data-v="[\d.]+">(<b>)?[\d.]+ \u00b1 [\d.]+(\u2020)?(</b>)?<sup>[a-f]+</sup></td>', top
    )
    cells = re.findall(r"[\d.]+ \u00b1 [\d.]+", top)
    assert len(cells) > 35
    tables = (analyzed.folder / "tables.md").read_text()
    assert all(cell in tables for cell in cells)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """One activation at one width: few figures."""
    table = synthetic.make_results({"activation": ["relu"], "hidden_dim": [16]}, seeds=2, epochs=2)
    return synthetic.write_study(tmp_path_factory.mktemp("tiny") / "out", table, history=False)


def test_figures_are_written_in_the_formats_that_are_asked_for(tiny, tmp_path, monkeypatch):
    """From the command line; PNG in more or fewer pixels, LaTeX only if wanted."""
    monkeypatch.setattr("analysis.album.ALBUM", (_effective_rank, _by_width))  # two figures instead of all
    options = ["--format", "png,PDF,svg", "--dpi", "50", "--latex"]
    ended = CliRunner().invoke(cli.app, ["analyze", str(tiny), "--output-dir", str(tmp_path), *options])
    assert ended.exit_code == 0, ended.output
    stems = {path.stem for path in tmp_path.glob("*.png")}
    assert "effective_rank" in stems
    assert stems == {path.stem for path in tmp_path.glob("*.pdf")} == {path.stem for path in tmp_path.glob("*.svg")}
    assert {"tables.md", "tables.tex"} <= {path.name for path in tmp_path.iterdir()}
    width = int.from_bytes((tmp_path / "effective_rank.png").read_bytes()[16:20], "big")
    assert width == pytest.approx(6.5 * 50, abs=1)
    assert "<title>relu-k16-s1" in (tmp_path / "effective_rank.svg").read_text()


def test_what_cannot_be_written_is_said_before_any_work(tiny, tmp_path):
    """An unknown format, none, and pixels without end."""
    for options, told in (
        ({"formats": ["png", "jpg"]}, "format 'jpg' is unknown; choose one or more of png, pdf, svg"),
        ({"formats": []}, "no format is given; choose one or more of png, pdf, svg"),
        ({"dpi": 5000}, "dpi 5000 is out of range; give 30 to 1,200"),
    ):
        with pytest.raises(analysis.AnalysisError, match=told):
            analysis.analyze(tiny, tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()
