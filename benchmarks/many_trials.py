"""Measures what one driver needs for many trials: its own time per trial, its memory, and the time to the final tables.

    python -m benchmarks.many_trials [--counts 100 300 1000 3000 10000] [--pack N] [--plot many_trials.png]

Each sweep trains tiny trials, one epoch of `synthetic_2d`, each in its own Ray trial unless `--pack` says otherwise. The
driver's time is the CPU time of its process, including the start and the tables, so it hardly depends on what else runs
here; the other times do. The targets: linear in the count, under 60 ms per trial and under 2 GiB at 10,000.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from infomax_tune.store.sweep_folder import SweepFolder

SPACE = """
name: many_trials
description: Tiny trials, to measure what it takes to keep count of them.
base:
  data: {{dataset: synthetic_2d}}
  training: {{epochs: 1}}
  logging: {{save_weights: false}}
axes:
  activation: [identity]
  seed: {{range: [1, {count}]}}
"""


@dataclass
class Measured:
    """What a sweep of so many trials took. memory: the most that its driver held, in bytes."""

    count: int
    driver_s: float = 0.0
    wall_s: float = 0.0
    tables_s: float = 0.0
    memory: int = 0

    @property
    def driver_ms(self) -> float:
        """Of the driver's process, a trial."""
        return 1000 * self.driver_s / self.count

    def __str__(self) -> str:
        return (
            f"{self.count:6} trials: driver {self.driver_s:7.1f} s of CPU ({self.driver_ms:5.1f} ms per trial), "
            f"{self.memory / 2**20:5.0f} MiB, tables {self.tables_s:5.1f} s, all {self.wall_s:6.1f} s"
        )


def measure(count: int, pack: str, folder: Path) -> Measured:
    """Sweeps so many trials in a process of its own, and watches that process."""
    space, out = folder / "many_trials.yaml", folder / "sweep"
    space.write_text(SPACE.format(count=count), encoding="utf-8")
    words = ["sweep", str(space), "--out", str(out), "--pack", pack, "--no-report", "--quiet"]
    measured, begun, tables_begun = Measured(count), time.perf_counter(), 0.0
    with subprocess.Popen([sys.executable, "-m", "infomax_tune", *words]) as sweep:
        driver, notes = psutil.Process(sweep.pid), SweepFolder(out).driver
        while sweep.poll() is None:
            with contextlib.suppress(psutil.Error):
                times = driver.cpu_times()
                measured.driver_s = times.user + times.system
                measured.memory = max(measured.memory, driver.memory_info().rss)
            if not tables_begun and (notes.read_progress() or {}).get("phase") == "writing the tables":
                tables_begun = time.perf_counter()
            time.sleep(0.1)
    ended = time.perf_counter()
    assert sweep.returncode == 0
    measured.wall_s = ended - begun
    measured.tables_s = ended - tables_begun if tables_begun else 0.0
    return measured


def plot(all_measured: list[Measured], path: Path) -> None:
    """Driver's time and memory against the count."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    counts = [each.count for each in all_measured]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    left.loglog(counts, [each.driver_s for each in all_measured], marker="o", label="measured")
    left.loglog(counts, [0.06 * count for count in counts], "--", color="gray", label="60 ms per trial")
    left.set(xlabel="trials", ylabel="driver's CPU time (s)")
    left.legend()
    right.semilogx(counts, [each.memory / 2**20 for each in all_measured], marker="o")
    right.set(xlabel="trials", ylabel="driver's memory (MiB)", ylim=(0, None))
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 300, 1000, 3000, 10000])
    parser.add_argument(
        "--pack", default="1", help="seeds in one Ray trial: auto or a number (default 1, the most Ray trials)"
    )
    parser.add_argument("--plot", type=Path, help="write a figure here")
    arguments = parser.parse_args()
    all_measured = []
    for count in arguments.counts:
        with tempfile.TemporaryDirectory() as folder:
            all_measured.append(measure(count, arguments.pack, Path(folder)))
        print(all_measured[-1], flush=True)
    if len(all_measured) > 1:
        first, last = all_measured[0], all_measured[-1]
        more = 1000 * (last.driver_s - first.driver_s) / (last.count - first.count)
        print(f"each additional trial: {more:.1f} ms of the driver's time")
    if arguments.plot:
        plot(all_measured, arguments.plot)


if __name__ == "__main__":
    main()
