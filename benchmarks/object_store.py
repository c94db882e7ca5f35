"""Times the quickstart sweep into S3 and onto a disk, in turn, and compares the bytes of their tables.

    python -m benchmarks.object_store [--repeats N]

Prints each pair's seconds and ratio, and the median ratio with its spread. S3 is moto's server over loopback, in a
process that shares the same cores; its CPU time is printed. A real store would not use these cores, and would answer more
slowly.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.object_store import BUCKET, bytes_below, s3_server


def sweep(out: str, environment: Mapping[str, str]) -> float:
    """Seconds that `infomax-tune sweep quickstart`, its report included, takes as a process of its own."""
    command = [sys.executable, "-m", "infomax_tune", "sweep", "quickstart", "--quiet", "--out", out]
    begun = time.perf_counter()
    subprocess.run(command, check=True, env=os.environ | dict(environment))
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of sweeps (default 3)")
    repeats = parser.parse_args().repeats
    ratios = []
    with s3_server() as environment, tempfile.TemporaryDirectory() as folder:
        os.environ.update(environment)
        (server,) = (each for each in psutil.Process().children() if "moto.server" in each.cmdline())
        for number in range(repeats):
            here, there = Path(folder, f"{number}"), f"s3://{BUCKET}/{number}"
            local_s, before = sweep(str(here), environment), server.cpu_times()
            s3_s, after = sweep(there, environment), server.cpu_times()
            server_s = after.user + after.system - before.user - before.system
            ratios.append(s3_s / local_s)
            same = bytes_below(there, "results.csv")["results.csv"] == (here / "results.csv").read_bytes()
            print(
                f"disk {local_s:.1f} s, S3 {s3_s:.1f} s (server {server_s:.1f} s of CPU), ratio {ratios[-1]:.2f}, "
                f"results.csv {'the same' if same else 'DIFFERS'}"
            )
    print(f"S3 / disk: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
