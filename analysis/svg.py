"""Makes matplotlib's SVG part of a page: the page's colors, unique ids, alt text, hover text.

Imports nothing of ours.
"""

from __future__ import annotations

import re
from html import escape

THEME = {"#1a1d21": "currentColor", "#59606b": "var(--muted)", "#dde0e5": "var(--grid)", "#fffffe": "var(--paper)"}
"""The roles of analysis.style (ink, muted, grid, paper) as CSS."""


def with_titles(svg: str) -> str:
    """Turns the texts that a plot gave its points (matplotlib's `urls`) into hover text."""
    svg = re.sub(r'<a xlink:href="([^"]*)"[^>]*>', r"<g><title>\1</title>", svg)
    return svg.replace("</a>", "</g>")


def inline(svg: str, name: str, alt: str) -> str:
    """An `<svg>` element for an HTML page.

    Ids get the figure's name as a prefix, because all figures share one page. Role colors become the page's. Styles become
    attributes, because the page's policy forbids inline styles. Coordinates are rounded to hundredths of a point, finer than
    any screen, which halves the file.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<!--.*?-->|<style type=\"text/css\">.*?</style>", "", body, flags=re.DOTALL
    )
    own = _own(name)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}-", body)
    # An image's id is a hash of its content, so two equal color bars share it; nothing refers to it.
    body = re.sub(r'(<image\b[^>]*?) id="[^"]*"', r"\1", body)
    body = re.sub(r' style="([^"]*)"', _attributes, body)
    for role, css in THEME.items():
        body = body.replace(role, css)
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"-?\d+\.\d{3,}", _round, path[0]), body)
    # Without its own size the picture takes the column's width; the view box keeps its aspect ratio.
    head, rest = body.split(">", 1)
    head = re.sub(r' (width|height|version|xmlns)="[^"]*"', "", head)
    # These were in matplotlib's style sheet, which was removed.
    lines = 'stroke-linejoin="round" stroke-linecap="butt"'
    head = head.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}" {lines}', 1)
    return re.sub(r"\n\s*", "\n", f"{head}>{rest}").strip()


def _own(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name)


def _attributes(style: re.Match[str]) -> str:
    """A style's properties as attributes; the page's style sheet says how images are scaled."""
    pairs = [item.split(":", 1) for item in style[1].split(";") if ":" in item]
    return "".join(f' {key.strip()}="{value.strip()}"' for key, value in pairs if key.strip() != "image-rendering")


def _round(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
