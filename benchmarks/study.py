"""Compares the study with its peers: a step of a trial, and all 180 trials on all cores.

    python -m benchmarks.study [--repeats N] [--epochs N] [--full] [--steps-only] [--settings]

First, on one core, microseconds of CPU time per step and trial: the two dense products alone, torch's stacked step, our
loops, a JAX peer at its best number of seeds, two plain loops. The repeats of all are interleaved, so that other work on
the machine slows all of them equally. Then the 180 trials through Ray, under joblib and under Optuna, at --epochs (1),
or at 100 with --full. With --settings, instead of all that, a step of the study's other settings, each beside its own dense
products.
Needs MNIST ($INFOMAX_TUNE_DATA_DIR), and `pip install '.[bench]'`; a peer that is not installed is skipped.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import peers
from infomax_tune.process.environment import describe
from infomax_tune.science.data import Dataset, load
from infomax_tune.study.datasets import shape_of
from infomax_tune.study.read_space import load_space

WIDTHS = (16, 32, 64)
PEERS: dict[str, tuple[Callable[..., peers.Steps], tuple[int, ...], int]] = {
    "two dense products": (peers.products, (10,), 20),
    "torch, seeds stacked": (peers.stacked_torch, (2, 5, 10), 20),
    "infomax-tune": (peers.ours, (10,), 469),
    "JAX": (peers.jax_loop, (1, 2, 5, 10), 94),
    "plain loop, data in a tensor": (peers.plain, (1,), 10),
    "plain loop of a tutorial": (peers.tutorial, (1,), 10),
}
"""Each peer, the numbers of seeds at once that it is tried with, and the steps of a repeat."""
BASE = "two dense products"


def steps(dataset: Dataset, repeats: int) -> dict[str, dict[int, list[float]]]:
    """Microseconds per step and trial, by peer and width, one for each repeat; of several numbers of seeds, the best."""
    found: dict[str, dict[int, list[float]]] = {}
    for units in WIDTHS:
        runs = {
            (name, seeds): make(dataset, units, seeds, count)
            for name, (make, choices, count) in PEERS.items()
            if name != "JAX" or importlib.util.find_spec("jax")
            for seeds in choices
        }
        times: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
        for _ in range(repeats):
            for key, run in runs.items():
                times[key].append(run() * 1e6)
        for name, _ in runs:
            tried = [times[key] for key in runs if key[0] == name]
            found.setdefault(name, {})[units] = min(tried, key=min)
    return found


SETTINGS: dict[str, dict[str, Any]] = {
    "the study's": {},
    "tanh": {"activation": "tanh"},
    "gelu": {"activation": "gelu"},
    "silu": {"activation": "silu"},
    "elu": {"activation": "elu"},
    "abs": {"activation": "abs"},
    "softmax head": {"head": "softmax"},
    "sgd": {"optimizer": "sgd"},
    "lambda_wr 1": {"lambda_wr": 1},
    "lambda_lse 1": {"lambda_lse": 1},
    "lambda_l1 1": {"lambda_l1": 1},
    "batch 32": {"batch_size": 32},
    "batch 1,024": {"batch_size": 1024},
    "batch 2,048": {"batch_size": 2048},
    "full batch": {"batch_size": -1},
    "reconstruction": {"objective": "reconstruction"},
    "sae": {"objective": "sae", "lambda_l1": 0.01},
}


def print_settings(dataset: Dataset, repeats: int, units: int = 64) -> None:
    """Seconds of an epoch of one trial, relu except where it says so, times those of its own products, in turn.

    wr has two products of units with units, at 64 units and 128 rows as large as a third product. An objective that rebuilds
    the inputs has five products: to encode, to decode, the gradients of both, and that of what lies between them.
    """
    print(f"seconds of an epoch, K = {units}, median (least to greatest)\n")
    print("| setting | its dense products | the trial | times its products |\n| --- | --- | --- | --- |")
    for name, settings in SETTINGS.items():
        size = int(str(settings.get("batch_size", peers.BATCH)))
        size = len(dataset.train) if size == -1 else size
        rebuilds = settings.get("objective") in ("reconstruction", "sae")
        steps = max(1, min(100, 20_000 // size))
        epoch = -(-len(dataset.train) // size)
        seeds, forward = (10, 3) if rebuilds else (1, 2 if "lambda_wr" in settings else 1)
        backward = 2 if rebuilds else 1
        alone = peers.products(dataset, units, seeds, steps, batch=size, forward=forward, backward=backward)
        trial = peers.ours(dataset, units, seeds, steps, **settings)
        pairs = [(alone() * epoch, trial() * epoch) for _ in range(repeats)]
        columns = [*zip(*pairs, strict=True), [mine / floor for floor, mine in pairs]]
        cells = [f"{statistics.median(each):.3g} ({min(each):.3g} to {max(each):.3g})" for each in columns]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def print_steps(found: dict[str, dict[int, list[float]]]) -> None:
    print("\nmicroseconds per step and trial, least (median); of the sum over the widths, times the products'\n")
    print("| | " + " | ".join(f"K = {units}" for units in WIDTHS) + " | sum / products |")
    print("| --- |" + " --- |" * (len(WIDTHS) + 1))
    floor = sum(min(times) for times in found[BASE].values())
    for name, widths in found.items():
        cells = [f"{min(times):.0f} ({statistics.median(times):.0f})" for times in widths.values()]
        print(f"| {name} | {' | '.join(cells)} | {sum(min(times) for times in widths.values()) / floor:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="repeats of each step measurement (default 9)")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of the whole study (default 1)")
    parser.add_argument("--full", action="store_true", help="the whole study at 100 epochs")
    parser.add_argument("--steps-only", action="store_true", help="skip the whole study")
    parser.add_argument("--settings", action="store_true", help="only a step of each of the study's other settings")
    arguments = parser.parse_args()
    epochs = 100 if arguments.full else arguments.epochs
    cores = os.cpu_count() or 1
    machine = describe(device="cpu", threads=1)
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "numpy", "numba", "ray"))
    print(f"{cores} cores, {machine['cpu']}, {machine['instructions']}; {versions}", flush=True)

    everywhere = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    peers.pin(cores - 1)
    if arguments.settings:
        print_settings(load("mnist"), arguments.repeats)
        return
    found = steps(load("mnist"), arguments.repeats)
    print_steps(found)
    if arguments.steps_only:
        return
    if everywhere:
        os.sched_setaffinity(0, everywhere)
    trials = [config.with_epochs(epochs) for config in load_space("activation_study")[0].trials()]
    batches = -(-shape_of("mnist").train // peers.BATCH)
    floor_s = sum(min(found[BASE][config.model.hidden_dim]) for config in trials) * batches * epochs / 1e6 / cores
    print(
        f"\n180 trials, {epochs} epochs, {cores} cores: seconds, and times the products' {floor_s:.1f} s\n", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, needs, run in (
            ("infomax-tune sweep", "ray", lambda: peers.our_sweep(epochs, Path(folder, "auto"))),
            ("joblib", "joblib", lambda: peers.under_joblib(trials, cores)),
            ("Optuna, GridSampler", "optuna", lambda: peers.under_optuna(trials, cores)),
        ):
            if importlib.util.find_spec(needs):
                seconds = run()
                print(f"{name}: {seconds:.1f} s, {seconds / floor_s:.2f} times", flush=True)


if __name__ == "__main__":
    main()
