"""Estimates what a sweep would take: measures a few batches of its packs on Ray, and schedules all packs by those times."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from infomax_tune.errors import ResourceError
from infomax_tune.on_ray.cluster import cluster
from infomax_tune.on_ray.sweep import fit_to_folder, load_datasets
from infomax_tune.packs.mixing import refuse_to_mix
from infomax_tune.packs.packing import pack_trials
from infomax_tune.packs.pilot import Cost, measure, resident_memory
from infomax_tune.science.data import Dataset
from infomax_tune.science.training import why_not_compiled
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.cost import epoch_cost
from infomax_tune.study.datasets import shape_of
from infomax_tune.study.options import Options
from infomax_tune.study.pack import Pack
from infomax_tune.study.space import SearchSpace

_PILOTS = 24
"""The most kinds of packs to measure; other kinds get the cost of the nearest one."""


class _Kind(NamedTuple):
    """What a pack's step time depends on."""

    dataset: str
    hidden_dim: int
    batch_size: int
    objective: str
    optimizer: str
    head: str
    activation: str
    terms: tuple[str, ...]

    @property
    def epoch_cost(self) -> float:
        return epoch_cost(self.dataset, self.hidden_dim)


@dataclass(frozen=True)
class _Pilots:
    """What the pilots measured: the cost of a pack of each kind. first_began: when the first pilot began."""

    costs: dict[_Kind, Cost]
    first_began: float


@dataclass(frozen=True)
class Estimate:
    """What a sweep would take. ended: trials that have a record; at_once: packs trained at a time.

    seconds: from start to tables; cpu_hours: of the cores it occupies; memory: bytes of all its processes; disk: bytes
    that its trials leave. pilot_s: the seconds that the estimate itself took. by_torch: how many trials torch trains on a
    CPU, and not the compiled loops, by the reason why.
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
    by_torch: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        first = f"{_count(self.trials, 'trial')} in {_count(self.cells, 'cell')}; {self.ended} done"
        if self.ended == self.trials:
            return [f"{first}: nothing to train"]
        return [
            f"{first}, {self.trials - self.ended} to train in {_count(self.packs, 'pack')}, {self.at_once} at a time",
            f"time       {_duration(self.seconds)}",
            f"CPU-hours  {self.cpu_hours:.2g}",
            f"memory     {self.memory / 2**30:.1f} GiB",
            f"disk       {_size(self.disk)}",
            *(
                f"torch      trains {_count(count, 'trial')}, several times slower than the compiled loops: {why}"
                for why, count in self.by_torch.items()
            ),
            f"(estimated from a {self.pilot_s:.0f} s pilot; nothing was written)",
        ]


def estimate(
    space: SearchSpace,
    folder: SweepFolder,
    options: Options,
    *,
    report_s: float = 0.0,
    say: Callable[[str], None] = lambda phase: None,
) -> Estimate:
    """Starts or joins Ray as a sweep does, measures a few batches of each kind of pack, and calculates the rest.

    report_s: seconds that the report will take. say: called with each phase as it starts. Raises what the sweep would
    raise before it starts: ConfigError, DataError, ResourceError, StoreError, or EnvironmentDriftError if it would mix
    arithmetics.
    """
    folder.refuse_strangers()
    space = fit_to_folder(space, folder, options)
    plan = space.plan()
    missing = [config for config in plan if not folder.trial(config.trial_id).has_record()]
    if not missing:
        return Estimate(trials=len(plan), ended=len(plan), cells=len(plan.cells), packs=0, at_once=0)
    begun = time.perf_counter()
    say("starting Ray")
    with cluster(options, Path(os.devnull), trials=len(missing)) as slots:
        say("loading the data")
        datasets = load_datasets(missing, options)
        refuse_to_mix(folder.kept(), datasets, mix_arithmetic=options.mix_arithmetic, environments=folder.environments)
        at_once = min(slots, options.max_concurrent or slots)
        packs = pack_trials(missing, at_once, options.pack_size)
        at_once = min(at_once, len(packs))
        kinds: dict[_Kind, Pack] = {}
        for pack in packs:
            kinds.setdefault(_kind(pack.config), pack)
        pilots = _measure(_choose(kinds), datasets, options, at_once, say)
        say("stopping Ray")
        ending = time.perf_counter()
    ended = time.perf_counter()  # Ray has been shut down
    seconds = [_pack_s(pack, _cost(pack.config, pilots.costs)) for pack in packs]
    by_torch: Counter[str] = Counter()
    if options.device_or_default == "cpu":
        reasons = {kind: why_not_compiled(pack.config, datasets[kind.dataset]) for kind, pack in kinds.items()}
        for pack in packs:
            by_torch[reasons[_kind(pack.config)]] += len(pack)
        del by_torch[""]
    shared = sum(array.nbytes for dataset in datasets.values() for array in (dataset.train, dataset.test))
    return Estimate(
        trials=len(plan),
        ended=len(plan) - len(missing),
        cells=len(plan.cells),
        packs=len(packs),
        at_once=at_once,
        seconds=(pilots.first_began - begun) + _makespan(seconds, at_once) + (ended - ending) + report_s,
        cpu_hours=sum(seconds) * options.cpus_per_pack / 3600,
        memory=resident_memory() + shared + at_once * max(cost.memory for cost in pilots.costs.values()),
        disk=sum(map(_disk, missing)),
        pilot_s=ended - begun,
        by_torch=dict(sorted(by_torch.items())),
    )


def _kind(config: TrialConfig) -> _Kind:
    return _Kind(
        config.data.dataset,
        config.model.hidden_dim,
        config.data.batch_size,
        config.loss.objective,
        config.training.optimizer,
        config.model.head,
        config.model.activation,
        (config.loss.term, *(name for name, weight in config.weights().items() if weight)),
    )


def _choose(kinds: Mapping[_Kind, Pack]) -> dict[_Kind, Pack]:
    """At most `_PILOTS` kinds, with each width of each dataset about equally often."""
    by_width: dict[tuple[str, int], list[_Kind]] = {}
    for kind in kinds:
        by_width.setdefault((kind.dataset, kind.hidden_dim), []).append(kind)
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*by_width.values()))
    chosen = itertools.islice((kind for kind in rounds if kind is not None), _PILOTS)
    return {kind: kinds[kind] for kind in chosen}


def _measure(
    packs: Mapping[_Kind, Pack],
    datasets: Mapping[str, Dataset],
    options: Options,
    at_once: int,
    say: Callable[[str], None] = lambda phase: None,
) -> _Pilots:
    """The cost of each pack, measured while as many others train as in a sweep."""
    stored = {name: ray.put(dataset) for name, dataset in datasets.items()}
    pilot = ray.remote(num_cpus=options.cpus_per_pack, num_gpus=options.gpus_per_pack)(_pilot)
    waiting = list(packs.items())
    running: dict[Any, _Kind] = {}
    costs: dict[_Kind, Cost] = {}
    first_began = math.inf
    while waiting or running:
        while waiting and len(running) < at_once:
            kind, pack = waiting.pop(0)
            dataset = stored[kind.dataset]
            running[pilot.remote(pack.to_json(), dataset, options.device_or_default, options.threads)] = kind
        say(f"pilot {len(costs) + 1} of {len(packs)}")
        (done,), _ = ray.wait(list(running))
        try:
            cost, took_s = ray.get(done)
        except RayError as error:  # such as a layer too wide for the memory
            kind = running[done]
            reason = next(iter(str(getattr(error, "cause", None) or error).strip().splitlines()), type(error).__name__)
            raise ResourceError(
                f"could not train a few batches of {kind.activation} with {kind.hidden_dim} units on {kind.dataset}: {reason}"
            ) from None
        first_began = min(first_began, time.perf_counter() - took_s)
        costs[running.pop(done)] = cost
    return _Pilots(costs, first_began)


def _pilot(pack: str, dataset: Dataset, device: str, threads: int) -> tuple[Cost, float]:
    """The cost of a pack, and the seconds that it took to measure, in one of Ray's processes."""
    import torch

    begun = time.perf_counter()
    torch.set_num_threads(threads)
    return measure(Pack.from_json(pack), dataset, device=device), time.perf_counter() - begun


def _cost(config: TrialConfig, costs: Mapping[_Kind, Cost]) -> Cost:
    """The measured cost, or that of the nearest kind: of the same width if there is one, else scaled to this width."""
    kind = _kind(config)
    if kind in costs:
        return costs[kind]

    def distance(other: _Kind) -> tuple[float, bool]:
        differs_in_more_than_activation = other._replace(activation=kind.activation) != kind
        return abs(math.log(other.epoch_cost / kind.epoch_cost)), differs_in_more_than_activation

    nearest = min(costs, key=distance)
    scale = kind.epoch_cost / nearest.epoch_cost
    return dataclasses.replace(costs[nearest], epoch_s=costs[nearest].epoch_s * scale)


def _pack_s(pack: Pack, cost: Cost) -> float:
    """Seconds from the start of a pack to its end."""
    epochs = pack.config.training.epochs
    each = epochs * cost.epoch_s / cost.trials + _evaluations(pack.config) * cost.evaluate_s + cost.probe_s
    return cost.setup_s + len(pack) * each


def _evaluations(config: TrialConfig) -> int:
    """How often a trial is evaluated: untrained, every so many epochs, and at its end."""
    return 1 + math.ceil(config.training.epochs / config.logging.save_metrics_every)


def _makespan(seconds: Sequence[float], at_once: int) -> float:
    """Seconds until the last pack ends, if each starts as soon as a slot is free."""
    slots = [0.0] * at_once
    for pack_s in seconds:
        heapq.heappush(slots, heapq.heappop(slots) + pack_s)
    return max(slots)


def _disk(config: TrialConfig) -> int:
    """Bytes that a trial leaves: its weights, its history, its share of the tables, its record, its TensorBoard run."""
    shape, rows = shape_of(config.data.dataset), config.training.epochs + 1
    weights = 4 * config.model.hidden_dim * (shape.inputs + 1) if config.logging.save_weights else 0
    numbers = rows * (len(columns.TERMS) + 1) + _evaluations(config) * len(columns.METRICS)
    run = _RUN_BYTES + _RUN_EPOCH_BYTES * rows + _PICTURE_SHARE * weights
    return int(weights + _BYTES_A_NUMBER * numbers + _RECORD_BYTES + run)


# bytes, measured on finished sweeps
_BYTES_A_NUMBER = 28
"""Per number of the history: 20 in history.csv, 8 in history.parquet."""
_RECORD_BYTES = 2500
"""A record and its rows in the tables."""
_RUN_BYTES, _RUN_EPOCH_BYTES = 2900, 100
"""An event file without its epochs, and each of its epochs."""
_PICTURE_SHARE = 0.22
"""The bytes of a picture of the weights, as a share of the bytes of the weights."""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _size(count: int) -> str:
    mebibytes = count / 2**20
    if mebibytes < 32:
        return f"{max(0.1, mebibytes):.2g} MiB"
    if mebibytes < 1024:
        return f"{mebibytes:.0f} MiB"
    return f"{mebibytes / 1024:.1f} GiB"
