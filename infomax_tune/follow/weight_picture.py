"""Learned weights as one small picture, in the colors of the report, without matplotlib."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOST_TILES = 256
"""The most units to draw: TensorBoard's checksum is slow, and nobody looks at more."""
_GRAY = 255
_BLUE_TO_RED = bytes.fromhex("053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f")
"""ColorBrewer's RdBu, which the report also uses for weights."""


@dataclass(frozen=True)
class Picture:
    """A picture as a PNG file's bytes, and its size in pixels."""

    png: bytes
    height: int
    width: int


def tiles(weight: NDArray[np.float32]) -> Picture | None:
    """The units' weights as one picture, red positive and blue negative.

    weight: (K, D). Each unit is a tile of sqrt(D) x sqrt(D) pixels. All share one scale, symmetric about 0.
    None if the inputs are not a square image of at least 4 x 4, or a weight is not finite.
    """
    k, d = weight.shape
    side = math.isqrt(d)
    if d < 16 or side * side != d or not np.isfinite(weight).all():
        return None
    from PIL import Image  # a trial needs it once, at its end

    drawn = min(k, _MOST_TILES)
    across = math.ceil(math.sqrt(drawn))
    down = math.ceil(drawn / across)
    shown = weight[:drawn].astype(np.float64)
    shade = shown / (np.abs(shown).max() or 1.0)
    page = np.full((down * across, side + 1, side + 1), _GRAY, np.uint8)  # a line below each tile and to its right
    page[:drawn, :side, :side] = np.rint((1 + shade) * (_GRAY // 2)).reshape(drawn, side, side)
    rows = page.reshape(down, across, side + 1, side + 1).transpose(0, 2, 1, 3)
    pixels = rows.reshape(down * (side + 1), across * (side + 1))[:-1, :-1]

    anchors = np.frombuffer(_BLUE_TO_RED, np.uint8).reshape(-1, 3)
    places = np.linspace(0, len(anchors) - 1, _GRAY)
    colors = np.stack([np.interp(places, range(len(anchors)), channel) for channel in anchors.T], axis=1)
    picture = Image.fromarray(pixels)
    picture.putpalette([*np.rint(colors).astype(np.uint8).tobytes(), 128, 128, 128])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    height, width = pixels.shape
    return Picture(buffer.getvalue(), height, width)
