"""Made-up studies of any shape, in the layout of a sweep's output folder, with effects that the tests know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from safetensors.numpy import save_file

ACTIVATIONS = ("identity", "relu", "leaky_relu", "softmax", "tanh", "softplus")
RESULT_COLUMNS = [
    "trial_id",
    "status",
    "diverged_epoch",
    "dataset",
    "batch_size",
    "hidden_dim",
    "activation",
    "head",
    "objective",
    "lambda_tc",
    "lambda_wr",
    "variance_eps",
    "epochs",
    "lr",
    "optimizer",
    "seed",
    "loss",
    "entropy",
    "tc",
    "wr",
    "effective_rank",
    "weight_redundancy",
    "dead_units",
    "output_correlation",
    "variance_ratio",
    "activation_mean",
    "activation_std",
    "max_avg_responsibility",
    "gaussian_total_correlation",
    "convergence_epoch",
    "probe_accuracy",
]
METRIC_COLUMNS = RESULT_COLUMNS[RESULT_COLUMNS.index("loss") :]
HISTORY_METRICS = METRIC_COLUMNS[4:-2]

BASE: dict[str, Any] = {
    "dataset": "mnist",
    "batch_size": 128,
    "hidden_dim": 16,
    "activation": "relu",
    "head": "none",
    "objective": "infomax",
    "lambda_tc": 1.0,
    "lambda_wr": 0.0,
    "variance_eps": 1e-6,
    "epochs": 100,
    "lr": 1e-3,
    "optimizer": "adam",
}


def make_results(
    axes: dict[str, Sequence[Any]] | None = None, *, seeds: int = 10, effect: float = 1.0, draw: int = 0, **base: Any
) -> pd.DataFrame:
    """A results table over the product of the axes: activation i is better than i - 1 by `effect` sd of the seeds."""
    axes = {"activation": ACTIVATIONS, "hidden_dim": (16, 32, 64)} if axes is None else axes
    rng = np.random.default_rng(draw)
    grid = pd.MultiIndex.from_product([*axes.values(), range(1, seeds + 1)], names=[*axes, "seed"]).to_frame(
        index=False
    )
    table = grid.assign(**{name: value for name, value in {**BASE, **base}.items() if name not in axes})
    names: list[str] = list(ACTIVATIONS)
    rank = table["activation"].map(lambda name: names.index(str(name)) if name in names else 0).to_numpy(float)
    k, n = table["hidden_dim"].to_numpy(float), len(table)
    block = rng.normal(size=seeds)[table["seed"].to_numpy() - 1]
    strength = np.log10(1 + table["lambda_tc"].to_numpy(float))

    def noise() -> np.ndarray:
        return 0.5 * block + rng.normal(size=n)

    quality = effect * rank + 3 * strength
    table["effective_rank"] = np.minimum(k, k * 0.6 + 0.02 * k * (quality + noise()))
    table["weight_redundancy"] = 0.05 * k * np.exp(-0.2 * quality + 0.1 * noise())
    table["dead_units"] = np.where(np.isin(rank, [1, 2]), rng.binomial(k.astype(int), 0.1 * effect / (1 + rank)), 0)
    table["output_correlation"] = 0.2 * k * np.exp(-0.3 * quality + 0.1 * noise())
    table["variance_ratio"] = np.exp(3 - 0.3 * quality + 0.4 * noise())
    table["activation_mean"], table["activation_std"] = 0.1 * noise(), 1 + 0.05 * noise()
    table["max_avg_responsibility"] = np.where(table["activation"] == "softmax", 1 / k + 0.01 * np.abs(noise()), np.nan)
    table["gaussian_total_correlation"] = 0.05 * k * np.exp(-0.2 * quality + 0.1 * noise())
    table["convergence_epoch"] = np.clip(np.round(12 + 3 * rank + 2 * noise()), 1, None)
    table["probe_accuracy"] = np.nan
    table["entropy"], table["tc"] = -k * (2 + 0.05 * (rank + noise())), 0.1 * k * np.exp(-0.2 * quality + 0.1 * noise())
    table["wr"] = table["weight_redundancy"]
    table["loss"] = table["entropy"] + table["lambda_tc"] * table["tc"] + table["lambda_wr"] * table["wr"]
    untrained = table["epochs"] == 0
    table.loc[untrained, ["loss", "entropy", "tc", "wr", "convergence_epoch"]] = np.nan
    table["status"], table["diverged_epoch"] = "done", np.nan
    table["trial_id"] = [
        f"{r.activation}-k{r.hidden_dim}-s{r.seed}-{hashlib.sha256(repr(r).encode()).hexdigest()[:8]}"
        for r in table[[*axes, *[c for c in BASE if c not in axes], "seed"]].itertuples(index=False)
    ]
    return table[RESULT_COLUMNS]


def spoil(results: pd.DataFrame, **rows: Sequence[int]) -> pd.DataFrame:
    """The table with these rows failed, missing or diverged instead of done: spoil(t, failed=[3], diverged=[5, 6])."""
    table = results.copy()
    for status, places in rows.items():
        index = table.index[list(places)]
        table.loc[index, "status"] = status
        table.loc[index, METRIC_COLUMNS] = np.nan
        if status == "diverged":
            table.loc[index, "diverged_epoch"] = 7
    return table


def make_history(results: pd.DataFrame, *, draw: int = 0) -> pd.DataFrame:
    """Training histories that end at the values of the results table; metrics at epoch 0 and every tenth epoch."""
    rng = np.random.default_rng(draw)
    done = results[results["status"] == "done"].reset_index(drop=True)
    last = int(done["epochs"].max()) if len(done) else 0
    epoch = np.arange(last + 1)
    table = done.loc[done.index.repeat(last + 1), ["trial_id", "epochs"]].reset_index(drop=True)
    table.insert(1, "epoch", np.tile(epoch, len(done)))
    decay = np.exp(-epoch / 12)
    evaluated = (epoch % 10 == 0) | (epoch == last)
    for name in ("loss", "entropy", "tc", "wr"):
        final = done[name].to_numpy(float)[:, None]
        curve = (
            final + np.abs(final) * 0.6 * decay + 0.005 * np.abs(final) * rng.normal(size=(len(done), last + 1)) * decay
        )
        table[name] = np.where(epoch > 0, curve, np.nan).ravel()
    for name in HISTORY_METRICS:
        final = np.nan_to_num(done[name].to_numpy(float), nan=np.nan, posinf=np.nan)[:, None]
        start = {"effective_rank": 0.55 * final, "dead_units": np.zeros_like(final)}.get(name, 2.5 * final)
        curve = final + (start - final) * np.where(epoch == last, 0, decay)
        table[name] = np.where(evaluated, curve, np.nan).ravel()
    return table[table["epoch"] <= table["epochs"]].drop(columns="epochs").reset_index(drop=True)


def write_study(
    out: Path, results: pd.DataFrame, *, history: pd.DataFrame | bool = True, weights: int = 0, dim: int = 784
) -> Path:
    """Write a study's files as a sweep does; `weights` seeds of each cell get a weight file."""
    out.mkdir(parents=True, exist_ok=True)
    results.to_csv(out / "results.csv", index=False)
    results.to_parquet(out / "results.parquet", index=False)
    if history is True:
        history = make_history(results)
    if isinstance(history, pd.DataFrame):
        history.to_parquet(out / "history.parquet", index=False)
    environment = {
        "host": "study-host",
        "cpu": "a CPU with 2 cores",
        "gpu": None,
        "versions": {"python": "3.11.7", "torch": "2.14.1", "ray": "2.60.0"},
        "git_commit": "0123456789abcdef",
    }
    (out / "environment.json").write_text(json.dumps(environment))
    axes = {
        name: sorted(set(results[name].tolist())) for name in BASE if name in results and results[name].nunique() > 1
    }
    space = {
        "name": "activation_study",
        "description": "Six activations, three widths, ten seeds.",
        "base": {name: value for name, value in BASE.items() if name not in axes},
        "axes": {**axes, "seed": sorted(set(results["seed"].tolist()))},
        "schema": 1,
    }
    (out / "sweep.yaml").write_text(yaml.safe_dump(space, sort_keys=False))
    done = results[(results["status"] == "done") & (results["seed"] <= weights)]
    rng = np.random.default_rng(0)
    for row in done.itertuples():
        folder = out / "trials" / str(row.trial_id)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(make_weights(rng, int(str(row.hidden_dim)), dim), folder / "weights.safetensors")
    return out


def make_weights(rng: np.random.Generator, k: int, d: int) -> dict[str, np.ndarray]:
    """Smooth blobs for images, random directions otherwise."""
    side = round(d**0.5)
    if side * side != d or d == 4:
        return {"weight": rng.normal(size=(k, d)).astype(np.float32), "bias": rng.normal(size=k).astype(np.float32)}
    y, x = np.mgrid[:side, :side] / side
    center, width = rng.uniform(0.2, 0.8, size=(k, 2, 1, 1)), rng.uniform(0.05, 0.3, size=(k, 1, 1))
    blob = (
        np.exp(-((x - center[:, 0]) ** 2 + (y - center[:, 1]) ** 2) / width**2)
        - 0.3
        + 0.05 * rng.normal(size=(k, side, side))
    )
    return {"weight": blob.reshape(k, d).astype(np.float32), "bias": np.zeros(k, np.float32)}
