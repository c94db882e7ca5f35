"""Finds the panels of a figure; the page stacks them on a narrow screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.svg import Part

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    Uses = list[tuple[str, float, float]]

PAD = 3.0
"""Points around each part."""


def parts_of(figure: Figure) -> list[Part]:
    """Each panel of a laid-out figure, then the label below all panels, then the entries of its legend.

    A panel without its own labels or title borrows them: the y axis from its row, the x axis and the title from its column.
    Gives the pieces the ids that they will have in the SVG. Returns nothing for a single panel.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    panels = [axes for axes in figure.axes if axes.get_visible()]
    if len(panels) < 2:
        return []
    renderer = FigureCanvasAgg(figure).get_renderer()
    points = 72 / figure.dpi
    height = figure.bbox.height

    def cut(boxes: list[Bbox]) -> tuple[float, float, float, float]:
        """Left, top, width and height in points of the area around these boxes (pixels from the lower left)."""
        left, right = min(box.x0 for box in boxes), max(box.x1 for box in boxes)
        low, high = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
        return (
            left * points - PAD,
            (height - high) * points - PAD,
            (right - left) * points + 2 * PAD,
            (high - low) * points + 2 * PAD,
        )

    for i, axes in enumerate(figure.axes):
        for part, artist in (("panel", axes), ("x", axes.xaxis), ("y", axes.yaxis), ("title", axes.title)):
            artist.set_gid(f"{part}{i}")
    found = []
    for axes in panels:
        uses: Uses = [(str(axes.get_gid()), 0.0, 0.0)]
        boxes = [axes.get_tightbbox(renderer)]
        for artist, lender in _borrowed(axes, panels):
            dx, dy = axes.bbox.x0 - lender.bbox.x0, axes.bbox.y0 - lender.bbox.y0
            uses.append((str(artist.get_gid()), dx * points, -dy * points))
            box = artist.get_tightbbox(renderer)
            if box is not None:
                boxes.append(box.translated(dx, dy))
        found.append(Part(tuple(uses), cut([box for box in boxes if box is not None])))
    for i, text in enumerate(figure.texts):
        text.set_gid(f"text{i}")
        found.append(Part(((f"text{i}", 0.0, 0.0),), cut([text.get_window_extent(renderer)]), small=True))
    for i, legend in enumerate(figure.legends):
        legend.set_gid(f"legend{i}")
        for text in legend.get_texts():
            box = text.get_window_extent(renderer)
            # not asked of the marker, which does not know its own place
            marker = (legend.handlelength + legend.handletextpad) * float(text.get_fontsize()) / points
            entry = Bbox.from_extents(box.x0 - marker, box.y0, box.x1, box.y1)
            found.append(Part(((f"legend{i}", 0.0, 0.0),), cut([entry]), small=True))
    return found


def _borrowed(axes: Axes, panels: list[Axes]) -> list[tuple[Artist, Axes]]:
    """The axis labels and the title that this panel lacks, each with the panel that has it."""
    row = [other for other in panels if abs(other.bbox.y0 - axes.bbox.y0) < 1 and other.bbox.x0 < axes.bbox.x0]
    column = [other for other in panels if abs(other.bbox.x0 - axes.bbox.x0) < 1]
    below = [other for other in column if other.bbox.y0 < axes.bbox.y0]
    above = [other for other in column if other.bbox.y0 > axes.bbox.y0]
    found: list[tuple[Artist, Axes]] = []
    for lenders, which in ((row, "yaxis"), (below, "xaxis")):
        if not _labelled(getattr(axes, which)):
            having = [other for other in lenders if _labelled(getattr(other, which))]
            if having:
                nearest = min(
                    having, key=lambda other: abs(other.bbox.x0 - axes.bbox.x0 + other.bbox.y0 - axes.bbox.y0)
                )
                found.append((getattr(nearest, which), nearest))
    if not axes.get_title() and above:
        titled = [other for other in above if other.get_title()]
        if titled:
            found.append((titled[-1].title, titled[-1]))
    return found


def _labelled(axis: Axis) -> bool:
    return any(tick.label1.get_visible() and tick.label1.get_text() for tick in axis.get_major_ticks())
