"""Measures the study on one GPU: all seeds of a cell in one stack, against the two dense products of its steps there.

    python -m benchmarks.gpu [--device cuda] [--epochs N] [--seeds 10] [--widths 16 32 64] [--compare]

Needs PyTorch, MNIST ($INFOMAX_TUNE_DATA_DIR) and the training code; neither Ray nor numba. `--compare` also trains the
cells on the CPU in compiled loops, and prints by how many standard deviations over the seeds the mean of each final metric
differs. `--device cpu` runs the same torch code without a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.peers import BATCH, config
from infomax_tune.science.data import Dataset, load
from infomax_tune.science.training import EpochReport, train
from infomax_tune.study.config import TrialConfig, choices

IN_STUDY = ("effective_rank", "weight_redundancy", "dead_units", "output_correlation", "variance_ratio")


def finish(device: str) -> None:
    """Waits until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def train_cell(
    pack: Sequence[TrialConfig], dataset: Dataset, device: str, *, compiled: bool = False
) -> tuple[float, EpochReport]:
    """The seconds of a cell's epochs, and its last report."""
    reports = train(pack, dataset, device=device, compiled=compiled)
    report = next(reports)  # epoch 0, and the data on its way
    finish(device)
    begun = time.perf_counter()
    for report in reports:  # noqa: B007 - the last one is wanted
        pass
    finish(device)
    return time.perf_counter() - begun, report


def products_s(dataset: Dataset, units: int, seeds: int, device: str, steps: int = 200) -> float:
    """The seconds of the two dense products of one step of all seeds."""
    x = torch.from_numpy(dataset.train[: BATCH * seeds]).view(seeds, BATCH, -1).to(device)
    weight, grad_z = (torch.randn(seeds, *shape, device=device) for shape in ((units, x.shape[2]), (BATCH, units)))
    times = []
    for _ in range(5):
        finish(device)
        begun = time.perf_counter()
        for _ in range(steps):
            torch.bmm(x, weight.mT)
            torch.bmm(grad_z.mT, x)
        finish(device)
        times.append((time.perf_counter() - begun) / steps)
    return min(times)


def furthest(report: EpochReport, on_cpu: EpochReport, seeds: int) -> float:
    """How far the devices' means of a metric are apart at most, in standard deviations over the seeds."""
    gaps = []
    for metric in IN_STUDY:
        here, there = (np.array([each.evaluate(i)[metric] for i in range(seeds)]) for each in (report, on_cpu))
        spread = np.std(there, ddof=1)
        gaps.append(abs(here.mean() - there.mean()) / spread if spread else float(not np.allclose(here, there)))
    return max(gaps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--compare", action="store_true", help="train on the CPU too, and compare the final metrics")
    arguments = parser.parse_args()
    device, dataset = arguments.device, load("mnist")
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{where}, torch {torch.__version__}, {arguments.seeds} seeds, {arguments.epochs} epochs", flush=True)
    steps = -(-len(dataset.train) // BATCH) * arguments.epochs
    total = floor = 0.0
    for units in arguments.widths:
        floor_s = products_s(dataset, units, arguments.seeds, device) * steps
        times = []
        for activation in choices("model.activation"):
            pack = [
                config(activation=activation, hidden_dim=units, epochs=arguments.epochs, seed=seed)
                for seed in range(1, arguments.seeds + 1)
            ]
            seconds, report = train_cell(pack, dataset, device)
            times.append(seconds)
            if arguments.compare:
                _, on_cpu = train_cell(pack, dataset, "cpu", compiled=True)
                gap = furthest(report, on_cpu, arguments.seeds)
                print(
                    f"  {activation}, K = {units}: metrics within {gap:.2g} standard deviations of the CPU's",
                    flush=True,
                )
        print(
            f"K = {units}: {statistics.median(times):.1f} s per cell ({min(times):.1f} to {max(times):.1f}), "
            f"{statistics.median(times) / floor_s:.1f} times the products' {floor_s:.1f} s",
            flush=True,
        )
        total, floor = total + sum(times), floor + floor_s * len(times)
    print(
        f"all {len(arguments.widths) * len(choices('model.activation'))} cells: {total:.1f} s, "
        f"{total / floor:.1f} times the products"
    )


if __name__ == "__main__":
    main()
