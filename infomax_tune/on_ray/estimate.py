"""What a sweep would take: a pilot of a few batches on every slot, as Ray would run it, and the packs laid out by its times."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from infomax_tune.on_ray.cluster import cluster
from infomax_tune.on_ray.sweep import check
from infomax_tune.packs.packing import as_pack, from_pack, plan
from infomax_tune.packs.pilot import Cost, measure
from infomax_tune.science import data
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.cost import epoch_cost
from infomax_tune.study.options import Options
from infomax_tune.study.space import SearchSpace

_PILOTS = 24
"""Kinds of packs that are measured, at most; the cost of another is taken from the nearest."""

_Kind = tuple[Any, ...]


@dataclass(frozen=True)
class Estimate:
    """What a sweep would take. ended: trials that have a record; at_once: packs trained at a time.

    seconds: from start to table; cpu_hours: of the cores it occupies; memory: bytes of all its processes; disk: bytes
    its trials leave. pilot_s: what the estimate itself took.
    """

    trials: int
    ended: int
    cells: int
    packs: int
    at_once: int
    seconds: float = 0.0
    cpu_hours: float = 0.0
    memory: int = 0
    disk: int = 0
    pilot_s: float = 0.0

    def lines(self) -> list[str]:
        first = f"{_count(self.trials, 'trial')} in {_count(self.cells, 'cell')}; {self.ended} done"
        if self.ended == self.trials:
            return [f"{first}: there is nothing to train"]
        return [
            f"{first}, {self.trials - self.ended} to train in {_count(self.packs, 'pack')}, {self.at_once} at a time",
            f"time       {_duration(self.seconds)}",
            f"CPU-hours  {self.cpu_hours:.2g}",
            f"memory     {self.memory / 2**30:.1f} GiB",
            f"disk       {_size(self.disk)}",
            f"(estimated from a pilot of {self.pilot_s:.0f} s; nothing was written)",
        ]


def estimate(space: SearchSpace, store: SweepFolder, options: Options) -> Estimate:
    """Starts or joins Ray as a sweep does, measures a few batches of each kind of pack, and lays out the rest.

    Raises what the sweep would raise before it begins: ConfigError, DataError, ResourceError, StoreError.
    """
    store.refuse_strangers()
    check(space, store)
    trials = space.trials()
    cells = len({config.cell for config in trials})
    missing = [config for config in trials if not store.trial(config.trial_id).has_record()]
    if not missing:
        return Estimate(len(trials), len(trials), cells, 0, 0)
    begun = time.perf_counter()
    device = options.device or ("cuda" if options.gpus_per_pack else "cpu")
    with cluster(options, Path(os.devnull)) as slots:
        datasets = {name: data.load(name, options.data_dir) for name in sorted({c.data.dataset for c in missing})}
        packs = plan(missing, min(slots, options.max_concurrent or slots), options.pack_size)
        at_once = min(slots, options.max_concurrent or slots, len(packs))
        kinds: dict[_Kind, list[TrialConfig]] = {}
        for pack in packs:
            kinds.setdefault(_kind(pack[0]), pack)
        costs, first = _measure(_choose(kinds), datasets, options, device, at_once)
        ending = time.perf_counter()
    ended = time.perf_counter()  # Ray has been shut down
    seconds = [_pack_s(pack, _cost(pack[0], costs)) for pack in packs]
    shared = sum(array.nbytes for dataset in datasets.values() for array in (dataset.train, dataset.test))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Estimate(
        len(trials),
        len(trials) - len(missing),
        cells,
        len(packs),
        at_once,
        seconds=(first - begun) + _makespan(seconds, at_once) + (ended - ending),
        cpu_hours=sum(seconds) * options.cpus_per_pack / 3600,
        memory=own + shared + at_once * max(cost.memory for cost in costs.values()),
        disk=sum(map(_disk, missing)),
        pilot_s=ended - begun,
    )


def _kind(config: TrialConfig) -> _Kind:
    """What the time of a step depends on."""
    flat = config.flat()
    names = (
        "data.dataset",
        "model.hidden_dim",
        "data.batch_size",
        "loss.objective",
        "training.optimizer",
        "model.head",
    )
    return (*(flat[name] for name in names), config.model.activation)


def _choose(kinds: Mapping[_Kind, list[TrialConfig]]) -> dict[_Kind, list[TrialConfig]]:
    """As many kinds as a pilot may take, every width as often as another."""
    by_width: dict[_Kind, list[_Kind]] = {}
    for kind in kinds:
        by_width.setdefault(kind[:2], []).append(kind)
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*by_width.values()))
    chosen = itertools.islice((kind for kind in rounds if kind is not None), _PILOTS)
    return {kind: kinds[kind] for kind in chosen}


def _measure(
    packs: Mapping[_Kind, list[TrialConfig]],
    datasets: Mapping[str, data.Dataset],
    options: Options,
    device: str,
    at_once: int,
) -> tuple[dict[_Kind, Cost], float]:
    """The cost of each pack, measured with as many others beside it as in a sweep; and when the first pilot began."""
    stored = {name: ray.put(dataset) for name, dataset in datasets.items()}
    pilot = ray.remote(num_cpus=options.cpus_per_pack, num_gpus=options.gpus_per_pack)(_pilot)
    waiting = list(packs.items())
    running: dict[Any, _Kind] = {}
    costs: dict[_Kind, Cost] = {}
    first = math.inf
    while waiting or running:
        while waiting and len(running) < at_once:
            kind, pack = waiting.pop(0)
            dataset = stored[pack[0].data.dataset]
            running[pilot.remote(as_pack(pack), dataset, device, options.threads)] = kind
        (done,), _ = ray.wait(list(running))
        cost, took_s = ray.get(done)
        first = min(first, time.perf_counter() - took_s)
        costs[running.pop(done)] = cost
    return costs, first


def _pilot(pack: dict[str, Any], dataset: data.Dataset, device: str, threads: int) -> tuple[Cost, float]:
    import torch

    begun = time.perf_counter()
    torch.set_num_threads(threads)
    return measure(from_pack(pack), dataset, device=device), time.perf_counter() - begun


def _cost(config: TrialConfig, costs: Mapping[_Kind, Cost]) -> Cost:
    """The measured cost, or that of the kind nearest to it: of its width if there is one, else scaled to its width."""
    kind = _kind(config)
    if kind in costs:
        return costs[kind]
    own = epoch_cost(*kind[:2])
    near = min(costs, key=lambda other: (abs(math.log(epoch_cost(*other[:2]) / own)), other[:-1] != kind[:-1]))
    scale = own / epoch_cost(*near[:2])
    return dataclasses.replace(costs[near], epoch_s=costs[near].epoch_s * scale)


def _pack_s(pack: Sequence[TrialConfig], cost: Cost) -> float:
    """Seconds of a pack from its begin to its end."""
    epochs, every = pack[0].training.epochs, pack[0].logging.save_metrics_every
    evaluations = 1 + epochs // every + bool(epochs % every)
    each = epochs * cost.epoch_s / cost.trials + evaluations * cost.evaluate_s + cost.probe_s
    return cost.setup_s + len(pack) * each


def _makespan(seconds: Sequence[float], at_once: int) -> float:
    """When the last pack ends, if each begins as soon as a slot is free."""
    slots = [0.0] * at_once
    for pack_s in seconds:
        heapq.heappush(slots, heapq.heappop(slots) + pack_s)
    return max(slots)


def _disk(config: TrialConfig) -> int:
    """Bytes that a trial leaves: its weights, its history, its share of the tables, its record, its TensorBoard run."""
    shape, rows = data.SHAPES[config.data.dataset], config.training.epochs + 1
    evaluations = 1 + rows // config.logging.save_metrics_every
    weights = 4 * config.model.hidden_dim * (shape.inputs + 1) if config.logging.save_weights else 0
    numbers = rows * (len(columns.TERMS) + 1) + evaluations * len(columns.METRICS)
    run = _RUN_BYTES + _RUN_EPOCH_BYTES * rows + _PICTURE_SHARE * weights
    return int(weights + _BYTES_A_NUMBER * numbers + _RECORD_BYTES + run)


# as measured
_BYTES_A_NUMBER = 28
"""Of the history: 20 in history.csv, 8 in history.parquet."""
_RECORD_BYTES = 2500
"""A record and its rows in the tables."""
_RUN_BYTES, _RUN_EPOCH_BYTES = 2900, 100
"""An event file's settings and evaluations, and each of its epochs."""
_PICTURE_SHARE = 0.22
"""A picture of the weights, of the weights' own bytes."""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _size(count: int) -> str:
    return (
        f"{max(0.1, count / 2**20):.2g} MiB"
        if count < 2**25
        else f"{count / 2**20:.0f} MiB"
        if count < 2**30
        else f"{count / 2**30:.1f} GiB"
    )
