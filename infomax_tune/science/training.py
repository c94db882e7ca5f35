"""Trains trials of one cell together. No Ray, no files, no clock, no printing.

The numbers of a trial must not depend on the pack it is trained in. On a CPU most trials run in compiled loops, each in
its own (`compiled_trial`). The others, and all on a GPU, are one stacked tensor, computed by torch: its step is the
definition, with which the loops are compared. On a CPU its products and elementwise operations keep the promise as long
as each replica's slab of every tensor fills whole vector registers; where it does not (an odd width, a short last
batch), replicas are computed one after another instead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infomax_tune.process.signals import kept_from_threads
from infomax_tune.science import metrics
from infomax_tune.science.activations import activate, with_head
from infomax_tune.science.data import Dataset, shuffle
from infomax_tune.science.losses import Terms, infomax_gradient, reconstruction, redundancy
from infomax_tune.science.model import SingleLayer
from infomax_tune.science.optimizers import Optimizer
from infomax_tune.study.config import TrialConfig

if TYPE_CHECKING:
    from infomax_tune.science.compiled_trial import CompiledTrial

_LANES = 16
"""float32 numbers in the widest CPU vector register (AVX-512)."""
_LARGEST_BATCH = 1024
"""Rows above which a batch's activations leave the core's cache, so that the compiled loops lose their advantage."""
_WIDEST = 512
"""Units above which the products of units with units dominate a step, and torch's are faster."""
_UNROLLED = 64
"""In multiples of so many elements, torch's elementwise loops leave no scalar remainder, which may round differently."""
_GATHER_LIMIT = 2**26
"""Elements (256 MiB) above which stacking a batch is not worth its memory: each replica's products are large enough alone."""


@dataclass(frozen=True)
class TrialState:
    """All that a trial needs to resume: its last epoch, and its parameters and optimizer moments, unstacked, on the CPU.

    tensors: weight (K, D), bias (K,), for reconstruction offset (D,), and with Adam `<name>.exp_avg` and `.exp_avg_sq`.
    """

    epoch: int
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class EpochReport:
    """The state of a pack after an epoch (0: before any training). Valid only until the next report is made."""

    epoch: int
    losses: list[dict[str, float]]
    """Per trial, the means over the epoch's rows of loss, entropy, tc and wr; NaN at epoch 0."""
    _members: list[tuple[_Stack | CompiledTrial, int]]
    _dataset: Dataset

    def state(self, trial: int) -> TrialState:
        """A copy of what the trial at this index of the pack needs to resume from here."""
        stack, replica = self._members[trial]
        return TrialState(self.epoch, stack.tensors(replica))

    def is_finite(self, trial: int) -> bool:
        """Whether the trial's parameters, and its losses if it was trained, are all finite; if not, it diverged."""
        stack, replica = self._members[trial]
        losses_finite = self.epoch == 0 or all(math.isfinite(value) for value in self.losses[trial].values())
        return losses_finite and all(bool(p.isfinite().all()) for p in stack.parameters(replica).values())

    def evaluate(self, trial: int) -> dict[str, float]:
        """The trial's metrics on the whole test set."""
        stack, replica = self._members[trial]
        activations = _activations(stack.config, self._layer(trial), self._dataset.test)
        weight = stack.parameters(replica)["weight"].cpu()
        return metrics.evaluate(weight, activations, metrics.asked_for(stack.config, "layer"))

    def probe(self, trial: int) -> dict[str, float]:
        """The trial's metrics on labels that its settings ask for."""
        stack, _ = self._members[trial]
        return _probe(stack.config, self._layer(trial), self._dataset)

    def _layer(self, trial: int) -> SingleLayer:
        """The trial's layer: a stack of one."""
        stack, replica = self._members[trial]
        return _layer(stack.parameters(replica))


def probe_of(config: TrialConfig, state: TrialState, dataset: Dataset) -> dict[str, float]:
    """What `EpochReport.probe` gives on a CPU, bit for bit, for a finished trial from its weights."""
    return _probe(config, _layer(state.tensors), dataset)


def train(
    pack: Sequence[TrialConfig],
    dataset: Dataset,
    start: Sequence[TrialState] | None = None,
    *,
    device: str = "cpu",
    stacked: bool = True,
    compiled: bool = True,
    batches: int | None = None,
) -> Iterator[EpochReport]:
    """Trains the trials of one cell together, and yields a report per epoch.

    pack: trials that differ only in seed. start: the state that each resumes from, all of one epoch; None starts from
    the beginning, and yields epoch 0 first. device: cpu, cuda or mps. stacked: False computes the replicas one after
    another. compiled: False computes all with torch. batches: how many batches to train of each epoch, to measure
    their time; None is all.
    Raises ValueError if the trials are not of one cell or their states not of one epoch.
    """
    if len({config.cell_numbers for config in pack}) != 1:
        raise ValueError("a pack must hold trials that differ only in seed")
    if start is not None and len({state.epoch for state in start}) != 1:
        raise ValueError("a pack must start at one epoch")
    states = list(start) if start is not None else [None] * len(pack)
    stacks: Sequence[_Stack | CompiledTrial]
    if compiled and device == "cpu" and _runs_compiled(pack[0], dataset):
        stacks = _compiled_trials(pack, states, dataset)
    else:
        inputs = _tensor(dataset.train).to(device)
        together = stacked and _stackable(pack[0], inputs.shape[1])
        groups = [range(len(pack))] if together else [range(i, i + 1) for i in range(len(pack))]
        stacks = [_Stack([pack[i] for i in group], [states[i] for i in group], inputs) for group in groups]
    members = [(stack, replica) for stack in stacks for replica in range(stack.size)]

    begun = start[0].epoch if start is not None else 0
    if start is None:
        nothing = dict.fromkeys(Terms._fields, math.nan)
        yield EpochReport(0, [dict(nothing) for _ in pack], members, dataset)
    with _threads(stacks) as each:
        for epoch in range(begun + 1, pack[0].training.epochs + 1):
            found = each(lambda stack, epoch=epoch: stack.train_epoch(epoch, batches))
            yield EpochReport(epoch, list(itertools.chain(*found)), members, dataset)


def _runs_compiled(config: TrialConfig, dataset: Dataset) -> bool:
    """Whether a trial runs in compiled loops on a CPU: what most studies are made of does."""
    return (
        config.loss.objective in ("infomax", "variance_only")
        and config.loss.lambda_wr == 0
        and 0 < config.data.batch_size <= _LARGEST_BATCH
        and config.model.hidden_dim <= _WIDEST
        and importlib.util.find_spec("numba") is not None
        and dataset.nonzeros is not None
    )


def _compiled_trials(
    pack: Sequence[TrialConfig], states: Sequence[TrialState | None], dataset: Dataset
) -> list[CompiledTrial]:
    from infomax_tune.science.compiled_trial import CompiledTrial  # numba is slow to import

    return [
        CompiledTrial(config, state.tensors if state else None, state.epoch if state else 0, dataset)
        for config, state in zip(pack, states, strict=True)
    ]


@contextlib.contextmanager
def _threads(stacks: Sequence[_Stack | CompiledTrial]) -> Iterator[Callable[[Callable[[Any], Any]], Iterable[Any]]]:
    """Yields a `map` over the stacks. Torch's threads share the work of a stack; compiled trials run in a thread each."""
    threads = min(torch.get_num_threads(), len(stacks))
    if threads == 1 or isinstance(stacks[0], _Stack):
        yield lambda work: map(work, stacks)
        return
    with ThreadPoolExecutor(threads) as pool:

        def each(work: Callable[[Any], Any]) -> Iterable[Any]:
            with kept_from_threads():
                return pool.map(work, stacks)

        yield each


def packs_agree(pack: Sequence[TrialConfig], dataset: Dataset) -> bool:
    """Whether, on this CPU, a few steps give a pack bit for bit the numbers that its trials have alone.

    Trains on just enough rows to have every shape of batch, a whole one and the short last one, and compares the first
    and the last trial of the pack.
    """
    batch = pack[0].data.batch_size
    if len(pack) == 1 or batch == -1 or pack[0].training.epochs == 0:
        return True  # nothing is stacked
    rows = min(len(dataset.train), batch + len(dataset.train) % batch)
    few = dataclasses.replace(dataset, train=dataset.train[:rows])
    short = [config.with_epochs(1) for config in pack]
    together = _last(train(short, few))
    for i in (0, len(pack) - 1):
        alone = _last(train([short[i]], few))
        one, other = together.state(i).tensors, alone.state(0).tensors
        same = all(one[name].numpy().tobytes() == other[name].numpy().tobytes() for name in one)
        if not same or str(together.losses[i]) != str(alone.losses[0]):
            return False
    return True


def _last(reports: Iterator[EpochReport]) -> EpochReport:
    *_, last = reports
    return last


def _stackable(config: TrialConfig, inputs: int) -> bool:
    """Whether each replica's parameters fill whole vector registers, so that stacking them changes no bit."""
    if inputs == 1 or (config.loss.objective == "reconstruction" and inputs % _LANES):
        return False
    return config.model.hidden_dim % _LANES == 0


class _Stack:
    """Replicas (S) of one cell in one tensor, with their optimizer."""

    def __init__(
        self, configs: Sequence[TrialConfig], states: Sequence[TrialState | None], inputs: Float[Tensor, "n d"]
    ) -> None:
        self.config = configs[0]
        self.seeds = [config.training.seed for config in configs]
        self.size = len(configs)
        self.inputs = inputs
        batch = self.config.data.batch_size
        self.batch = len(inputs) if batch == -1 else batch
        self.stacked = self._initial_parameters()
        self.optimizer = Optimizer(self.config.training.optimizer, self.config.training.lr, self.stacked)
        begun = [state for state in states if state is not None]
        if begun:
            self._restore(begun)
        self._buffer = torch.empty(0, device=inputs.device)

    def _initial_parameters(self) -> dict[str, Tensor]:
        layer = SingleLayer.initial(self.seeds, self.config.model.hidden_dim, self.inputs.shape[1])
        parameters = {"weight": layer.weight, "bias": layer.bias}
        if self.config.loss.objective == "reconstruction":
            parameters["offset"] = torch.zeros(self.size, self.inputs.shape[1])
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
        for first in range(0, rows, self.batch):
            count = min(self.batch, rows - first)
            terms = self._step(None if order is None else order[:, first : first + count])
            sums.append(torch.stack(terms))  # (4, S)
            counts.append(count)
        weights = torch.tensor(counts, dtype=torch.float64) / rows
        history = torch.stack(sums).cpu().double()  # (batches, 4, S)
        # each replica's means come from a tensor of its own: the shape decides in which order torch sums
        means = [(history[:, :, replica].T.contiguous() * weights).sum(dim=1) for replica in range(self.size)]
        losses = [dict(zip(Terms._fields, mean.tolist(), strict=True)) for mean in means]
        if self.config.loss.lambda_wr == 0:
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
            terms = Terms(*(torch.cat([getattr(own, name) for own, _ in parts]) for name in Terms._fields))
            gradients = {name: torch.cat([own[name] for _, own in parts]) for name in self.stacked}
        self.optimizer.step(gradients)
        return terms

    def _gradients(self, replicas: slice, order: Tensor | None) -> tuple[Terms, dict[str, Tensor]]:
        """The terms and the gradient of each parameter for these replicas, on their rows of the data."""
        weight, bias = self.stacked["weight"][replicas], self.stacked["bias"][replicas]
        loss = self.config.loss
        x = self.inputs.unsqueeze(0) if order is None else self._gather(order)  # (S, n, d)
        activation = with_head(self.config.model.activation, self.config.model.head)
        z = SingleLayer(weight, bias).pre_activation(x)  # (S, n, k)
        a = activation.forward(z)
        terms, direct = infomax_gradient(
            a, weight, lambda_tc=loss.lambda_tc, lambda_wr=loss.lambda_wr, eps=loss.variance_eps
        )
        gradients: dict[str, Tensor] = {}
        grad_a, grad_weight = direct
        if loss.objective == "reconstruction":
            rebuilt = reconstruction(a, weight, x, self.stacked["offset"][replicas])
            terms = terms._replace(loss=rebuilt.loss)
            grad_a, grad_weight, gradients["offset"] = rebuilt.activation, rebuilt.weight, rebuilt.offset
        grad_z = activation.backward(grad_a, z, a)
        through_z = grad_z.mT @ x  # (S, k, d)
        gradients["weight"] = through_z if grad_weight is None else through_z + grad_weight
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


def _layer(parameters: Mapping[str, Tensor]) -> SingleLayer:
    """A stack of one layer."""
    return SingleLayer(parameters["weight"].unsqueeze(0), parameters["bias"].unsqueeze(0))


def _activations(config: TrialConfig, layer: SingleLayer, rows: np.ndarray) -> Float[Tensor, "n k"]:
    """The activations (N, K) of a stack of one layer on these rows (N, D), on the CPU."""
    x = _tensor(rows).to(layer.weight.device)
    z = layer.pre_activation(x.unsqueeze(0))
    return activate(z, config.model.activation, config.model.head)[0].cpu()


def _probe(config: TrialConfig, layer: SingleLayer, data: Dataset) -> dict[str, float]:
    """The metrics on labels that the settings ask for, of a stack of one layer."""
    asked_for = metrics.asked_for(config, "labels")
    if not asked_for:
        return {}
    train, test = _activations(config, layer, data.train), _activations(config, layer, data.test)
    labeled = (train, data.train_labels, test, data.test_labels)
    return {name: float(metric.measure(*labeled)) for name, metric in asked_for.items()}


def _tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor without a copy. torch warns that Ray's shared memory is read-only; nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
