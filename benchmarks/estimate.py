"""Measures how accurate `--dry-run` is: estimates the study at a few epochs on real MNIST, then trains it.

    python -m benchmarks.estimate [--epochs 2] [--repeats 3]

Prints both times and their ratio; the target is within 30% at 2 epochs. Needs MNIST ($INFOMAX_TUNE_DATA_DIR).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from infomax_tune import sweeping
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.options import Options
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2, help="length of the study (default 2)")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of estimate and sweep (default 3)")
    arguments = parser.parse_args()
    space, _ = load_space("activation_study", overrides=read_overrides([f"epochs={arguments.epochs}"])[0])
    ratios = []
    for repeat in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as temporary:
            folder = SweepFolder(Path(temporary) / "sweep")
            estimate = sweeping.estimate_sweep(space, folder, Options(), report=False, quiet=True)
            begun = time.perf_counter()
            done = sweeping.run_sweep(space, folder, Options(), command="benchmarks.estimate", report=False, quiet=True)
            took_s = time.perf_counter() - begun
            kept = sum(path.stat().st_size for path in folder.root.rglob("*") if path.is_file())
        assert done.complete
        ratios.append(estimate.seconds / took_s)
        print(
            f"run {repeat + 1}: estimated {estimate.seconds:.1f} s, took {took_s:.1f} s, ratio {ratios[-1]:.2f}; "
            f"disk estimated {estimate.disk / 2**20:.1f} MiB, took {kept / 2**20:.1f} MiB; pilot {estimate.pilot_s:.1f} s",
            flush=True,
        )
    print(f"estimated / took: median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
