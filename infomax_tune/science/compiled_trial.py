"""A trial in compiled loops: its parameters in their layout, and in that of all others. Imports numba."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from infomax_tune.parts import catalogue
from infomax_tune.parts.optimizers import Rule
from infomax_tune.science.data import Dataset, shuffle
from infomax_tune.science.lanes import LANES
from infomax_tune.science.layer_parts import LayerParts, parts_of
from infomax_tune.science.loops import TERM_WEIGHTS, ActivationLoops, loops_of_activation, loops_of_rule, train_epoch
from infomax_tune.science.model import initial_weight
from infomax_tune.science.nonzeros import NonZeros
from infomax_tune.science.stepper import TrialState
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig

_BY_WEIGHT = {term.weight: name for name, term in catalogue.ours("terms").items()}
TERMS = tuple(_BY_WEIGHT[weight] for weight in TERM_WEIGHTS)
"""The terms that the loops compute, in the order of their weights."""


def why_not(parts: LayerParts) -> str:
    """Why trials of these parts cannot run in the loops; "" if they can."""
    if parts.objective.rebuild:
        return "its objective rebuilds the inputs"
    others = [name for name, weight in parts.weights.items() if weight != 0 and name not in TERM_WEIGHTS]
    if parts.own or others:
        return f"the loops do not have the term {next(iter(parts.own), None) or others[0]}"
    for what, activation in (("activation", parts.activation), ("head", parts.head)):
        if activation is not None and loops_of_activation(activation) is None:
            return f"its {what} has no forward and derivative made of infomax_tune.parts.elementwise"
    if loops_of_rule(parts.rule) is None:
        return "its optimizer's update is not made of infomax_tune.parts.elementwise"
    return ""


class CompiledTrial:
    """One trial. Its numbers are computed by loops of its own, whatever trains beside it. See `Stepper`."""

    size = 1

    def __init__(self, config: TrialConfig, state: TrialState | None, dataset: Dataset) -> None:
        """state: what it goes on from; None to begin."""
        data, parts = dataset.nonzeros, parts_of(config)
        activation, update = loops_of_activation(parts.activation), loops_of_rule(parts.rule)
        head = loops_of_activation(parts.head) if parts.head else activation
        assert data is not None
        assert activation is not None
        assert head is not None
        self.config = config
        self.rows, self.inputs = dataset.train.shape
        batch = config.data.batch_size
        self.batch = self.rows if batch == -1 else min(self.rows, batch)
        self.steps = (state.epoch if state else 0) * math.ceil(self.rows / self.batch)
        self._rule = parts.rule
        self._loops: tuple[ActivationLoops, ActivationLoops, bool] = (activation, head, parts.head is not None)
        self._update = update
        self._weights = {name: parts.weights[name] for name in TERM_WEIGHTS}
        self._data = _read_only(data)
        units = config.model.hidden_dim
        self._width = math.ceil(units / LANES) * LANES
        self._real = (np.arange(self._width) < units).astype(np.float32)
        begun = state.tensors if state else {}
        first = {"weight": initial_weight(config.training.seed, units, self.inputs), "bias": torch.zeros(units)}
        self._arrays = {name: self._in_lanes(begun[name] if begun else tensor) for name, tensor in first.items()}
        self._moments = {name: self._moments_of(name, begun) for name in first}
        self._run(np.empty(0, np.int64))  # compiles, unless the cache has it

    def _in_lanes(self, tensor: Tensor) -> NDArray[np.float32]:
        """(K, D) or (K,) as the loops have it: flat, input by input, with units added."""
        rows = tensor.numpy().reshape(self.config.model.hidden_dim, -1).T
        array = np.zeros((len(rows), self._width), np.float32)
        array[:, : self.config.model.hidden_dim] = rows
        return array.reshape(-1)

    def _moments_of(self, name: str, begun: Mapping[str, Tensor]) -> NDArray[np.float32]:
        """The two moments that the loops take, as the parameter is laid out; of no size for a rule without any."""
        names = self._rule.moments
        moments = np.zeros((2, self._arrays[name].size if names else 0), np.float32)
        for place, moment in enumerate(names):
            if begun:
                moments[place] = self._in_lanes(begun[f"{name}.{moment}"])
        return moments

    def parameters(self, replica: int = 0) -> dict[str, Tensor]:
        """Copies of weight (K, D) and bias (K,)."""
        return {name: self._from_lanes(array, name) for name, array in self._arrays.items()}

    def tensors(self, replica: int = 0) -> dict[str, Tensor]:
        """Copies of the parameters and moments."""
        moments = {
            f"{name}.{moment}": self._from_lanes(array, name)
            for name, arrays in self._moments.items()
            for moment, array in zip(self._rule.moments, arrays, strict=False)
        }
        return self.parameters() | moments

    def _from_lanes(self, array: np.ndarray, name: str) -> Float[Tensor, ...]:
        """A copy of what the loops have: (K, D), or (K,) of the bias."""
        rows = array.reshape(-1, self._width)[:, : self.config.model.hidden_dim]
        tensor = torch.from_numpy(np.array(rows.T, order="C"))
        return tensor[:, 0] if name == "bias" else tensor

    def train_epoch(self, epoch: int, batches: int | None = None) -> list[dict[str, float]]:
        """See `Stepper`."""
        one_batch = self.batch >= self.rows  # holds them all, so their order does not matter
        order = np.arange(self.rows) if one_batch else shuffle(self.config.training.seed, epoch, self.rows)
        found = self._run(order if batches is None else order[: batches * self.batch])
        terms = list(zip(TERMS, self._weights.values(), found, strict=True))
        loss = sum(weight * value for _, weight, value in terms if weight)
        return [{"loss": loss, **{name: value for name, weight, value in terms if weight or name in columns.TERMS}}]

    def _run(self, order: NDArray[np.int64]) -> tuple[float, ...]:
        config, steps = self.config, math.ceil(len(order) / self.batch)
        activation, head, has_head = self._loops
        found = train_epoch(self._data[2].dtype.name)(
            *self._data, order, self.batch, self._real, *self._arrays.values(), *self._moments.values(),
            _factors(self._rule, config.training.lr, self.steps, steps), self._update,
            activation.forward, activation.backward, activation.is_identity, head.forward, head.backward, has_head,
            *map(np.float32, self._weights.values()), np.float32(config.loss.variance_eps),
        )  # fmt: skip
        self.steps += steps
        return found


@functools.lru_cache(16)
def _factors(rule: Rule, lr: float, taken: int, steps: int) -> NDArray[np.float32]:
    """The factors of each of the next steps, (steps, factors). The trials of a pack share them."""
    counts = np.arange(taken + 1, taken + steps + 1, dtype=np.float64)
    factors = np.stack([np.broadcast_to(each, steps) for each in rule.factors(lr, counts)], axis=1)
    with np.errstate(over="ignore"):  # such a trial diverges, which is seen
        return factors.astype(np.float32)


def _read_only(data: NonZeros) -> list[np.ndarray]:
    """Its arrays, read-only: Ray's are."""
    views = [array.view() for array in (data.starts, data.index, data.code, data.palette)]
    for view in views:
        view.flags.writeable = False
    return views
