"""weight_picture.py: the learned weights as an image, read back pixel by pixel."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from infomax_tune.follow.weight_picture import tiles


@pytest.mark.parametrize(
    ("k", "d", "shape"), [(64, 784, (231, 231)), (32, 784, (173, 173)), (3, 64, (17, 17)), (1000, 16, (79, 79))]
)
def test_each_tile_is_a_units_weights_red_where_positive_and_blue_where_negative(
    k: int, d: int, shape: tuple[int, int]
) -> None:
    weight = np.random.default_rng(0).normal(size=(k, d)).astype(np.float32)
    picture = tiles(weight)
    assert picture is not None
    image = Image.open(io.BytesIO(picture.png))
    assert (image.height, image.width) == (picture.height, picture.width) == shape
    pixels = np.asarray(image.convert("RGB")).astype(int)
    side = math.isqrt(d)
    across = (shape[1] + 1) // (side + 1)
    shown = weight[:256]
    for i, unit in enumerate(shown):
        top, left = (i // across) * (side + 1), (i % across) * (side + 1)
        tile = pixels[top : top + side, left : left + side].reshape(d, 3)
        strong = np.abs(unit) > np.abs(shown).max() / 10
        assert (np.sign(tile[:, 0] - tile[:, 2]) == np.sign(unit))[strong].all()
        assert (tile[~strong].min(axis=1) > 200).all()  # near white
    # the line below the first tile
    assert (pixels[side, :side] == 128).all()


@pytest.mark.parametrize("weight", [np.ones((16, 2), np.float32), np.full((4, 64), np.nan, np.float32)])
def test_what_is_no_image_is_not_drawn(weight: np.ndarray) -> None:
    assert tiles(weight) is None


def test_weights_that_are_all_zero_are_drawn_white() -> None:
    picture = tiles(np.zeros((1, 16), np.float32))
    assert picture is not None
    assert (np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")) == 0xF7).all()
