"""Makes matplotlib's SVG part of a page: colors of the page's theme, ids of its own, alt text. Imports nothing of ours."""

from __future__ import annotations

import re
from html import escape

THEME = {"#1a1d21": "currentColor", "#59606b": "var(--muted)", "#dde0e5": "var(--grid)", "#fffffe": "var(--paper)"}
"""The roles of analysis.style (ink, muted, grid, paper) as CSS."""


def inline(svg: str, name: str, alt: str) -> str:
    """An `<svg>` element for an HTML page.

    Ids get the figure's name in front, for all figures share one page; role colors become the page's; coordinates are
    cut to hundredths of a point, which no screen shows and which halves the file.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<!--.*?-->|<style type=\"text/css\">.*?</style>", "", body, flags=re.DOTALL
    )
    own = re.sub(r"[^\w-]", "_", name)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}-", body)
    # An image's id is a hash of its content, so two equal color bars share it; nothing refers to it.
    body = re.sub(r'(<image\b[^>]*?) id="[^"]*"', r"\1", body)
    for role, css in THEME.items():
        body = body.replace(role, css)
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"-?\d+\.\d{3,}", _round, path[0]), body)
    # Without its own size the picture takes the column's; the view box keeps its shape.
    head, rest = body.split(">", 1)
    head = re.sub(r' (width|height|version|xmlns)="[^"]*"', "", head)
    head = head.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
    return re.sub(r"\n\s*", "\n", f"{head}>{rest}").strip()


def _round(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
