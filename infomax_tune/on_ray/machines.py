"""Asks a cluster's machines for the environment that trials will find there, and whether they see the output folder."""

from __future__ import annotations

import contextlib
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from infomax_tune.errors import ConfigError, StoreError
from infomax_tune.packs.execution import environment_here
from infomax_tune.process.environment import differences
from infomax_tune.store.files import TEMPORARY, exists, remove, write_atomically
from infomax_tune.store.objects import is_object, location
from infomax_tune.study.options import Options

Environment = dict[str, Any]

_PATIENCE_S = 60
"""Seconds to wait for an answer: a machine whose GPUs are all in use gives none."""
_LATE_S = 5
"""How many seconds a network file system may take to show a file that another machine wrote."""


@dataclass
class Answers:
    """The answers of the machines that can train a pack.

    environments: what each would train in. blind: those that cannot use the output folder, each with the reason. silent: how
    many gave no answer.
    """

    environments: list[Environment] = field(default_factory=list)
    blind: list[str] = field(default_factory=list)
    silent: int = 0


def ask(options: Options, out: Path) -> Answers:
    """Asks each machine of the cluster that can train a pack for its environment, and whether it can use the output
    folder."""
    device, threads = options.device_or_default, options.threads
    needs = {"CPU": options.cpus_per_pack, "GPU": options.gpus_per_pack}
    # no CPU, since none may be free; a GPU only if its name cannot be read without one
    question = ray.remote(num_cpus=0, num_gpus=options.gpus_per_pack, max_retries=0)(_answer)
    with _probe(out) as probe:
        asked = [
            question.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                device, threads, str(probe)
            )
            for node in ray.nodes()
            if node["Alive"] and all(node["Resources"].get(name, 0) >= amount for name, amount in needs.items())
        ]
        answered, silent = ray.wait(asked, num_returns=len(asked), timeout=_PATIENCE_S)
    for each in silent:
        ray.cancel(each)
    answers = Answers(silent=len(silent))
    for each in answered:
        try:
            environment, problem = ray.get(each)
        except RayError:  # the machine is gone, or its worker
            answers.silent += 1
            continue
        answers.environments.append(environment)
        if problem:
            answers.blind.append(problem)
    return answers


@contextlib.contextmanager
def _probe(out: Path) -> Iterator[Path]:
    """A file in the output folder with a unique name; removed on leaving."""
    probe = (out if is_object(out) else out.resolve()) / f".{uuid.uuid4().hex}{TEMPORARY}"
    write_atomically(probe, b"", durably=False)
    try:
        yield probe
    finally:
        remove(probe)


def seen(path: Path) -> bool:
    """Whether a file is there; on a network file system it may appear a moment late."""
    until = time.monotonic() + _LATE_S
    while not exists(path):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def drift(used: Iterable[Environment], machines: Sequence[Environment], silent: int) -> list[str]:
    """What may change last bits, in sentences: trials were trained in a different environment (`used`) than a machine
    has now, the machines differ, or some (`silent`) did not answer."""
    drifts = {
        "trials of this sweep were trained in a different environment": [
            differences(before, now) for before in used for now in machines
        ],
        "the machines in the cluster differ": [
            differences(machines[0], other, words="{name} is {before} and {now}") for other in machines[1:]
        ],
        "some machines in the cluster did not answer": [[f"{silent} of them"]] if silent else [],
    }
    told = {what: dict.fromkeys("; ".join(each) for each in found if each) for what, found in drifts.items()}
    return [f"{what}: {'; or '.join(found)}" for what, found in told.items() if found]


def _answer(device: str, threads: int, probe: str) -> tuple[Environment, str]:
    """This machine's environment, and why it cannot use the folder that the probe is in; "" if it can."""
    machine, reason = f"{socket.gethostname()} ({ray.util.get_node_ip_address()})", ""
    try:
        path = location(probe)
        if seen(path):
            own = path.with_name(f".{uuid.uuid4().hex}{TEMPORARY}")
            write_atomically(own, b"", durably=False)
            remove(own)
        else:
            reason = f"{machine} cannot see it"
    except (OSError, StoreError, ConfigError) as error:
        reason = f"{machine} cannot use it ({error})"
    return environment_here(device=device, threads=threads), reason
