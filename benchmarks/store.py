"""Measures what the store costs (fsync, checksums, checkpoints, tables), as a share of the study's training.

    python -m benchmarks.store [--epochs 100]

Trains a pack of ten seeds of each width on MNIST for one epoch, writes the checkpoints and records of its trials and
the tables, and prints the whole study's time for writing as a share of its time for training, both measured here.
Needs MNIST ($INFOMAX_TUNE_DATA_DIR).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from infomax_tune.packs.pack_training import train_pack
from infomax_tune.science import data
from infomax_tune.science.training import train
from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100, help="length of the study (default 100)")
    parser.add_argument("--out", type=Path, help="where to write (default: a temporary folder)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = data.load("mnist")
    overrides, _ = read_overrides(["epochs=1"])
    space, _ = load_space("activation_study", overrides=overrides)
    packs: dict[int, list[TrialConfig]] = {}
    for config in space.trials():
        if config.model.activation == "tanh":
            packs.setdefault(config.model.hidden_dim, []).append(config)

    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        store = SweepFolder(Path(folder))
        store.create()
        train_s = write_s = 0.0
        every = space.base.logging.checkpoint_every
        checkpoints = (arguments.epochs - 1) // every
        for width, pack in packs.items():
            folders = [store.trial(config.trial_id) for config in pack]
            reports = train(pack, dataset)
            next(reports)
            begun = time.perf_counter()
            report = next(reports)
            epoch_s = time.perf_counter() - begun

            row = {"epoch": 1.0, **report.losses[0], **report.evaluate(0)}
            history = [row] * arguments.epochs  # as long as at the end of the study
            begun = time.perf_counter()
            for i, (config, trial) in enumerate(zip(pack, folders, strict=True)):
                tensors = {name: tensor.numpy() for name, tensor in report.state(i).tensors.items()}
                trial.write_checkpoint(Checkpoint(config.trial_id, 1, tensors, history, {}))
            checkpoint_s = time.perf_counter() - begun
            for trial in folders:
                (trial.path / "checkpoint.safetensors").unlink()

            train_pack(pack, folders, dataset)
            records = [(trial.read_record(), trial.read_weights()) for trial in folders]
            begun = time.perf_counter()
            for trial, (record, weights) in zip(folders, records, strict=True):
                assert record is not None
                trial.write_record(record, history, weights)
            record_s = time.perf_counter() - begun
            writes_s = checkpoints * checkpoint_s + record_s
            share = 100 * writes_s / (arguments.epochs * epoch_s)
            print(
                f"{width} units, 10 seeds: {1e3 * epoch_s:.0f} ms per epoch, {1e3 * checkpoint_s:.0f} ms their checkpoints, "
                f"{1e3 * record_s:.0f} ms their records: {share:.2f}% of {arguments.epochs} epochs"
            )
            train_s += 6 * arguments.epochs * epoch_s  # six activations
            write_s += 6 * writes_s
        begun = time.perf_counter()
        write_tables(store, Plan(config for pack in packs.values() for config in pack))
        tables_s = 6 * (time.perf_counter() - begun)
    share = 100 * (write_s + tables_s) / train_s
    print(
        f"the study of {arguments.epochs} epochs: {write_s:.1f} s checkpoints and records, {tables_s:.1f} s tables, "
        f"{train_s:.0f} s training on one core: {share:.2f}% (target under 3%)"
    )


if __name__ == "__main__":
    main()
