"""Measures whether adding nodes pays: how busy a sweep keeps the slots of 1, 2, 4 ... nodes.

    python -m benchmarks.nodes [--nodes 1 2 4 8] [--slots 8] [--seconds 10]

What is simulated: the nodes are raylets on this one machine that say they have `--slots` CPUs each, and a trial sleeps instead of
training, in a process that does not import torch. What is real: the sweep's own driver, Tune, Ray's scheduling over several
raylets, and the store's records. Printed is the share of the time that the slots were busy, from when the last of
them had begun until the first found nothing left to do: 100% is linear, the target is at least 90%.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from infomax_tune.follow.display import Display
from infomax_tune.follow.progress import PackProgress
from infomax_tune.process.signals import Interrupt

_ROUNDS = 4
"""Trials that each slot has."""


def sleeper(seconds: float, log: Path) -> Callable[..., None]:
    """A trainable that sleeps, and notes when. It stands in for `train_on_ray`, and is sent to the workers by value."""

    def sleep(config: dict[str, Any], **given: Any) -> None:  # noqa: ARG001 - as Tune calls it
        import os
        import time

        from ray import tune

        begun = time.time()
        time.sleep(seconds)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{begun} {time.time()}\n".encode())
        os.close(descriptor)
        tune.report(progress)

    progress = PackProgress(epoch=1, trial_epochs=1, statuses=(None,)).to_dict()
    return sleep


def busy(intervals: list[tuple[float, float]], slots: int) -> float:
    """The share of the slots' time that lies in the intervals, from when all had begun until the first ran dry."""
    begun = sorted(begin for begin, _ in intervals)
    first, last = begun[slots - 1], begun[-1]
    inside = sum(max(0.0, min(end, last) - max(begin, first)) for begin, end in intervals)
    return inside / (slots * (last - first))


def measure(nodes: int, slots: int, seconds: float, folder: Path) -> float:
    """How busy so many nodes are kept by one sweep's driver."""
    from ray.cluster_utils import Cluster

    from infomax_tune.follow.tally import Tally
    from infomax_tune.on_ray import fit, trainable
    from infomax_tune.on_ray.cluster import cluster
    from infomax_tune.on_ray.tracker_feed import TrackerFeed
    from infomax_tune.packs.execution import Execution
    from infomax_tune.packs.packing import pack_trials
    from infomax_tune.store.sweep_folder import SweepFolder
    from infomax_tune.study.options import Options
    from infomax_tune.study.read_config import read_overrides
    from infomax_tune.study.read_space import load_space

    count = _ROUNDS * nodes * slots
    overrides, problems = read_overrides(["activation=[identity]", f"seed={{range: [1, {count}]}}"])
    assert not problems, problems
    space, _ = load_space("synthetic_2d", overrides=overrides)
    plan, out, log = space.plan(), SweepFolder(folder / "sweep"), folder / "log"
    out.create()
    out.write_space(space)
    made = Cluster()
    try:
        for _ in range(nodes):
            made.add_node(num_cpus=slots, object_store_memory=80 * 2**20, include_dashboard=False)
        options, shown = Options(address=made.address, pack=1), Display(sys.stderr)
        with (
            cluster(options, Path(os.devnull)) as found,
            mock.patch.object(trainable, "train_on_ray", sleeper(seconds, log)),
        ):
            assert found == nodes * slots
            job = fit.Job(
                datasets={},
                folder=out,
                axes=(),
                options=options,
                execution=Execution(),
                display=shown,
                tally=Tally(plan, {}),
                feed=TrackerFeed(space.name, plan, out, (), shown),
                interrupt=Interrupt(shown.say),
                driver=out.driver.take_over(),
            )
            fit.train_all(pack_trials(list(plan), found, 1), job)
    finally:
        made.shutdown()
    intervals = [tuple(map(float, line.split())) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(intervals) == count
    return busy([(begin, end) for begin, end in intervals], nodes * slots)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--slots", type=int, default=8, help="of each node (default 8)")
    parser.add_argument("--seconds", type=float, default=10, help="that a trial sleeps (default 10)")
    arguments = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    for nodes in arguments.nodes:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            share = measure(nodes, arguments.slots, arguments.seconds, Path(folder))
        slots = nodes * arguments.slots
        print(
            f"{nodes} nodes, {slots:3} slots: busy {share:.1%}, as {share * slots:.1f} slots would be without a pause "
            f"({time.perf_counter() - begun:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
