"""Estimates what a sweep would take: times one pack of each kind on Ray, and calculates the others from it.

A pack takes epochs, evaluations and an end for each of its trials. Each costs a trial the same in all packs of a kind.
"""

from __future__ import annotations

import heapq
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from infomax_tune.errors import ResourceError
from infomax_tune.follow.listing import size
from infomax_tune.on_ray.cluster import cluster
from infomax_tune.on_ray.sweep import fit_to_folder, load_datasets
from infomax_tune.packs.mixing import refuse_to_mix
from infomax_tune.packs.packing import pack_trials
from infomax_tune.packs.pilot import Cost, measure, resident_memory
from infomax_tune.science.data import Dataset
from infomax_tune.science.training import why_not_compiled
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.datasets import shape_of
from infomax_tune.study.options import Options
from infomax_tune.study.pack import Pack
from infomax_tune.study.space import SearchSpace

_Kind = tuple[Any, ...]
"""What sets the costs of a trial. Its activation, its optimizer and its weights change them little, so one pilot does for all."""


@dataclass(frozen=True)
class Estimate:
    """What a sweep would take. ended: trials that have a record; at_once: packs trained at a time.

    seconds: from start to tables; cpu_hours: of the cores it occupies; memory: bytes of all its processes; disk: bytes
    that its trials leave. pilot_s: the seconds that the estimate itself took. by_torch: how many trials torch trains on a
    CPU, and not the compiled loops, by the reason why. report: whether one follows, which is not in the time.
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
    report: bool = False

    def lines(self) -> list[str]:
        first = f"{_count(self.trials, 'trial')} in {_count(self.cells, 'cell')}; {self.ended} done"
        if self.ended == self.trials:
            return [f"{first}: nothing to train"]
        return [
            f"{first}, {self.trials - self.ended} to train in {_count(self.packs, 'pack')}, {self.at_once} at a time",
            f"time       {_duration(self.seconds)}{', then the report' if self.report else ''}",
            f"CPU-hours  {self.cpu_hours:.2g}",
            f"memory     {self.memory / 2**30:.1f} GiB",
            f"disk       {size(self.disk)}",
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
    report: bool = False,
    say: Callable[[str], None] = lambda phase: None,
) -> Estimate:
    """Starts or joins Ray as a sweep does, times a pack of each kind, and calculates the rest.

    report: whether one is to be made at the end, which is not in the time. say: called with each phase as it starts. Raises
    what the sweep would raise before it starts: ConfigError, DataError, ResourceError, StoreError, or EnvironmentDriftError
    if it would mix arithmetics.
    """
    folder.refuse_strangers()
    plan = fit_to_folder(space, folder, options).plan()
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
        kinds: list[_Kind] = []
        by_torch: Counter[str] = Counter()
        for pack in packs:
            data, config = datasets[pack.config.data.dataset], pack.config
            why = why_not_compiled(config, data) if options.device_or_default == "cpu" else ""
            by_torch[why] += len(pack)
            kinds.append((config.data, config.model.hidden_dim, config.loss.objective, config.logging.probe, why))
        first = dict(zip(kinds[::-1], packs[::-1], strict=True))  # the first pack of each kind
        costs = _measure(first, datasets, options, at_once, say)
        say("stopping Ray")
    took_s = time.perf_counter() - begun
    seconds = [_pack_s(pack, costs[kind]) for kind, pack in zip(kinds, packs, strict=True)]
    around_s = took_s - sum(cost.pilot_s for cost in costs.values())  # a sweep starts and stops Ray too
    shared = sum(array.nbytes for dataset in datasets.values() for array in (dataset.train, dataset.test))
    return Estimate(
        trials=len(plan),
        ended=len(plan) - len(missing),
        cells=len(plan.cells),
        packs=len(packs),
        at_once=at_once,
        seconds=around_s + _makespan(seconds, at_once),
        cpu_hours=sum(seconds) * options.cpus_per_pack / 3600,
        memory=resident_memory() + shared + at_once * max(cost.memory for cost in costs.values()),
        disk=sum(map(_disk, missing)),
        report=report,
        pilot_s=took_s,
        by_torch={why: count for why, count in sorted(by_torch.items()) if why},
    )


def _measure(
    packs: Mapping[_Kind, Pack],
    datasets: Mapping[str, Dataset],
    options: Options,
    at_once: int,
    say: Callable[[str], None],
) -> dict[_Kind, Cost]:
    """What each pack costs while every slot trains it: in a sweep too, slots share caches and memory. The slots' median."""
    stored = {name: ray.put(dataset) for name, dataset in datasets.items()}
    pilot = ray.remote(num_cpus=options.cpus_per_pack, num_gpus=options.gpus_per_pack)(measure)
    costs: dict[_Kind, Cost] = {}
    for kind, pack in packs.items():
        say(f"pilot {len(costs) + 1} of {len(packs)}")
        name, model = pack.config.data.dataset, pack.config.model
        given = (pack.to_json(), stored[name], options.device_or_default, options.threads)
        try:
            found: list[Cost] = ray.get([pilot.remote(*given) for _ in range(at_once)])
        except RayError as error:  # such as a layer too wide for the memory
            reason = next(iter(str(getattr(error, "cause", None) or error).strip().splitlines()), type(error).__name__)
            raise ResourceError(
                f"could not train a few batches of {model.activation} with {model.hidden_dim} units on {name}: {reason}"
            ) from None
        costs[kind] = sorted(found, key=lambda cost: cost.epoch_s)[at_once // 2]
    return costs


def _pack_s(pack: Pack, cost: Cost) -> float:
    """Seconds from the start of a pack to its end."""
    epochs = pack.config.training.epochs
    return len(pack) * (epochs * cost.epoch_s + _evaluations(pack.config) * cost.evaluate_s + cost.end_s)


def _evaluations(config: TrialConfig) -> int:
    """How often a trial is evaluated: untrained, every so many epochs, and at its end."""
    return 1 + math.ceil(config.training.epochs / config.logging.save_metrics_every)


def _makespan(seconds: Sequence[float], at_once: int) -> float:
    """Seconds until the last pack ends, if each starts as soon as a slot is free."""
    slots = [0.0] * at_once
    for pack_s in seconds:
        heapq.heapreplace(slots, slots[0] + pack_s)
    return max(slots)


def _disk(config: TrialConfig) -> int:
    """Bytes that a trial leaves, by what finished sweeps left: a record with its TensorBoard run, a row of the history
    for each epoch, the metrics of each evaluation, the weights and a picture of them."""
    weights = 4 * config.model.hidden_dim * (shape_of(config.data.dataset).inputs + 1) * config.logging.save_weights
    return int(5400 + 240 * (config.training.epochs + 1) + 252 * _evaluations(config) + 1.22 * weights)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
