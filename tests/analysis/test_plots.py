"""Figures: what they draw, that nothing is clipped or overlaps, that colors are safe and bytes the same."""

import itertools

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

import analysis
from analysis import AnalysisError, plots, plots_comparison, plots_training, plots_weights, stats, style
from analysis.album import _by_width, album
from analysis.evidence import gather
from analysis.panels import panels_of, ticks_apart
from analysis.reshape import varying

SHOWN = [
    "effective_rank",
    "weight_redundancy",
    "dead_units",
    "output_correlation",
    "gaussian_total_correlation",
    "variance_ratio",
]


def figures_of(results):
    """Every figure that a table allows, by name."""
    history = synthetic.make_history(results)
    pairs = [stats.compare(results, metric, within=varying(results, ["activation"])) for metric in SHOWN[:2]]
    made = {
        "effective_rank": plots.metric_box(results),
        "variance_ratio": plots.metric_box(results, "variance_ratio"),
        "convergence": plots.metric_box(results, "convergence_epoch"),
        "redundancy_vs_dead": plots.redundancy_vs_dead(results),
        "by_width": plots.metric_against(results, SHOWN, "hidden_dim"),
        "forest": plots_comparison.forest(pd.concat(pairs), SHOWN[:2], "relu"),
    }
    # One activation's curves are laid out as another's.
    made["curves"] = plots_training.training_curves(results, history, "leaky_relu")
    rng = np.random.default_rng(0)
    cells = {
        name: {k: tuple(synthetic.make_weights(rng, k, 784).values()) for k in (16, 64)}
        for name in results["activation"].unique()
    }
    lines = {name: tuple(synthetic.make_weights(rng, 16, 2).values()) for name in results["activation"].unique()}
    return made | {"weights": plots_weights.weight_gallery(cells), "weight_lines": plots_weights.weight_lines(lines)}


STUDIES = {
    "whole": synthetic.make_results,
    "one seed": lambda: synthetic.make_results(seeds=1),
    "many settings": lambda: synthetic.make_results(
        {
            "activation": ["relu", "leaky_relu"],
            "hidden_dim": [16, 64],
            "lambda_tc": [0.1, 1.0, 10.0],
            "lambda_wr": [0.0, 1.0],
        },
        seeds=3,
        epochs=20,
    ),
}


@pytest.fixture(scope="module", params=STUDIES)
def figures(request):
    """The figures of each study, each with its texts as drawn."""
    return {name: (figure, texts_of(figure)) for name, figure in figures_of(STUDIES[request.param]()).items()}


def texts_of(figure):
    """Each visible text of a figure with its box in pixels, as it is drawn."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    # Ticks beyond an axis' limits exist and are not drawn.
    found = [text for text in found if text.axes is None or text.axes.get_visible()]
    return [(text, text.get_window_extent(renderer)) for text in found]


def drawn_ticks(axis):
    """The tick labels inside an axis' limits."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * (high - low)
    return [tick for tick in axis.get_major_ticks() if low - slack <= tick.get_loc() <= high + slack]


def test_no_text_is_clipped_by_the_edge(figures):
    """Every label lies within the picture."""
    for name, (figure, texts) in figures.items():
        edge = figure.bbox
        hidden = {
            side
            for axes in figure.axes
            for axis in (axes.xaxis, axes.yaxis)
            for tick in set(axis.get_major_ticks()) - set(drawn_ticks(axis))
            for side in (tick.label1, tick.label2)
        }
        for text, box in texts:
            if text in hidden:
                continue
            inside = box.x0 >= edge.x0 - 1 and box.x1 <= edge.x1 + 1 and box.y0 >= edge.y0 - 1 and box.y1 <= edge.y1 + 1
            assert inside, f"{name}: {text.get_text()!r} at {box.extents} leaves {edge.extents}"


def test_no_tick_label_or_title_overlaps_its_neighbor(figures):
    """Labels of one axis keep apart, and titles of panels too."""
    for name, (figure, texts) in figures.items():
        boxes = dict(texts)
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                labels = [tick.label1 for tick in drawn_ticks(axis) if tick.label1 in boxes]
                for one, other in itertools.pairwise(labels):
                    # Slanted labels have boxes that overlap while their letters do not.
                    if one.get_rotation() in (0, 90):
                        assert not boxes[one].overlaps(boxes[other]), f"{name}: {one.get_text()} on {other.get_text()}"
        titles = [axes.title for axes in figure.axes if axes.title in boxes]
        for one, other in itertools.combinations(titles, 2):
            assert not boxes[one].overlaps(boxes[other]), f"{name}: {one.get_text()} on {other.get_text()}"


def test_row_labels_of_many_settings_do_not_run_into_each_other(figures):
    """The panels' names stand at their left, one above the other."""
    for name, (figure, texts) in figures.items():
        boxes = dict(texts)
        labels = [axes.yaxis.label for axes in figure.axes if axes.yaxis.label in boxes]
        for one, other in itertools.combinations(labels, 2):
            assert not boxes[one].overlaps(boxes[other]), f"{name}: {one.get_text()} on {other.get_text()}"


def linear(color):
    """sRGB hex to linear light."""
    value = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


# Machado, Oliveira & Fernandes (2009), severity 1.
EYES = {
    "normal": np.eye(3),
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanope": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(rgb):
    """CIE L*a*b* of linear RGB."""
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    x, y, z = to_xyz @ np.clip(rgb, 0, 1) / (0.95047, 1, 1.08883)
    f = [np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


EVERY_COLOR = {**style.COLORS, **{color: color for color in style.OWN_COLORS}}


@pytest.mark.parametrize("eye", EYES)
def test_colors_are_told_apart_by_every_eye(eye):
    """In L*a*b*, of which 2.3 is just noticeable: at least 20 between any two of the study's six, which stand side by side
    in its figures; 17 with our other four; 14 with those of a user's. Fourteen colors leave no room for more.
    """
    seen = {name: lab(np.array(EYES[eye]) @ linear(color)) for name, color in EVERY_COLOR.items()}
    for (one, a), (other, b) in itertools.combinations(seen.items(), 2):
        both = {one, other}
        least = 20 if both <= set(synthetic.ACTIVATIONS) else 17 if both <= set(style.COLORS) else 14
        assert np.linalg.norm(a - b) > least, f"{one} and {other}"


def test_colors_stand_out_from_both_pages():
    """3:1 on white; on the dark page nearly so, where boxes and lines also carry markers."""

    def luminance(color):
        return linear(color) @ (0.2126, 0.7152, 0.0722) + 0.05

    for name, color in EVERY_COLOR.items():
        assert 1.05 / luminance(color) >= 3, name
        assert luminance(color) / luminance("#0e1014") >= 2.8, name


def test_every_activation_has_its_own_marker_and_no_role_color():
    """The report replaces role colors by the page's."""
    assert set(style.COLORS) == set(style.MARKERS) >= set(synthetic.ACTIVATIONS)
    markers = [*style.MARKERS.values(), *style.OWN_MARKERS]
    assert len(set(markers)) == len(markers)
    roles = {style.INK, style.MUTED, style.GRID, style.PAPER, style.ACCENT}
    assert len(roles) == 5
    assert len({*EVERY_COLOR.values(), *roles}) == len(EVERY_COLOR) + 5


def test_an_activation_without_a_color_of_its_own_is_drawn_all_the_same():
    """One that was added to the study, and not here."""
    results = synthetic.make_results({"activation": ["relu", "mish"]}, seeds=3)
    axes = plots.metric_box(results).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mish", "relu"]
    assert style.color("mish") not in style.COLORS.values()


def test_a_users_activation_looks_the_same_in_every_report():
    """Its color and marker follow from its name: crc32(mish) = 3900031794, 2 over a multiple of 4 and 4 over one of 5."""
    assert (style.color("mish"), style.marker("mish")) == (style.OWN_COLORS[2], style.OWN_MARKERS[4])
    looks = {(style.color(f"own_{i}"), style.marker(f"own_{i}")) for i in range(200)}
    assert len(looks) == len(style.OWN_COLORS) * len(style.OWN_MARKERS) == 20


def test_no_other_factor_looks_like_an_activation():
    """Not even a head of the same name, nor one of a user's."""
    for level in ("softmax", "mish", 16):
        assert (style.color(level, "head"), style.marker(level, "head")) == (style.ACCENT, "o")
    results = synthetic.make_results({"activation": ["relu"], "optimizer": ["adam", "lion"]}, seeds=3)
    drawn = [item for item in plots.metric_box(results).axes[0].collections if isinstance(item, PathCollection)]
    assert {to_hex(points.get_facecolor()[0]) for points in drawn} == {style.ACCENT}


def test_curves_of_relu_never_take_leaky_relu():
    """The trap of choosing by a part of the name: relu has 4 thin lines a panel, one a seed."""
    results = synthetic.make_results({"activation": ["relu", "leaky_relu"], "hidden_dim": [16]}, seeds=4, epochs=10)
    history = synthetic.make_history(results)
    axes = plots_training.training_curves(results, history, "relu").axes[0]
    (lines,) = (item for item in axes.collections if isinstance(item, LineCollection))
    assert len(lines.get_segments()) == 4
    relu = results.query("activation == 'relu'")["trial_id"]
    loss = history[history["trial_id"].isin(relu)].query("epoch > 0").groupby("epoch")["loss"].median()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), loss)


def test_many_seeds_become_a_band():
    """A hundred lines would blur together."""
    results = synthetic.make_results({"activation": ["relu"]}, seeds=100, epochs=5)
    axes = plots_training.training_curves(results, synthetic.make_history(results), "relu").axes[0]
    assert not any(isinstance(item, LineCollection) for item in axes.collections)
    assert len(axes.collections) == 1


def test_box_plot_draws_every_finished_seed_once():
    """Ten seeds, two lost: eight points."""
    table = synthetic.spoil(synthetic.make_results({"activation": ["relu"]}), failed=[0], missing=[1])
    (axes,) = plots.metric_box(table).axes
    (points,) = axes.collections
    drawn = np.asarray(points.get_offsets())[:, 0]
    np.testing.assert_allclose(sorted(drawn), sorted(table["effective_rank"].dropna()))


def test_gallery_tiles_are_the_weights():
    """The first tiles of the only row, pixel by pixel."""
    weight = np.arange(2 * 64, dtype=float).reshape(2, 64)
    image = plots_weights.weight_gallery({"relu": {2: (weight, np.zeros(2))}}).axes[0].images[0].get_array()
    np.testing.assert_array_equal(image[:, :8], weight[0].reshape(8, 8))
    np.testing.assert_array_equal(image[:, 9:17], weight[1].reshape(8, 8))


def test_near_duplicates_stand_side_by_side():
    """A copy, one with the other sign, and one of another length come before what is like nothing else."""
    rng = np.random.default_rng(0)
    a, b, c, d = np.linalg.qr(rng.normal(size=(16, 4)))[0].T
    found = plots_weights.most_alike(np.stack([c, a, 0 * a, b + 0.1 * a, d, -2 * b, 3 * a]))
    np.testing.assert_array_equal(found[:2], [a, 3 * a])
    np.testing.assert_array_equal(found[2:4], [b + 0.1 * a, -2 * b])


def test_weight_lines_pass_where_the_pre_activation_is_zero():
    """w x + b = 0 at both ends; a unit without weights has no line."""
    weight, bias = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([0.5, 1.0])
    (line,) = plots_weights.weight_lines({"relu": (weight, bias)}).axes[0].lines
    np.testing.assert_allclose(line.get_xydata() @ weight[0] + bias[0], 0, atol=1e-9)


@pytest.mark.parametrize(
    ("d", "kind"), [(784, "tiles"), (64, "tiles"), (2, "lines"), (100, "tiles"), (10, None), (4, None)]
)
def test_weights_are_drawn_as_their_inputs_allow(d, kind):
    """Squares as images, planes as lines, anything else not at all."""
    assert plots_weights.drawable(np.zeros((3, d))) == kind


@pytest.mark.parametrize(
    "draw",
    [
        lambda t: plots.metric_box(t, "loss"),
        plots.redundancy_vs_dead,
        lambda t: plots.metric_against(t, ["loss"]),
        lambda t: plots_training.training_curves(t, synthetic.make_history(t), "relu"),
    ],
)
def test_a_figure_of_nothing_says_so(draw):
    """All trials failed: one sentence, no error."""
    table = synthetic.spoil(synthetic.make_results({"hidden_dim": [16]}, seeds=2), failed=[0, 1])
    assert len(draw(table).texts) == 1


def test_the_same_figure_gives_the_same_bytes(results):
    """No date, no random id, in either format."""
    for save in (style.to_png, style.to_svg):
        assert save(plots.metric_box(results)) == save(plots.metric_box(results))
    assert "<dc:date>" not in style.to_svg(plots.metric_box(results))


def test_a_plot_leaves_the_callers_settings_alone(results):
    """A notebook keeps its style, and its style does not get into ours."""
    plain = style.to_png(plots.metric_box(results))
    rcParams["font.size"] = 21.0
    try:
        assert style.to_png(plots.metric_box(results)) == plain
        assert rcParams["font.size"] == 21.0
    finally:
        rcParams["font.size"] = 10.0


def test_no_figure_is_registered_with_pyplot(results):
    """Figures that pyplot knows are never freed."""
    from matplotlib import pyplot as plt

    plots.metric_box(results)
    assert plt.get_fignums() == []


def test_too_many_panels_become_six_widths_and_the_titles_say_so():
    """Twenty widths: the narrowest, the widest and four between, each named as one of a choice."""
    results = synthetic.make_results({"activation": ["relu"], "hidden_dim": list(range(4, 84, 4))}, seeds=2)
    titles = [title for title, _ in panels_of(results, "activation")]
    assert len(titles) == 6
    assert titles[0] == "K = 4, 6 of 20 widths shown"
    assert titles[-1].startswith("K = 80,")


def test_panels_that_mix_settings_name_what_they_mix():
    """Four lambdas in each of four widths would be sixteen panels."""
    axes = {"activation": ["relu"], "hidden_dim": [8, 16, 32, 64], "lambda_tc": [0.1, 1.0, 10.0, 100.0]}
    titles = [title for title, _ in panels_of(synthetic.make_results(axes, seeds=2), "activation")]
    assert titles == [f"K = {width}, all lambda_tc" for width in (8, 16, 32, 64)]


def test_ticks_of_close_values_are_thinned():
    """4, 8, ..., 80 on a logarithmic axis crowd at the right."""
    values = list(range(4, 84, 4))
    kept = ticks_apart(values, values, log=True)
    assert kept[:3] == [4, 8, 12]
    assert len(kept) < 11


def seen_texts(figure):
    """The texts that can be seen."""
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and (text.axes is None or text.axes.get_visible())
    ]


@pytest.mark.parametrize("width", [3.25, 5.5])
def test_figures_for_a_paper_have_its_width_and_text_of_7_to_9_points(width):
    """Panels stack where they do not fit, and no text leaves the figure. On the page, the same figures are as before."""
    axes = {"activation": ["relu", "leaky_relu", "tanh"], "hidden_dim": [16, 32], "lambda_tc": [0.1, 1.0, 10.0]}
    table = synthetic.make_results(axes, seeds=3, epochs=20)
    e = gather(analysis.Study("made up", table, synthetic.make_history(table)))
    drawings = {drawing.name: drawing for drawing in album(e)}
    names = (
        *("forest", "epochs_effective_rank", "by_width"),
        *("redundancy_vs_dead", "training_curves_relu", "pareto_lambda_tc"),
    )
    for name in names:
        with style.for_paper(width):
            figure = drawings[name].draw()
            style.fit_texts(figure)
            figure.draw_without_rendering()
        assert figure.get_figwidth() == width
        for text in seen_texts(figure):
            assert 7 <= text.get_fontsize() <= 9, (name, text)
            box = text.get_window_extent()
            assert text.get_clip_on() or (box.x0 >= -1 and box.x1 <= figure.bbox.width + 1), (name, text)
        columns = {round(axes.bbox.x0) for axes in figure.axes if axes.get_visible()}
        assert len(columns) == (1 if width == 3.25 else min(3, len(columns)))
    assert drawings["by_width"].draw().get_figwidth() == 9.5


def test_the_files_have_the_width_and_the_page_keeps_its_figures(tmp_path, monkeypatch):
    """In inches: pixels by dpi, points of the PDF and the SVG."""
    monkeypatch.setattr("analysis.album.ALBUM", (_by_width,))  # one figure instead of all
    table = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [8, 16]}, seeds=2)
    folder = synthetic.write_study(tmp_path / "out", table, history=False)
    pages = []
    for width in (None, 3.25):
        made = analysis.analyze(folder, tmp_path / str(width), formats=["png", "pdf", "svg"], dpi=100, width=width)
        pages.append(made.report.read_text())
    assert pages[0] == pages[1]
    figure = tmp_path / "3.25" / "by_width"
    assert Image.open(figure.with_suffix(".png")).width == 325
    assert b"/MediaBox [ 0 0 234 " in figure.with_suffix(".pdf").read_bytes()
    assert 'width="234pt"' in figure.with_suffix(".svg").read_text()
    with pytest.raises(AnalysisError, match=r"width 30 is out of range; give 2\.5 to 20 inches\."):
        analysis.analyze(folder, width=30)
