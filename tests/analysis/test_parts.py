"""What a narrow screen shows of a figure: each panel with labels and title, borrowed where it has none."""

import re

import numpy as np
import synthetic
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import plots, plots_training, style, svg
from analysis.parts import parts_of


def laid_out(figure):
    """As `run` does before it asks for the parts."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def test_each_panel_is_a_part_with_the_labels_of_its_row():
    """The second panel of three has no activations of its own: it shows the first one's, moved to its side."""
    table = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [16, 32, 64]}, seeds=3)
    figure = laid_out(plots.metric_box(table))
    parts = parts_of(figure)
    first, second, _, below = parts
    assert [use[0] for use in first.uses] == ["panel0"]
    assert [use[0] for use in second.uses] == ["panel1", "y0"]
    shift = (figure.axes[1].bbox.x0 - figure.axes[0].bbox.x0) * 72 / figure.dpi
    np.testing.assert_allclose(second.uses[1][1:], (shift, 0))
    assert below.small
    assert not first.small
    width, height = figure.get_size_inches() * 72
    for part in parts:
        left, top, across, down = part.box
        assert -4 < left < left + across < width + 4
        assert -4 < top < top + down < height + 4


def test_a_panel_below_borrows_its_title_and_one_above_its_epochs():
    """Titles stand on the top row only, epochs under the last."""
    table = synthetic.make_results({"activation": ["relu"], "hidden_dim": [16, 32]}, seeds=2, epochs=5)
    parts = parts_of(laid_out(plots_training.training_curves(table, synthetic.make_history(table), "relu")))
    assert {use[0] for use in parts[0].uses} == {"panel0", "x3"}
    assert {use[0] for use in parts[4].uses} == {"panel4", "title1"}


def test_a_single_panel_has_no_parts():
    """It takes the page's width as it is."""
    table = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [16]}, seeds=2)
    assert parts_of(laid_out(plots.metric_box(table))) == []


def test_parts_refer_to_what_the_page_holds_and_no_style_stands_in_place():
    """Every reference has its element; the page's policy would refuse a style attribute."""
    table = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [16, 32]}, seeds=3)
    figure = laid_out(plots.metric_against(table, ["effective_rank", "weight_redundancy"]))
    parts = parts_of(figure)
    assert sum(part.small for part in parts) == 2  # the legend's entries
    page = svg.inline(style.to_svg(figure), "by width", "words")
    shown = svg.stacked(parts, "by width")
    ids = set(re.findall(r'\bid="([^"]*)"', page))
    wanted = re.findall(r'href="#([^"]*)"', shown)
    assert len(wanted) >= len(parts)
    assert set(wanted) <= ids
    assert "style=" not in page + shown
    assert 'fill="currentColor"' in page or 'stroke="currentColor"' in page


def test_an_entry_of_a_legend_has_its_marker():
    """Of points too, whose markers are a collection: something is drawn left of each name."""
    table = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": [16, 32]}, seeds=3)
    figure = laid_out(plots.redundancy_vs_dead(table))
    (legend,) = figure.legends
    parts = [part for part in parts_of(figure) if part.uses[0][0] == "legend0"]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels, scale = np.asarray(canvas.buffer_rgba())[..., :3], figure.dpi / 72
    assert len(parts) == 2
    for part, text in zip(parts, legend.get_texts(), strict=True):
        left, top, _, down = (round(number * scale) for number in part.box)
        before_text = pixels[top : top + down, left : int(text.get_window_extent().x0) - 1]
        assert (before_text < 200).any()
