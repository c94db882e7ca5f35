"""One digest of a tiny study, to compare two machines: if it is equal, their trials are bit-identical."""

from __future__ import annotations

import hashlib
import itertools

from infomax_tune.science.data import load
from infomax_tune.science.training import train
from infomax_tune.study.read_config import build_config, read_overrides
from infomax_tune.study.read_space import load_space


def digest() -> str:
    """16 hex digits of a SHA-256 over parameters, moments and losses, on a CPU, of every activation of the study with and
    without head, 16 and 64 units, after three epochs of digits and of synthetic_2d."""
    found = hashlib.sha256()
    datasets = [load(name) for name in ("digits", "synthetic_2d")]
    activations = load_space("activation_study")[0].axes["model.activation"]
    for dataset, activation, head, units in itertools.product(datasets, activations, ("none", "softmax"), (16, 64)):
        settings = {"dataset": dataset.name, "activation": activation, "head": head, "hidden_dim": units, "epochs": 3}
        config = build_config(read_overrides([f"{name}={value}" for name, value in settings.items()])[0])
        *_, report = train([config], dataset)
        for name, tensor in sorted(report.state(0).tensors.items()):
            found.update(name.encode() + tensor.numpy().tobytes())
        found.update(str(report.losses[0]).encode())
    return found.hexdigest()[:16]
