"""The style of every figure, and its conversion to bytes. One color and marker per activation; no global matplotlib state.

Imports the SVG module and the default resolution.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from textwrap import fill
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from analysis.output import DPI
from analysis.svg import with_titles
from infomax_tune.parts import catalogue

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from analysis.load import OwnPart

P = ParamSpec("P")
T = TypeVar("T")

# Found by a search: at least 3:1 contrast against white, 2.8:1 against the report's dark page, and as different as possible
# for normal, deuteranope, protanope and tritanope vision at once (the tests measure it): the study's six first, then the
# others. Markers repeat the distinction.
COLORS = {name: part.color for name, part in catalogue.ours("activations").items()}
MARKERS = {name: part.marker for name, part in catalogue.ours("activations").items()}

_chosen: dict[str, OwnPart] = {}
"""The activations that are not ours, by name; see `know`."""

OWN_COLORS = ("#e00800", "#b88840", "#e018a8", "#b86850")
OWN_MARKERS = ("<", ">", "d", "H", "8")
"""Of the activations that are not ours, and of no other. 4 and 5 make 20 pairs: no factor in common."""

# Roles: the report replaces these with colors of the page's theme, so no data may use them.
INK, MUTED, GRID, PAPER, ACCENT = "#1a1d21", "#59606b", "#dde0e5", "#fffffe", "#31708f"

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "lines.linewidth": 1.5,
    "image.interpolation": "nearest",
    # The same figure gives the same bytes: ids come from this salt, not from a random one.
    "svg.hashsalt": "infomax-tune",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


PAPER_STYLE: dict[str, Any] = STYLE | {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.2,
}
"""Of figures that are drawn at the width they have in a paper."""

SMALLEST, LARGEST = 7, 9
"""The sizes of text in a paper, in points."""

NARROWEST = 1.75
"""Inches of a panel in a paper; narrower ones stack."""

_paper_width: ContextVar[float | None] = ContextVar("_paper_width", default=None)


@contextlib.contextmanager
def for_paper(width: float) -> Iterator[None]:
    """Within this, figures are drawn for a paper, this many inches wide."""
    token = _paper_width.set(width)
    try:
        yield
    finally:
        _paper_width.reset(token)


def paper_width() -> float | None:
    """The width of figures in inches if they are drawn for a paper; None for the page."""
    return _paper_width.get()


def columns_that_fit(panels: int, most: int, narrowest: float = NARROWEST) -> int:
    """How many panels stand side by side. On the page, as many as there are, up to `most`."""
    columns = min(panels, most)
    width = paper_width()
    return columns if width is None else max(1, min(columns, int(width / narrowest)))


def know(own: Mapping[str, OwnPart]) -> None:
    """From here on, these activations have the colors and markers that they chose."""
    _chosen.clear()
    _chosen.update(own)


def color(name: object, factor: str = "activation") -> str:
    """An activation's color. The accent for a level of any other factor, none of which may use an activation's color.

    An activation that is not ours, and has not chosen one, gets one by its name alone, so every report of it has the same.
    """
    if factor != "activation":
        return ACCENT
    own = _chosen.get(str(name))
    return COLORS.get(str(name)) or (own and own.color) or OWN_COLORS[_number_of(name) % len(OWN_COLORS)]


def marker(name: object, factor: str = "activation") -> str:
    """An activation's marker. See `color`."""
    if factor != "activation":
        return "o"
    own = _chosen.get(str(name))
    return MARKERS.get(str(name)) or (own and own.marker) or OWN_MARKERS[_number_of(name) % len(OWN_MARKERS)]


def _number_of(name: object) -> int:
    return zlib.crc32(str(name).encode())


def styled(plot: Callable[P, T]) -> Callable[P, T]:
    """Run a plot function with the study's style, without changing the caller's matplotlib settings."""

    @functools.wraps(plot)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib as mpl

        with mpl.rc_context():
            # Start from the defaults, not the user's matplotlibrc: the same table gives the same picture everywhere.
            mpl.rcdefaults()
            style = STYLE if paper_width() is None else PAPER_STYLE
            mpl.rcParams.update(style)  # type: ignore[arg-type]  # its stub wants the keys as literals
            return plot(*args, **kwargs)

    return run


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (size in inches) with a layout that leaves room for every label; not registered with pyplot.

    For a paper, its width is that of `for_paper`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(paper_width() or width, height), layout="constrained")
    engine = figure.get_layout_engine()
    if engine is not None:
        pad = 0.08 if paper_width() is None else 0.04
        engine.set(w_pad=pad, h_pad=0.06)  # type: ignore[call-arg]
    return figure


def empty_figure(why: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = new_figure(6, 1.2)
    figure.text(0.5, 0.5, why, ha="center", va="center", color=INK)
    return figure


def wide_range(values: Any, factor: float = 20) -> bool:
    """Whether positive values span more than a factor; a logarithmic axis then shows more than a linear one."""
    import numpy as np

    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    return len(finite) > 0 and finite.min() > 0 and finite.max() / finite.min() > factor


def round_ticks(axis: Axis, most: int, integer: bool = False) -> None:
    """At most this many ticks, at multiples of 1, 2, 2.5 or 5."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, integer=integer, steps=[1, 2, 2.5, 5, 10]))


def log_ticks(axis: Axis, values: Any) -> None:
    """Ticks of a logarithmic axis: 1, 2 and 5 for about one decade, 1 and 3 for a few, powers of ten for more."""
    import numpy as np
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    decades = np.log10(finite.max() / finite.min()) if len(finite) and finite.min() > 0 else 1
    subs = (1, 2, 5) if decades < 1.2 else (1, 3) if decades < 2.5 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if 1e-3 <= value < 1e5 else f"{value:.0e}"))
    axis.set_minor_formatter(NullFormatter())


def legend_of(figure: Figure, axes: Axes, columns: int = 6) -> None:
    """One legend for the whole figure, below it, from the labels of one of its axes."""
    handles, labels = axes.get_legend_handles_labels()
    seen = dict(zip(labels, handles, strict=True))
    if len(seen) < 2:
        return
    columns = min(columns, len(seen))
    width = paper_width()
    if width is not None:
        entry = 0.55 + 0.065 * max(map(len, seen))  # inches: the marker, and its longest text
        columns = max(1, min(columns, int(width / entry)))
        figure.set_figheight(figure.get_figheight() + 0.16 * (math.ceil(len(seen) / columns) - 1))
    figure.legend(seen.values(), seen.keys(), loc="outside lower center", ncols=columns)


def fit_texts(figure: Figure) -> None:
    """Gives the texts of a paper's figure their sizes, and breaks titles and labels that are longer than their place."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_fontsize(min(LARGEST, max(SMALLEST, float(text.get_fontsize()))))  # type: ignore[attr-defined]
    figure.draw_without_rendering()
    for axes in figure.axes:
        if axes.get_visible():
            place = axes.get_subplotspec()
            room, middle = axes.bbox.width, (axes.bbox.x0 + axes.bbox.x1) / 2
            if place is not None and place.get_gridspec().ncols == 1:
                room = 1.96 * min(middle, figure.bbox.width - middle)
            _break(axes.title, room)
            _break(axes.xaxis.label, room)
            _break(axes.yaxis.label, axes.bbox.height, upright=True)
    for text in figure.texts:
        _break(text, 0.98 * figure.bbox.width)


def _break(text: Text, room: float, *, upright: bool = False) -> None:
    """Breaks a text into lines that fit into a room of so many pixels. upright: it is read from below."""
    words = " ".join(text.get_text().split())
    if not words:
        return
    box = text.get_window_extent()
    length = box.height if upright else box.width
    if length > room:
        longest = max(map(len, text.get_text().split("\n")))
        whole = words.replace(" = ", "\xa0=\xa0")  # K = 16 stays in one line
        text.set_text(fill(whole, max(8, int(longest * room / length)), break_long_words=False).replace("\xa0", " "))


def hover(points: Artist, words: Sequence[str]) -> None:
    """Hover text for each point or line of a collection (see `svg.with_titles`)."""
    points.set_urls(list(words))  # type: ignore[attr-defined]  # of every collection


def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as PNG on white, without a date or version in it."""
    return _save(figure, "png", dpi=dpi, facecolor="white", metadata={"Software": None})


def to_pdf(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as PDF, with text as text, without a date or version in it. dpi: for parts drawn as pixels."""
    return _save(figure, "pdf", dpi=dpi, metadata={"CreationDate": None, "Creator": None, "Producer": None})


def to_bytes(figure: Figure, kind: str, dpi: int = DPI) -> bytes:
    """The figure as a file of this kind, png or pdf."""
    return {"png": to_png, "pdf": to_pdf}[kind](figure, dpi)


def to_svg(figure: Figure) -> str:
    """The figure as SVG on a transparent background, without a date or version in it; points have hover text."""
    options = {"Date": None, "Creator": None, "Format": None, "Type": None}
    return with_titles(_save(figure, "svg", metadata=options).decode())


@styled
def _save(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()
