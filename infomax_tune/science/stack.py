"""Replicas of one cell as one stacked tensor, trained by torch: the definition of a step, on a CPU or a GPU.

On a CPU its products and elementwise operations give a replica the same bits in any pack as long as each replica's slab of
every tensor fills whole vector registers; where it does not (an odd width, a short last batch), replicas are computed one
after another instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infomax_tune.science.activations import layer_activation
from infomax_tune.science.data import shuffle
from infomax_tune.science.layer_parts import parts_of
from infomax_tune.science.losses import Terms, infomax_gradient, redundancy
from infomax_tune.science.model import SingleLayer
from infomax_tune.science.optimizers import Optimizer
from infomax_tune.science.stepper import TrialState
from infomax_tune.study.config import TrialConfig

_LANES = 16
"""float32 numbers in the widest CPU vector register (AVX-512)."""
_UNROLLED = 64
"""In multiples of so many elements, torch's elementwise loops leave no scalar remainder, which may round differently."""
_GATHER_LIMIT = 2**26
"""Elements (256 MiB) above which stacking a batch is not worth its memory: each replica's products are large enough alone."""


def stackable(config: TrialConfig, inputs: int) -> bool:
    """Whether each replica's parameters fill whole vector registers, so that stacking them changes no bit."""
    if inputs == 1 or (parts_of(config).objective.rebuild and inputs % _LANES):
        return False
    return config.model.hidden_dim % _LANES == 0


class Stack:
    """Replicas (S) of one cell in one tensor, with their optimizer. See `Stepper`."""

    def __init__(
        self, configs: Sequence[TrialConfig], states: Sequence[TrialState | None], inputs: Float[Tensor, "n d"]
    ) -> None:
        self.config = configs[0]
        self.parts = parts_of(self.config)
        self.activation = layer_activation(self.parts.activation, self.parts.head)
        self.seeds = [config.training.seed for config in configs]
        self.size = len(configs)
        self.inputs = inputs
        batch = self.config.data.batch_size
        self.batch = len(inputs) if batch == -1 else batch
        self.stacked = self._initial_parameters()
        self.optimizer = Optimizer(self.parts.rule, self.config.training.lr, self.stacked)
        begun = [state for state in states if state is not None]
        if begun:
            self._restore(begun)
        self._buffer = torch.empty(0, device=inputs.device)

    def _initial_parameters(self) -> dict[str, Tensor]:
        layer = SingleLayer.initial(self.seeds, self.config.model.hidden_dim, self.inputs.shape[1])
        parameters = {"weight": layer.weight, "bias": layer.bias}
        if self.parts.objective.initial:
            parameters |= self.parts.objective.initial(layer.weight)
        return {name: tensor.to(self.inputs.device) for name, tensor in parameters.items()}

    def _restore(self, states: Sequence[TrialState]) -> None:
        self.optimizer.steps.fill_(states[0].epoch * math.ceil(len(self.inputs) / self.batch))
        for name, tensor in (self.stacked | self.optimizer.moments).items():
            tensor.copy_(torch.stack([state.tensors[name] for state in states]))

    def tensors(self, replica: int) -> dict[str, Tensor]:
        """Copies of the parameters and moments of one replica, on the CPU."""
        tensors = self.stacked | self.optimizer.moments
        return {name: tensor[replica].cpu().clone() for name, tensor in tensors.items()}

    def parameters(self, replica: int) -> dict[str, Tensor]:
        """Views of the parameters of one replica."""
        return {name: tensor[replica] for name, tensor in self.stacked.items()}

    def train_epoch(self, epoch: int, batches: int | None = None) -> list[dict[str, float]]:
        """One pass over the data in the epoch's order; returns the means of the terms over its rows, per replica.

        Where lambda_wr is 0, no step needs wr: it is that of the weights after the last step.
        """
        order = self._order(epoch)
        rows = len(self.inputs) if batches is None else min(len(self.inputs), batches * self.batch)
        sums: list[Tensor] = []
        counts: list[int] = []
        names: list[str] = []
        for first in range(0, rows, self.batch):
            count = min(self.batch, rows - first)
            terms = self._step(None if order is None else order[:, first : first + count])
            names = list(terms)
            sums.append(torch.stack(list(terms.values())))  # (terms, S)
            counts.append(count)
        weights = torch.tensor(counts, dtype=torch.float64) / rows
        history = torch.stack(sums).cpu().double()  # (batches, terms, S)
        # each replica's means come from a tensor of its own: the shape decides in which order torch sums
        means = [(history[:, :, replica].T.contiguous() * weights).sum(dim=1) for replica in range(self.size)]
        losses = [dict(zip(names, mean.tolist(), strict=True)) for mean in means]
        if self.parts.weights["lambda_wr"] == 0:
            for replica, weight in enumerate(self.stacked["weight"]):
                losses[replica]["wr"] = redundancy(weight, self.config.loss.variance_eps).item()
        return losses

    def _order(self, epoch: int) -> Tensor | None:
        """Row numbers (S, N): each replica's shuffle for this epoch, from its seed and the epoch alone; None for a single batch."""
        rows = len(self.inputs)
        if self.batch >= rows:
            return None  # one batch holds them all, so their order does not matter
        shuffles = [shuffle(seed, epoch, rows) for seed in self.seeds]
        return torch.from_numpy(np.stack(shuffles)).to(self.inputs.device)

    def _step(self, order: Tensor | None) -> Terms:
        """One optimizer step on the rows of `order` (S, n), or on all of them; returns the terms (S,) before the step."""
        rows = len(self.inputs) if order is None else order.shape[1]
        units, inputs = self.config.model.hidden_dim, self.inputs.shape[1]
        fits = order is not None and self.size * rows * inputs <= _GATHER_LIMIT
        if self.size == 1 or (fits and rows * units % _UNROLLED == 0):
            terms, gradients = self._gradients(slice(None), order)
        else:
            parts = [
                self._gradients(slice(i, i + 1), None if order is None else order[i : i + 1]) for i in range(self.size)
            ]
            terms = {name: torch.cat([own[name] for own, _ in parts]) for name in parts[0][0]}
            gradients = {name: torch.cat([own[name] for _, own in parts]) for name in self.stacked}
        self.optimizer.step(gradients)
        return terms

    def _gradients(self, replicas: slice, order: Tensor | None) -> tuple[Terms, dict[str, Tensor]]:
        """The terms and the gradient of each parameter for these replicas, on their rows of the data."""
        own = {name: tensor[replicas] for name, tensor in self.stacked.items()}
        weight, parts = own["weight"], self.parts
        x = self.inputs.unsqueeze(0) if order is None else self._gather(order)  # (S, n, d)
        z = SingleLayer(weight, own["bias"]).pre_activation(x)  # (S, n, k)
        a = self.activation.forward(z)
        weights, rebuild = parts.weights, parts.objective.rebuild
        terms, (grad_a, grad_weight) = infomax_gradient(
            a, weight, eps=self.config.loss.variance_eps, own=parts.own, **weights
        )
        gradients: dict[str, Tensor] = {}
        if rebuild:
            loss, through_a, gradients = rebuild(a, x, own)
            terms["loss"] = loss if not parts.objective.terms else loss + terms["loss"]
            grad_a = through_a if not parts.objective.terms else through_a + grad_a
        grad_z = self.activation.backward(grad_a, z, a)
        direct = [each for each in (grad_weight, gradients.get("weight")) if each is not None]
        gradients["weight"] = sum(direct, start=grad_z.mT @ x)  # (S, k, d)
        gradients["bias"] = grad_z.sum(dim=1)
        return terms, gradients

    def _gather(self, order: Tensor) -> Float[Tensor, "s n d"]:
        """Each replica's rows, in a reused buffer: new memory would cost as much as the copy."""
        index = order.reshape(-1)
        shape = (len(index), self.inputs.shape[1])
        if self._buffer.numel() < shape[0] * shape[1]:
            self._buffer = torch.empty(shape[0] * shape[1], device=self.inputs.device)
        rows = self._buffer[: shape[0] * shape[1]].view(shape)
        torch.index_select(self.inputs, 0, index, out=rows)
        return rows.view(*order.shape, -1)
