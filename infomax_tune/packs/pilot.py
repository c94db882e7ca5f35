"""Measures what a pack costs, from a few of its batches. Knows no Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from infomax_tune.science.data import Dataset
from infomax_tune.science.training import packs_agree, train
from infomax_tune.study.pack import Pack

_ENOUGH_S = 0.5
"""Seconds of training from which the time of an epoch is calculated."""


@dataclass(frozen=True)
class Cost:
    """What each trial of a pack costs: seconds of an epoch, of an evaluation, and of what is measured only at the end.

    memory: bytes that the pack's process holds. pilot_s: seconds that these measurements took.
    """

    epoch_s: float
    evaluate_s: float
    end_s: float
    memory: int
    pilot_s: float


def measure(text: str, dataset: Dataset, device: str, threads: int) -> Cost:
    """Evaluates one trial of a pack, then trains them all on four times as many batches until that takes long enough.

    text: the pack, as `Pack.to_json` gives it. threads: torch's, set for the process.
    """
    torch.set_num_threads(threads)
    pack = Pack.from_json(text)
    stacked = device != "cpu" or packs_agree(pack, dataset)
    report = next(train(pack, dataset, device=device, stacked=stacked))
    report.evaluate(0)  # a process loads libraries at its first evaluation
    begun = time.perf_counter()
    evaluate_s = _seconds(lambda: report.evaluate(0))
    end_s = _seconds(lambda: report.measure_at_the_end(0))
    in_an_epoch = (
        1 if pack.config.data.batch_size == -1 else math.ceil(len(dataset.train) / pack.config.data.batch_size)
    )
    wanted, trained, train_s = 1, 1, 0.0
    while train_s < _ENOUGH_S:
        wanted *= 4
        epochs, batches = max(1, wanted // in_an_epoch), min(wanted, in_an_epoch)
        trials = [config.with_epochs(epochs) for config in pack]
        reports = train(trials, dataset, device=device, stacked=stacked, batches=batches)
        next(reports)  # before any training
        train_s, trained = _seconds(lambda reports=reports: list(reports)), epochs * batches
    epoch_s = train_s / len(pack) * in_an_epoch / trained
    return Cost(epoch_s, evaluate_s, end_s, resident_memory(), time.perf_counter() - begun)


def resident_memory() -> int:
    """Bytes of memory that this process occupies."""
    return psutil.Process().memory_info().rss


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
