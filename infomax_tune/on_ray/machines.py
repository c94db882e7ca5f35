"""Asks the machines of a cluster for their environments: trials train there, and the driver's need not be the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from infomax_tune.packs.execution import environment_here
from infomax_tune.process.environment import differences
from infomax_tune.study.options import Options

Environment = dict[str, Any]

_PATIENCE_S = 60
"""How long to wait for an answer: a machine whose GPUs are all in use gives none."""


def environments(options: Options) -> tuple[list[Environment], int]:
    """The environments that packs would train in, one for each machine that can train one, and how many did not answer.

    A sweep that starts Ray itself has one machine, this one, and need not ask.
    """
    device, threads = options.device_or_default, options.threads
    if not options.address:
        return [environment_here(device=device, threads=threads)], 0
    needs = {"CPU": options.cpus_per_pack, "GPU": options.gpus_per_pack}
    # no CPU, so that none has to be free; a GPU only if there is no telling its name without one
    ask = ray.remote(num_cpus=0, num_gpus=options.gpus_per_pack, max_retries=0)(_here)
    asked = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            device, threads
        )
        for node in ray.nodes()
        if node["Alive"] and all(node["Resources"].get(name, 0) >= amount for name, amount in needs.items())
    ]
    answered, silent = ray.wait(asked, num_returns=len(asked), timeout=_PATIENCE_S)
    for each in silent:
        ray.cancel(each)
    found = []
    lost = len(silent)
    for each in answered:
        try:
            found.append(ray.get(each))
        except RayError:  # the machine is gone, or its worker
            lost += 1
    return found, lost


def drift(used: Iterable[Environment], machines: Sequence[Environment], silent: int) -> list[str]:
    """What may change last bits, in sentences: trials were trained in another environment (`used`) than a machine has now,
    the machines differ, or some (`silent`) gave no answer."""
    drifts = {
        "trials of this sweep were trained in another environment": [
            differences(before, now) for before in used for now in machines
        ],
        "the machines of the cluster are not alike": [
            differences(machines[0], other, words="{name} is {before} and {now}") for other in machines[1:]
        ],
        "machines of the cluster gave no answer": [[f"{silent} of them"]] if silent else [],
    }
    told = {what: dict.fromkeys("; ".join(each) for each in found if each) for what, found in drifts.items()}
    return [f"{what}: {'; or '.join(found)}" for what, found in told.items() if found]


def _here(device: str, threads: int) -> dict[str, Any]:
    return environment_here(device=device, threads=threads)
