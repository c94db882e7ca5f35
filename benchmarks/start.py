"""Times a sweep from the command to its first epoch, against a bare Tune script from its command to its first report.

    python -m benchmarks.start [SPACE] [--repeats N]

The space is the study's by default. The bare script runs one trial per core. Each imports torch, trains nothing and
reports once: it does what no program that trains with torch under Tune can do without. What a sweep does more: it reads
its data and hands it to the workers, writes its folder, compiles or reads the loops, and trains an epoch. Both run in turn.
Prints the seconds of each, the CPU time of its processes, and the ratios with their medians.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from infomax_tune.process.faults import TRACE

BARE = """
import os, ray
from ray import tune

def train(config):
    import torch
    descriptor = os.open(os.environ["{trace}"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b"reported\\n")
    tune.report({{"torch": torch.__version__}})

ray.init("local", include_dashboard=False)
space = {{"trial": tune.grid_search(list(range(os.cpu_count())))}}
tune.Tuner(train, param_space=space, run_config=tune.RunConfig(storage_path=os.environ["STORAGE"])).fit()
"""


def first_line(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds until the command, or a process it started, writes its first line of trace, and the CPU seconds until then of
    those that still run. Ends the command."""
    trace = folder / "trace"
    environment = os.environ | {TRACE: str(trace), "STORAGE": str(folder / "bare"), "RAY_USAGE_STATS_ENABLED": "0"}
    begun = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not trace.exists():
            if process.poll() is not None:
                sys.exit(f"{command[0]} ended before its first line, with exit code {process.returncode}")
            time.sleep(0.01)
        seconds = time.perf_counter() - begun
        cpu = 0.0
        for each in (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                cpu += each.cpu_times().user + each.cpu_times().system
        process.send_signal(signal.SIGINT)
    return seconds, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", nargs="?", default="activation_study")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    ratios, cpu_ratios = [], []
    for repeat in range(arguments.repeats + 1):
        with tempfile.TemporaryDirectory() as name:
            ours, our_cpu = first_line(
                [sys.executable, "-m", "infomax_tune", "sweep", arguments.space, "--no-report", "--out", f"{name}/out"],
                Path(name),
            )
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            bare, bare_cpu = first_line([sys.executable, "-c", BARE.format(trace=TRACE)], Path(name))
        if repeat == 0:  # reads files for the first time, and compiles the loops
            continue
        ratios.append(ours / bare)
        cpu_ratios.append(our_cpu / bare_cpu)
        print(
            f"sweep {ours:5.1f} s ({our_cpu:4.1f} s of CPU)  bare Tune {bare:5.1f} s ({bare_cpu:4.1f} s)  "
            f"ratio {ratios[-1]:.2f} ({cpu_ratios[-1]:.2f})",
            flush=True,
        )
    print(
        f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"of CPU time {statistics.median(cpu_ratios):.2f} ({min(cpu_ratios):.2f} to {max(cpu_ratios):.2f})"
    )


if __name__ == "__main__":
    main()
