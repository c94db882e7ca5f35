"""A trial in compiled loops: its parameters in their layout, and in that of all others. Imports numba."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infomax_tune.science import compiled
from infomax_tune.science.data import Dataset, shuffle
from infomax_tune.science.lanes import LANES
from infomax_tune.science.model import initial_weight
from infomax_tune.science.nonzeros import NonZeros
from infomax_tune.study.config import TrialConfig

_KIND = {
    "identity": compiled.IDENTITY,
    "relu": compiled.RELU,
    "leaky_relu": compiled.LEAKY_RELU,
    "softmax": compiled.SOFTMAX,
    "tanh": compiled.TANH,
    "softplus": compiled.SOFTPLUS,
}


class CompiledTrial:
    """One trial. Its numbers are computed by loops of its own, whatever trains beside it."""

    size = 1

    def __init__(self, config: TrialConfig, state: dict[str, Tensor] | None, epoch: int, dataset: Dataset) -> None:
        """state: the parameters and moments that it goes on from, after this epoch; None to begin."""
        data = dataset.nonzeros
        assert data is not None
        self.config = config
        self.rows, self.inputs = dataset.train.shape
        self.batch = min(self.rows, config.data.batch_size)
        self.steps = epoch * math.ceil(self.rows / self.batch)
        self._data = _arrays(data)
        units = config.model.hidden_dim
        self._width = math.ceil(units / LANES) * LANES
        self._real = (np.arange(self._width) < units).astype(np.float32)
        begun = state or {
            "weight": initial_weight(config.training.seed, units, self.inputs),
            "bias": torch.zeros(units),
        }
        adam = config.training.optimizer == "adam"
        kinds = ("", ".exp_avg", ".exp_avg_sq") if adam else ("",)
        self._weight, self._bias = (
            {kind: self._laid_out(begun.get(name + kind), name) for kind in kinds} for name in ("weight", "bias")
        )
        self._run(np.empty(0, np.int64))  # compiles, unless the cache has it

    def _laid_out(self, tensor: Tensor | None, name: str) -> np.ndarray:
        """(K, D) or (K,) as the loops have it: flat, input by input, with units added; zeros for None."""
        shape = (self.inputs, self._width) if name == "weight" else (self._width,)
        array = np.zeros(shape, np.float32)
        if tensor is not None:
            array[..., : self.config.model.hidden_dim] = tensor.numpy().T
        return array.reshape(-1)

    def parameters(self, replica: int = 0) -> dict[str, Tensor]:
        """Copies of weight (K, D) and bias (K,)."""
        return {"weight": self._usual(self._weight[""]), "bias": self._usual(self._bias[""])[:, 0]}

    def tensors(self, replica: int = 0) -> dict[str, Tensor]:
        """Copies of the parameters and moments."""
        weight = {f"weight{kind}": self._usual(array) for kind, array in self._weight.items()}
        return weight | {f"bias{kind}": self._usual(array)[:, 0] for kind, array in self._bias.items()}

    def _usual(self, array: np.ndarray) -> Float[Tensor, "k d"]:
        """A copy of what the loops have, as (K, D); of a bias, as (K, 1)."""
        rows = array.reshape(-1, self._width)[:, : self.config.model.hidden_dim]
        return torch.from_numpy(np.array(rows.T, order="C"))

    def train_epoch(self, epoch: int, batches: int | None = None) -> list[dict[str, float]]:
        """One pass over the data in the epoch's order; returns the means of the terms over its rows, wr at its end."""
        order = shuffle(self.config.training.seed, epoch, self.rows)
        entropy, tc, wr = self._run(order if batches is None else order[: batches * self.batch])
        return [{"loss": entropy + self.config.loss.lambda_tc * tc, "entropy": entropy, "tc": tc, "wr": wr}]

    def _run(self, order: np.ndarray) -> tuple[float, float, float]:
        config, nothing = self.config, np.empty(0, np.float32)
        moments = [
            arrays.get(kind, nothing) for arrays in (self._weight, self._bias) for kind in (".exp_avg", ".exp_avg_sq")
        ]
        terms = compiled.train_epoch(
            *self._data, order, self.batch, self._real, self._weight[""], self._bias[""], *moments,
            self.steps, config.training.optimizer == "adam", config.training.lr, _KIND[config.model.activation],
            config.model.head == "softmax", np.float32(config.loss.lambda_tc), np.float32(config.loss.variance_eps),
        )  # fmt: skip
        self.steps += math.ceil(len(order) / self.batch)
        return terms


def _arrays(data: NonZeros) -> list[np.ndarray]:
    """Its arrays, read-only: Ray's are, and for others numba would compile once more."""
    views = [array.view() for array in (data.starts, data.index, data.code, data.palette)]
    for view in views:
        view.flags.writeable = False
    return views
