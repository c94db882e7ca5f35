"""synthetic_2d: 10,000 points in 8 round clusters on a circle; the first 80% are for training."""

from __future__ import annotations

import math
from pathlib import Path

from infomax_tune.parts.datasets import DATA_SEED, Arrays, Clusters, DataSource, Shape
from infomax_tune.parts.datasets._libraries import made_by

RADIUS, SD = 2.0, 0.3
CENTERS = tuple((RADIUS * math.cos(k * math.pi / 4), RADIUS * math.sin(k * math.pi / 4)) for k in range(8))


def load(data_dir: Path | None) -> Arrays:
    import numpy as np

    generator = np.random.default_rng(DATA_SEED)
    labels = generator.integers(8, size=10_000)
    points = (np.array(CENTERS)[labels] + generator.normal(scale=SD, size=(10_000, 2))).astype(np.float32)
    return Arrays(points[:8000], points[8000:], labels[:8000], labels[8000:])


synthetic_2d = DataSource(
    Shape(8000, 2000, 2), 8, load, "886a4579450c923d", made_by("numpy"), Clusters(CENTERS, SD), place=5,
    explanation="points in 8 round clusters, two inputs",
)  # fmt: skip
