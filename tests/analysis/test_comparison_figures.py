"""Figures of comparisons and of change: they draw the statistics' numbers and mark what is incomplete."""

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from analysis import plots, plots_comparison, plots_training, stats, style
from analysis.intervals import t_interval

PAIR = {"activation": ["relu", "tanh"], "hidden_dim": [16, 32]}


@pytest.fixture(scope="module")
def three():
    """Three activations, two widths, seven seeds."""
    return synthetic.make_results({"activation": ["relu", "leaky_relu", "tanh"], "hidden_dim": [16, 32]}, seeds=7)


def test_a_forest_plot_draws_the_difference_to_the_reference_and_its_simultaneous_interval(three):
    """The reference's own row is not there; a pair is turned so that right of 1 is more than the reference."""
    pairs = stats.compare(three, "effective_rank", within=["hidden_dim"], complete=True)
    narrow, wide = plots_comparison.forest(pairs, ["effective_rank"], "leaky_relu").axes
    assert (narrow.get_ylabel(), wide.get_ylabel()) == ("K = 16", "K = 32")
    assert narrow.get_title() == "effective rank \u2191"
    assert [text.get_text() for text in narrow.get_yticklabels()] == ["tanh", "relu"]
    drawn = {float(p.get_offsets()[0][1]): p for p in narrow.collections if isinstance(p, PathCollection)}
    at = pairs[pairs["hidden_dim"] == 16].set_index(["a", "b"])
    relu, tanh = at.loc[("relu", "leaky_relu")], at.loc[("leaky_relu", "tanh")]
    reference = three.query("activation == 'leaky_relu' and hidden_dim == 16")["effective_rank"].mean()
    assert drawn[1.0].get_offsets()[0][0] == pytest.approx(1 + relu["difference"] / reference)
    assert drawn[0.0].get_offsets()[0][0] == pytest.approx(1 - tanh["difference"] / reference)
    segments = [
        ends for lines in narrow.collections if isinstance(lines, LineCollection) for ends in lines.get_segments()
    ]
    spans = {float(ends[0][1]): ends[:, 0] for ends in segments if ends[0][1] == ends[1][1]}
    np.testing.assert_allclose(spans[0.0], [1 - tanh["sim_high"] / reference, 1 - tanh["sim_low"] / reference])


def test_a_filled_point_is_told_apart_and_an_open_one_is_not():
    """tanh is far from relu by construction; leaky_relu is a copy of relu with its own noise."""
    table = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [16]}, seeds=8, effect=3)
    noise = np.random.default_rng(3).normal(size=8)
    again = table[table["activation"] == "relu"].assign(activation="leaky_relu")
    rank = again["effective_rank"] + 0.1 * (noise - noise.mean())
    table = pd.concat([table, again.assign(effective_rank=rank)], ignore_index=True)
    pairs = stats.compare(table, "effective_rank", within=["hidden_dim"])
    (axes,) = plots_comparison.forest(pairs, ["effective_rank"], "relu").axes
    colors = [to_hex(p.get_facecolor()[0]) for p in axes.collections if isinstance(p, PathCollection)]
    assert colors == [style.PAPER, style.COLORS["tanh"]]


def test_a_ratio_is_compared_by_its_quotient():
    """Twice the variance ratio in every seed: 2, whatever the ratios are."""
    table = synthetic.make_results(PAIR, seeds=6)
    relu = table.loc[table["activation"] == "relu", "variance_ratio"].to_numpy()
    table.loc[table["activation"] == "tanh", "variance_ratio"] = 2 * relu
    pairs = stats.compare(table, "variance_ratio", within=["hidden_dim"])
    axes = plots_comparison.forest(pairs, ["variance_ratio"], "relu").axes[0]
    (point,) = (p for p in axes.collections if isinstance(p, PathCollection))
    assert point.get_offsets()[0][0] == pytest.approx(2)


def test_a_metric_whose_quotient_says_nothing_is_not_in_the_forest():
    """Of values that can be negative, or of a reference at 0, which no unit is dead in."""
    table = synthetic.make_results(PAIR, seeds=6)
    table["dead_units"] = np.where(table["activation"] == "relu", 0, 3)
    metrics = ["effective_rank", "dead_units", "gaussian_total_correlation"]
    pairs = pd.concat([stats.compare(table, metric, within=["hidden_dim"]) for metric in metrics])
    found = plots_comparison.relative(plots_comparison.against(pairs, "relu"))
    assert set(found["metric"]) == {"effective_rank"}


def test_few_seeds_get_each_pairs_own_interval():
    """Five seeds have no simultaneous interval; a figure without any would say less than the table."""
    table = synthetic.make_results(PAIR, seeds=5)
    pairs = stats.compare(table, "effective_rank", within=["hidden_dim"])
    assert pairs["sim_low"].isna().all()
    turned = plots_comparison.against(pairs, "relu")
    assert not turned["simultaneous"].any()
    np.testing.assert_allclose(turned["high"], -pairs["ci_low"])
    assert plots_comparison.forest(pairs, ["effective_rank"], "relu").axes


def test_a_metric_over_the_epochs_is_the_mean_over_seeds_with_its_interval(three):
    """All activations in one panel, epoch 0 included."""
    history = synthetic.make_history(three)
    axes = plots_training.metric_over_epochs(three, history, "effective_rank").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"relu", "leaky_relu", "tanh"}
    trials = three.query("activation == 'relu' and hidden_dim == 16")["trial_id"]
    recorded = history[history["trial_id"].isin(trials)].dropna(subset=["effective_rank"])
    by_epoch = recorded.groupby("epoch")["effective_rank"]
    np.testing.assert_array_equal(lines["relu"].get_xdata(), sorted(by_epoch.groups))
    np.testing.assert_allclose(lines["relu"].get_ydata(), by_epoch.mean())
    low, high = t_interval(by_epoch.mean(), by_epoch.std(), by_epoch.count())
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(low.min())
    assert band.max() == pytest.approx(high.max())


def open_markers(axes):
    """The positions of points that lack seeds, and of crosses at the bottom."""
    lines = [line for line in axes.lines if line.get_linestyle() == "None"]
    lacking = [x for line in lines if line.get_marker() != "x" for x in line.get_xdata()]
    return lacking, [x for line in lines if line.get_marker() == "x" for x in line.get_xdata()]


def test_a_point_that_lost_a_width_is_not_drawn_from_those_it_has_left():
    """The wide networks diverged at lambda 10: there is a gap and a cross, and no cliff; one lost seed makes its point open."""
    table = synthetic.make_results({"lambda_tc": [0.1, 1.0, 10.0], "hidden_dim": [16, 32]}, seeds=4)
    wide = table.index[(table["lambda_tc"] == 10) & (table["hidden_dim"] == 32)]
    one = table.index[(table["lambda_tc"] == 1) & (table["hidden_dim"] == 32) & (table["seed"] == 2)]
    axes = plots.metric_against(synthetic.spoil(table, diverged=[*wide, *one]), ["effective_rank"], "lambda_tc").axes[0]
    means = axes.lines[0].get_ydata()
    whole = table[(table["lambda_tc"] == 1) & (table["seed"] != 2)].groupby("seed")["effective_rank"].mean()
    assert np.isnan(means[2])
    assert means[1] == pytest.approx(whole.mean())
    assert open_markers(axes) == ([1.0], [10.0])


def test_redundancy_against_the_width_is_drawn_on_a_logarithmic_axis():
    """Their lines differ by large factors; the effective rank stays on a linear axis."""
    table = synthetic.make_results(seeds=3)
    axes = plots.metric_against(table, ["effective_rank", "weight_redundancy", "output_correlation"]).axes
    assert [one.get_yscale() for one in axes] == ["linear", "log", "log"]


def test_redundancy_against_dead_units_wastes_no_room_where_none_is_dead():
    """The axis ends where the values do; values that differ by large factors are on a logarithmic axis."""
    table = synthetic.make_results({"activation": ["identity", "tanh"], "hidden_dim": [16]}, seeds=4)
    table["weight_redundancy"] *= np.where(table["activation"] == "tanh", 50, 1)
    (axes,) = plots.redundancy_vs_dead(table).axes
    assert axes.get_xlim() == (-0.5, 0.5)
    assert axes.get_yscale() == "log"


def test_the_label_of_redundancy_fits_beside_a_single_panel():
    """It was longer than the panel is high, and cut."""
    table = synthetic.make_results({"activation": ["identity", "tanh"], "hidden_dim": [16]}, seeds=4)
    figure = plots.redundancy_vs_dead(table)
    figure.draw_without_rendering()
    box = figure.axes[0].yaxis.label.get_window_extent()
    assert figure.bbox.y0 <= box.y0
    assert box.y1 <= figure.bbox.y1


def test_curves_of_one_epoch_are_points():
    """A line through one point is invisible; the axis shows the epoch, not thousandths of it."""
    table = synthetic.make_results({"activation": ["relu"], "hidden_dim": [16]}, seeds=3, epochs=1)
    history = synthetic.make_history(table)
    axes = plots_training.training_curves(table, history, "relu").axes[0]
    assert axes.lines[0].get_marker() == style.marker("relu")
    (seeds,) = (points for points in axes.collections if isinstance(points, PathCollection))
    np.testing.assert_allclose(np.sort(seeds.get_offsets()[:, 1]), np.sort(history["loss"].dropna()))
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_the_pareto_curve_goes_through_the_means_on_a_logarithmic_axis():
    """Left is less correlated; each point says its lambda."""
    axes = {"activation": ["relu", "tanh"], "lambda_tc": [0.1, 1.0, 10.0], "hidden_dim": [16]}
    table = synthetic.make_results(axes, seeds=4)
    table["tc"] *= 1 / table["lambda_tc"]
    entropy, rank = plots.pareto(table, "lambda_tc").axes
    assert (entropy.get_xscale(), rank.get_xscale()) == ("log", "log")
    line = next(line for line in rank.lines if line.get_label() == "relu")
    means = table[table["activation"] == "relu"].groupby("lambda_tc")[["tc", "effective_rank"]].mean()
    np.testing.assert_allclose(line.get_xydata(), means)
    assert [text.get_text() for text in rank.texts[:3]] == ["0.1", "1", "10"]


@pytest.mark.parametrize(
    "draw",
    [
        plots.metric_box,
        plots.redundancy_vs_dead,
        lambda table: plots_training.training_curves(table, synthetic.make_history(table), "relu"),
    ],
)
def test_a_point_says_its_trial_when_the_mouse_is_over_it(draw):
    """In the SVG; as a title, not as a link to nowhere."""
    table = synthetic.make_results({"activation": ["relu"], "hidden_dim": [16]}, seeds=3, epochs=5)
    svg = style.to_svg(draw(table))
    for trial in table["trial_id"]:
        assert f"<title>{trial}" in svg
    assert "<a " not in svg


def test_pdf_is_the_same_twice_and_has_letters():
    """No date in it; type 42 fonts, which journals ask for."""
    table = synthetic.make_results({"activation": ["relu"], "hidden_dim": [16]}, seeds=3)
    first, second = (style.to_pdf(plots.metric_box(table)) for _ in range(2))
    assert first == second
    assert first.startswith(b"%PDF")
    assert b"CIDFontType2" in first
    assert b"/CreationDate" not in first
