"""Measures whether adding nodes pays: how busy the driver keeps up to 64 slots.

    python -m benchmarks.nodes [--nodes 1 2 4 8] [--slots 8] [--plot nodes.png]

Real: Ray's nodes, its scheduler, Tune, and this project's driver with packs that report once a second. Simulated: all
nodes are Ray nodes on this one machine, and a trial sleeps instead of training. So this measures the driver, not the
arithmetic or a network. The time in which workers start is excluded, because each machine of a real cluster starts its
own. From then on, the efficiency is the share of slots that are running a trial; the target is 90% at 64 slots. Needs
about 150 MB of memory for each slot.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from ray import tune

from infomax_tune.follow.display import Display
from infomax_tune.follow.progress import PackProgress
from infomax_tune.follow.tally import Tally
from infomax_tune.on_ray.cluster import cluster
from infomax_tune.on_ray.fit import Job, train_all
from infomax_tune.on_ray.session import Session
from infomax_tune.on_ray.tracker_feed import TrackerFeed
from infomax_tune.packs.packing import pack_trials
from infomax_tune.process.signals import Interrupt
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.options import Options
from infomax_tune.study.read_space import space_from_python
from tests.command import free_port

EPOCHS, EPOCH_S = 10, 1.0
TRIALS_A_SLOT = 12
SLEPT = "slept"
"""The file in the sweep's folder that every sleeping trial adds a line to."""


def sleep(config: dict[str, Any], *, out: str, **others: object) -> None:  # noqa: ARG001 - as Tune calls it
    """In place of `train_on_ray`: each epoch sleeps."""
    begun = time.time()
    for epoch in range(1, EPOCHS + 1):
        time.sleep(EPOCH_S)
        status = "done" if epoch == EPOCHS else None
        progress = PackProgress(epoch, 0.0, 0.0, epoch, host=socket.gethostname()).to_dict()
        tune.report(progress | {"statuses": (status,)})
    with Path(out, SLEPT).open("a", encoding="utf-8") as slept:
        slept.write(f"{os.getpid()} {begun} {time.time()}\n")


def drive(address: str, slots: int, out: Path) -> None:
    """Runs the sleeping trials on the cluster, as a sweep runs its packs."""
    axes = {"activation": ["relu"], "seed": range(1, TRIALS_A_SLOT * slots + 1)}
    space, _ = space_from_python({"name": "sleep", "base": {"dataset": "synthetic_2d"}, "axes": axes}, {}, None)
    plan, folder, display = space.plan(), SweepFolder(out), Display(sys.stderr)
    options = Options(pack=1, address=address)
    folder.create()
    folder.write_space(space)
    folder.driver.take_over()
    with cluster(options, folder.ray_log) as at_once, Interrupt(print) as interrupt:
        assert at_once == slots, at_once
        tally = Tally(plan, {})
        feed = TrackerFeed(space.name, plan, folder, (), display)
        session = Session(space, plan, folder, options, display, interrupt, tally, feed)
        with mock.patch("infomax_tune.on_ray.fit.train_on_ray", sleep):
            train_all(pack_trials(list(plan), at_once, options.pack_size), Job(session, {}, environment_missing=False))


@contextlib.contextmanager
def nodes(count: int, slots: int) -> Iterator[str]:
    """Starts a head and more nodes on this machine, and yields the head's address; on leaving, ends all their processes."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    words = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    words += ["--node-ip-address=127.0.0.1", f"--num-cpus={slots}", f"--object-store-memory={100 * 2**20}"]
    started = []
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        try:
            for number in range(count):
                joins = (
                    [f"--address={address}"] if number else ["--head", f"--port={port}", "--include-dashboard=false"]
                )
                own = [] if number else [f"--temp-dir={folder}"]
                with Path(folder, f"{number}.log").open("wb") as log:
                    started.append(subprocess.Popen([*words, *joins, *own], stdout=log, stderr=log))
                until = time.monotonic() + 120
                while "Ray runtime started" not in Path(folder, f"{number}.log").read_text(encoding="utf-8"):
                    assert time.monotonic() < until, Path(folder, f"{number}.log").read_text(encoding="utf-8")
                    time.sleep(0.1)
            yield address
        finally:
            family = [each for node in started for each in psutil.Process(node.pid).children(recursive=True)]
            for process in [*(psutil.Process(node.pid) for node in started), *family]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            for node in started:
                node.wait()


def efficiency(out: Path) -> tuple[int, float]:
    """How many slots have slept, and their share of trials under way from the time that all have begun until one has no more."""
    trials = defaultdict(list)
    for line in (out / SLEPT).read_text(encoding="utf-8").splitlines():
        process, begun, ended = line.split()
        trials[process].append((float(begun), float(ended)))
    begun = max(min(begin for begin, _ in each) for each in trials.values())
    ended = min(max(end for _, end in each) for each in trials.values())
    assert begun < ended, "the first slot had ended before the last began"
    busy = sum(max(0.0, min(end, ended) - max(begin, begun)) for each in trials.values() for begin, end in each)
    return len(trials), busy / len(trials) / (ended - begun)


def measure(count: int, slots: int) -> float:
    """The efficiency with so many nodes, whose driver is a process of its own."""
    with tempfile.TemporaryDirectory() as folder, nodes(count, slots) as address:
        out = Path(folder, "sweep")
        words = ["--drive", address, str(count * slots), str(out)]
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "benchmarks.nodes", *words], check=True)
        wall_s = time.perf_counter() - begun
        slept, found = efficiency(out)
    total = count * slots
    print(
        f"{count} nodes, {total:3} slots ({slept} workers): {found:.1%} busy, as {found * total:.1f} perfect slots; "
        f"{total * TRIALS_A_SLOT} trials, {wall_s:.0f} s with the start of Ray's workers",
        flush=True,
    )
    return found


def plot(found: dict[int, float], path: Path) -> None:
    """Perfect slots against slots."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(4.5, 3.5), layout="constrained")
    ax.plot(list(found), list(found), "--", color="gray", label="linear")
    ax.plot(list(found), [0.9 * slots for slots in found], ":", color="gray", label="90% of linear")
    ax.plot(list(found), [slots * share for slots, share in found.items()], "o-", label="measured")
    ax.set(xlabel="slots", ylabel="slots' worth of trials")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8], help="numbers of nodes (default 1 2 4 8)")
    parser.add_argument("--slots", type=int, default=8, help="slots of each node (default 8)")
    parser.add_argument("--plot", type=Path, help="write a figure here")
    parser.add_argument("--drive", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.drive:
        address, slots, out = arguments.drive
        drive(address, int(slots), Path(out))
        return
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_USAGE_STATS_ENABLED": "0"}
    found = {count * arguments.slots: measure(count, arguments.slots) for count in arguments.nodes}
    if arguments.plot:
        plot(found, arguments.plot)


if __name__ == "__main__":
    main()
