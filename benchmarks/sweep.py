"""The whole study at one epoch on real MNIST, Ray's start and the data's loading included: packed, and one trial a pack.

    python -m benchmarks.sweep [--repeats N]

Prints the sweep's seconds over half the sum of its trials' own training seconds (two cores: 1.0 is a sweep that only
trains), and how many times as fast `--pack auto` is as `--pack 1`. Needs MNIST ($INFOMAX_TUNE_DATA_DIR).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd


def sweep(out: Path, pack: str) -> float:
    """Seconds of one `infomax-tune sweep activation_study --set epochs=1`, from the shell's point of view."""
    command = [
        sys.executable,
        "-m",
        "infomax_tune",
        "sweep",
        "activation_study",
        "--set",
        "epochs=1",
        "--pack",
        pack,
        "--out",
        str(out),
    ]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of sweeps (default 3)")
    repeats = parser.parse_args().repeats
    cores = os.cpu_count() or 1
    overheads, gains = [], []
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            packed, alone = Path(folder, "packed"), Path(folder, "alone")
            packed_s, alone_s = sweep(packed, "auto"), sweep(alone, "1")
            same = all(
                (packed / name).read_bytes() == (alone / name).read_bytes()
                for name in ("results.csv", "history.parquet")
            )
            timings = pd.read_csv(packed / "timings.csv")
            train_s, evaluate_s, store_s = (
                timings[name].sum() / cores for name in ("train_s", "evaluate_s", "store_s")
            )
        overheads.append(packed_s / train_s)
        gains.append(alone_s / packed_s)
        print(
            f"run {repeat + 1}: packed {packed_s:.1f} s = {overheads[-1]:.2f} x training on {cores} cores "
            f"({train_s:.1f} s, and {evaluate_s:.1f} s evaluation, {store_s:.1f} s checkpoints); "
            f"--pack 1 {alone_s:.1f} s = {gains[-1]:.2f} x packed; tables {'identical' if same else 'DIFFER'}",
            flush=True,
        )
    for name, values, target in (
        ("sweep / training", overheads, "at most 2.0"),
        ("--pack 1 / --pack auto", gains, "at least 1.5"),
    ):
        print(
            f"{name}: median {statistics.median(values):.2f}, from {min(values):.2f} to {max(values):.2f} (target {target})"
        )


if __name__ == "__main__":
    main()
