"""Checks that packed training gives bit for bit the numbers of trials trained alone, on this machine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from infomax_tune.parts import catalogue
from infomax_tune.process.environment import describe
from infomax_tune.science.data import Dataset
from infomax_tune.science.training import packs_agree
from infomax_tune.study.config import choices
from infomax_tune.study.read_config import Setting, build_config


def _ours(setting: str, kind: str) -> tuple[str, ...]:
    """What the setting can be, without the parts that packages offer."""
    return tuple(name for name in choices(setting) if name not in catalogue.installed(kind))


@dataclass(frozen=True)
class Grid:
    """What is compared: every combination of these.

    widths: the study's narrowest and widest layer, and one that fills no vector register.
    """

    activations: Sequence[str] = _ours("model.activation", "activations")
    heads: Sequence[str] = _ours("model.head", "activations")
    widths: Sequence[int] = (16, 64, 5)
    batches: Sequence[int] = (128, 100)
    optimizers: Sequence[str] = _ours("training.optimizer", "optimizers")
    pack_sizes: Sequence[int] = (2, 3, 5, 10)


WHOLE = Grid()


@dataclass(frozen=True)
class SelfCheck:
    """The result of a self-check. compared: how many trials; differences: the cells whose bits depend on the pack."""

    machine: str
    compared: int
    differences: list[str]
    seconds: float


def check(grid: Grid = WHOLE, seed: int = 0) -> SelfCheck:
    """Trains an epoch of random images alone and in packs, for every activation, head, width, batch size and optimizer.

    On images most of whose pixels are zero, which compiled loops train on, and on dense ones, which torch does.
    """
    begun = time.perf_counter()
    torch.set_num_threads(1)
    differences: list[str] = []
    compared = 0
    choices = itertools.product(
        _images(seed).items(), grid.activations, grid.heads, grid.widths, grid.batches, grid.optimizers
    )
    for (data, dataset), activation, head, width, batch, optimizer in choices:
        settings = {
            "model.activation": activation,
            "model.head": head,
            "model.hidden_dim": width,
            "data.batch_size": batch,
            "training.optimizer": optimizer,
        }
        # compiled trials share nothing, so that one pack shows it; what torch stacks can depend on the size
        for size in grid.pack_sizes if data == "dense" else grid.pack_sizes[-1:]:
            pack = [
                build_config({name: Setting(value, "") for name, value in (settings | {"training.seed": seed}).items()})
                for seed in range(1, size + 1)
            ]
            compared += 2  # the first and the last trial of the pack, each with itself alone
            if not packs_agree(pack, dataset):
                differences.append(
                    f"{activation}, head {head}, {width} units, batch {batch}, {optimizer}, {data} data, packs of {size}"
                )
    machine = describe(device="cpu", threads=1)
    name = f"{machine['cpu']}, {machine['instructions']}, torch {machine['torch']}"
    return SelfCheck(name, compared, differences, time.perf_counter() - begun)


def _images(seed: int) -> dict[str, Dataset]:
    """Random images, sparse and dense."""
    generator = np.random.default_rng(seed)
    dense = generator.random((352, 784), dtype=np.float32)
    sparse = (np.rint(dense * 255) / 255 * (generator.random(dense.shape) < 0.2)).astype(np.float32)
    labels = np.zeros(352, dtype=np.int64)
    return {
        name: Dataset("random", x, x[:16], labels, labels[:16]) for name, x in (("sparse", sparse), ("dense", dense))
    }
