"""Measures what a pack costs, from a few of its batches. Knows no Ray."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from infomax_tune.science.data import Dataset
from infomax_tune.science.training import packs_agree, train
from infomax_tune.study.config import TrialConfig

_FEW, _MORE = 2, 26
"""Batches in the two measurements whose difference gives the time of a batch."""
_ENOUGH_S = 0.2


@dataclass(frozen=True)
class Cost:
    """What a pack costs. setup_s: once; epoch_s: an epoch of all its trials; evaluate_s, probe_s: for one of its trials.

    trials: how many it has. memory: bytes that its process holds.
    """

    trials: int
    setup_s: float
    epoch_s: float
    evaluate_s: float
    probe_s: float
    memory: int


def measure(pack: Sequence[TrialConfig], dataset: Dataset, *, device: str = "cpu") -> Cost:
    """Trains a few batches of a pack, until their time is measured well enough, and evaluates one of its trials."""
    begun = time.perf_counter()
    stacked = device != "cpu" or packs_agree(pack, dataset)
    report = next(train(pack, dataset, device=device, stacked=stacked))
    setup_s = time.perf_counter() - begun
    evaluate_s = min(_seconds(lambda: report.evaluate(0)) for _ in range(2))
    probe_s = _seconds(lambda: report.probe(0)) if pack[0].logging.probe else 0.0
    rows, batch = len(dataset.train), pack[0].data.batch_size
    batches = 1 if batch == -1 else math.ceil(rows / batch)

    def epoch_s(few: int) -> float:
        reports = train(_endless(pack), dataset, device=device, stacked=stacked, batches=few)
        next(reports)
        next(reports)  # the first epoch allocates memory, and takes longer
        seconds: list[float] = []
        while sum(seconds) < _ENOUGH_S:
            seconds.append(_seconds(lambda: next(reports)))
        return statistics.median(seconds)

    if pack[0].training.epochs == 0:
        whole_s = 0.0
    elif batches <= _MORE:
        whole_s = epoch_s(batches)
    else:
        few_s, more_s = epoch_s(_FEW), epoch_s(_MORE)
        whole_s = few_s + (batches - _FEW) * max(0.0, more_s - few_s) / (_MORE - _FEW)
    return Cost(len(pack), setup_s, whole_s, evaluate_s, probe_s, resident_memory())


def resident_memory() -> int:
    """Bytes of memory that this process occupies."""
    return psutil.Process().memory_info().rss


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _endless(pack: Sequence[TrialConfig]) -> list[TrialConfig]:
    """The pack with more epochs than a measurement takes."""
    return [config.with_epochs(10**9) for config in pack]
