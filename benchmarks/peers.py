"""Other programs that train such networks: each peer returns the seconds that it takes, for `benchmarks.study`.

All train relu layers with Adam on minibatches of 128 rows of MNIST, in the order of `shuffle`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infomax_tune.parts.datasets import default_data_dir
from infomax_tune.science.data import Dataset, load, shuffle
from infomax_tune.science.losses import infomax
from infomax_tune.science.model import initial_weight
from infomax_tune.science.training import train
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.read_config import build_config, read_overrides

BATCH, EPS, LR = 128, 1e-6, 1e-3
Steps = Callable[[], float]
"""Trains some steps, and returns the seconds of the CPU for one step of one trial: waiting for it does not count."""


def config(**settings: object) -> TrialConfig:
    return build_config(read_overrides([f"{name}={value}" for name, value in settings.items()])[0])


def products(
    dataset: Dataset, units: int, seeds: int, steps: int, *, batch: int = BATCH, forward: int = 1, backward: int = 1
) -> Steps:
    """The dense products of a step alone, on batches that lie in memory one after another: each 2 N D K operations."""
    x = torch.from_numpy(dataset.train[: batch * seeds]).view(seeds, batch, -1)
    weight, grad_z = torch.randn(seeds, units, x.shape[2]), torch.randn(seeds, batch, units)
    z, grad = torch.empty(seeds, batch, units), torch.empty_like(weight)

    def run() -> float:
        begun = time.process_time()
        for _ in range(steps):
            for _ in range(forward):
                torch.bmm(x, weight.mT, out=z)
            for _ in range(backward):
                torch.bmm(grad_z.mT, x, out=grad)
        return (time.process_time() - begun) / steps / seeds

    return run


def ours(dataset: Dataset, units: int, seeds: int, steps: int, *, compiled: bool = True, **settings: object) -> Steps:
    """Our training; with `compiled=False` its definition, torch's step on the seeds in one stack."""
    pack = [config(hidden_dim=units, epochs=10**6, seed=seed, **settings) for seed in range(1, seeds + 1)]
    reports = train(pack, dataset, compiled=compiled, batches=steps)
    next(reports)
    next(reports)  # allocates

    def run() -> float:
        begun = time.process_time()
        next(reports)
        return (time.process_time() - begun) / steps / seeds

    return run


def stacked_torch(dataset: Dataset, units: int, seeds: int, steps: int) -> Steps:
    return ours(dataset, units, seeds, steps, compiled=False)


def jax_loop(dataset: Dataset, units: int, seeds: int, steps: int) -> Steps:
    """The twenty lines that one would write: vmap over seeds, scan over steps, jit, autodiff, Adam written out."""
    import jax  # pyright: ignore[reportMissingImports] - in the extra `bench`
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]

    data = jnp.asarray(dataset.train)

    def loss(parameters: Any, x: Any) -> Any:
        a = jax.nn.relu(x @ parameters[0].T + parameters[1])
        centered = a - a.mean(0)
        covariance = centered.T @ centered / (len(x) - 1)
        variance = jnp.diagonal(covariance) + EPS
        correlation = covariance / jnp.sqrt(variance[:, None] * variance)
        return -jnp.log(variance).sum() + ((correlation - jnp.eye(units)) ** 2).sum()

    def step(data: Any, state: Any, rows: Any) -> Any:
        parameters, mean, square, count = state
        value, grads = jax.value_and_grad(loss)(parameters, data[rows])
        count = count + 1
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, grads, strict=True)]
        square = [0.999 * v + 0.001 * g * g for v, g in zip(square, grads, strict=True)]
        moved = [
            p - LR * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)
            for p, m, v in zip(parameters, mean, square, strict=True)
        ]
        return (moved, mean, square, count), value

    def pass_over(data: Any, state: Any, order: Any) -> Any:
        return jax.lax.scan(lambda state, rows: step(data, state, rows), state, order)

    epoch = jax.jit(jax.vmap(pass_over, in_axes=(None, 0, 0)))
    weight = jnp.stack([jnp.asarray(initial_weight(s, units, data.shape[1]).numpy()) for s in range(1, seeds + 1)])
    parameters = [weight, jnp.zeros((seeds, units))]
    nothing = [jnp.zeros_like(p) for p in parameters]
    state: Any = (parameters, nothing, nothing, jnp.zeros(seeds))
    orders = [shuffle(seed, 1, len(data))[: steps * BATCH].reshape(steps, BATCH) for seed in range(1, seeds + 1)]
    order = jnp.asarray(np.stack(orders))
    jax.block_until_ready(epoch(data, state, order))

    def run() -> float:
        begun = time.process_time()
        jax.block_until_ready(epoch(data, state, order))
        return (time.process_time() - begun) / steps / seeds

    return run


def plain(dataset: Dataset, units: int, seeds: int, steps: int) -> Steps:
    """A loop with the data in one tensor: DataLoader, nn.Linear, autograd, torch.optim.Adam; one seed at a time."""
    assert seeds == 1
    from torch.utils.data import TensorDataset

    rows = TensorDataset(torch.from_numpy(dataset.train[: steps * BATCH]))
    return _autograd_loop(rows, dataset.train.shape[1], units, steps)


def tutorial(dataset: Dataset, units: int, seeds: int, steps: int) -> Steps:
    """The loop of a first tutorial: the same, on torchvision's MNIST with ToTensor, which converts image by image."""
    assert seeds == 1
    from torch.utils.data import Subset
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    images = MNIST(str(default_data_dir()), train=True, transform=ToTensor())
    return _autograd_loop(Subset(images, range(steps * BATCH)), dataset.train.shape[1], units, steps)


def _autograd_loop(rows: Any, inputs: int, units: int, steps: int) -> Steps:
    from torch.utils.data import DataLoader

    loader = DataLoader(rows, batch_size=BATCH, shuffle=True)
    layer = torch.nn.Linear(inputs, units)
    optimizer = torch.optim.Adam(layer.parameters(), lr=LR)

    def run() -> float:
        begun = time.process_time()
        for x, *_ in loader:
            optimizer.zero_grad()
            a = torch.relu(layer(x.flatten(1)))
            infomax(a, layer.weight, lambda_tc=1.0, lambda_wr=0.0, eps=EPS)["loss"].backward()
            optimizer.step()
        return (time.process_time() - begun) / steps

    return run


# ---- whole studies


def _train_one(trial: TrialConfig) -> float:
    torch.set_num_threads(1)
    *_, report = train([trial], _mnist())
    return report.evaluate(0)["effective_rank"]


_loaded: list[Dataset] = []


def _mnist() -> Dataset:
    if not _loaded:
        _loaded.append(load("mnist"))
    return _loaded[0]


def under_joblib(trials: Sequence[TrialConfig], cores: int) -> float:
    """The same training functions under joblib's processes: nothing is kept, nothing can be resumed."""
    from joblib import Parallel, delayed

    begun = time.perf_counter()
    Parallel(n_jobs=cores)(delayed(_train_one)(trial) for trial in trials)
    return time.perf_counter() - begun


def under_optuna(trials: Sequence[TrialConfig], cores: int) -> float:
    """The same training functions under Optuna's GridSampler, in threads and in memory."""
    import optuna  # pyright: ignore[reportMissingImports] - in the extra `bench`

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    begun = time.perf_counter()
    sampler = optuna.samplers.GridSampler({"trial": list(range(len(trials)))}, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(
        lambda trial: _train_one(trials[trial.suggest_int("trial", 0, len(trials) - 1)]),
        n_trials=len(trials),
        n_jobs=cores,
    )
    return time.perf_counter() - begun


def our_sweep(epochs: int, out: Path, *options: str) -> float:
    """`infomax-tune sweep activation_study` as a process of its own, from Ray's start to the tables."""
    command = [sys.executable, "-m", "infomax_tune", "sweep", "activation_study", "--set", f"epochs={epochs}"]
    begun = time.perf_counter()
    subprocess.run([*command, "--out", str(out), "--no-report", *options], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def pin(core: int) -> None:
    """Keeps this process, and the libraries that it has not loaded yet, to one core and one thread."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
