"""Times the whole study at one epoch on real MNIST, from Ray's start on: in packs, and with one trial per pack.

    python -m benchmarks.sweep [--repeats N]

Prints the sweep's seconds divided by its trials' own training seconds spread over the cores (1.0 is a sweep that does
nothing else), with and without the evaluations. Also prints how many times as fast `--pack auto` is as `--pack 1`.
Needs MNIST ($INFOMAX_TUNE_DATA_DIR).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import pandas as pd


def sweep(out: Path, pack: str) -> float:
    """Seconds that `infomax-tune sweep activation_study --set epochs=1` takes as a process of its own."""
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
        "--no-report",
    ]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of sweeps (default 3)")
    repeats = parser.parse_args().repeats
    cores = os.cpu_count() or 1
    ratios: dict[str, list[float]] = defaultdict(list)
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            packed, alone = Path(folder, "packed"), Path(folder, "alone")
            packed_s, alone_s = sweep(packed, "auto"), sweep(alone, "1")
            same = all(
                (packed / name).read_bytes() == (alone / name).read_bytes()
                for name in ("results.csv", "history.parquet")
            )
            timings = pd.read_csv(packed / "timings.csv")
            train_s, evaluate_s = (float(sum(timings[name])) / cores for name in ("train_s", "evaluate_s"))
        ratios["sweep / (epochs + evaluation)"].append(packed_s / (train_s + evaluate_s))
        ratios["sweep / epochs alone"].append(packed_s / train_s)
        ratios["--pack 1 / --pack auto"].append(alone_s / packed_s)
        print(
            f"run {repeat + 1}: packed {packed_s:.1f} s; its trials trained {train_s + evaluate_s:.1f} s on {cores} cores "
            f"(epochs {train_s:.1f} s, evaluation {evaluate_s:.1f} s); --pack 1 {alone_s:.1f} s; "
            f"tables {'identical' if same else 'DIFFER'}",
            flush=True,
        )
    for name, values in ratios.items():
        print(f"{name}: median {statistics.median(values):.2f}, from {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
