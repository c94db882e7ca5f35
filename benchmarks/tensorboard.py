"""Measures what TensorBoard costs: every trial's run and every worker's import, as a share of the study's training.

    python -m benchmarks.tensorboard [--epochs 100]

Trains a pack of ten seeds of each width on MNIST for one epoch, writes their runs with as many epochs as the study has,
and prints the time for that as a share of the whole study's training, both measured here. There is one worker per core.
Needs MNIST ($INFOMAX_TUNE_DATA_DIR).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from infomax_tune.follow.tensorboard_runs import of_sweep
from infomax_tune.science import data
from infomax_tune.science.training import train
from infomax_tune.store.record import HistoryRow
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from infomax_tune.study.trial_status import TrialStatus


def import_s() -> float:
    """Seconds that a worker needs to import what TensorBoard needs, after its own imports."""
    code = (
        "import time, ray.tune, torch, infomax_tune.science.training, infomax_tune.store.sweep_folder\n"
        "begun = time.perf_counter()\n"
        "import infomax_tune.follow.tensorboard_runs, PIL.Image, PIL.PngImagePlugin\n"
        "print(time.perf_counter() - begun)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100, help="length of the study (default 100)")
    parser.add_argument("--out", type=Path, help="where to write (default: a temporary folder)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = data.load("mnist")
    overrides, _ = read_overrides([f"epochs={arguments.epochs}"])
    space, _ = load_space("activation_study", overrides=overrides)
    packs: dict[int, list[TrialConfig]] = {}
    for config in space.trials():
        if config.model.activation == "tanh":
            packs.setdefault(config.model.hidden_dim, []).append(config)
    every = space.base.logging.save_metrics_every

    train_total_s = write_total_s = 0.0
    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        for width, pack in packs.items():
            runs = [trial.run for trial in of_sweep(Plan(pack), SweepFolder(Path(folder)))]
            reports = train(pack, dataset)
            next(reports)
            begun = time.perf_counter()
            report = next(reports)
            epoch_s = time.perf_counter() - begun

            metrics = report.evaluate(0)
            weights = {"weight": report.state(0).tensors["weight"].numpy()}
            begun = time.perf_counter()
            for run in runs:
                run.begin([], [])
            begin_s = time.perf_counter() - begun
            begun = time.perf_counter()
            for epoch in range(arguments.epochs + 1):
                measured = metrics if epoch % every == 0 or epoch == arguments.epochs else {}
                row: HistoryRow = {"epoch": epoch, **report.losses[0], **measured}
                for run in runs:
                    run.add(row, epoch_s)
            rows_s = time.perf_counter() - begun
            begun = time.perf_counter()
            for run in runs:
                run.end(TrialStatus.DONE, arguments.epochs, {"convergence_epoch": 1}, weights)
            end_s = time.perf_counter() - begun

            write_s, train_s = begin_s + rows_s + end_s, arguments.epochs * epoch_s
            print(
                f"{width} units, 10 seeds: {1e3 * epoch_s:.0f} ms per epoch, "
                f"{1e3 * rows_s / (arguments.epochs + 1):.1f} ms their rows of it, "
                f"{1e3 * begin_s:.0f} ms their beginnings, {1e3 * end_s:.0f} ms their ends and images: "
                f"{100 * write_s / train_s:.2f}% of {arguments.epochs} epochs"
            )
            train_total_s += 6 * train_s  # six activations
            write_total_s += 6 * write_s
    cores = os.cpu_count() or 1
    imports_s = cores * import_s()
    print(
        f"the study of {arguments.epochs} epochs: {write_total_s:.1f} s of runs, {imports_s:.2f} s of imports in {cores} "
        f"workers, {train_total_s:.0f} s training on one core: "
        f"{100 * (write_total_s + imports_s) / train_total_s:.2f}% (target under 2%)"
    )


if __name__ == "__main__":
    main()
