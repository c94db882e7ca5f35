"""Trains trials of one cell together. No Ray, no files, no clock, no printing.

The numbers of a trial must not depend on the pack it is trained in. On a CPU most trials run in compiled loops, each in
its own (`compiled_trial`). The others, and all on a GPU, are one stacked tensor, computed by torch: its step is the
definition, with which the loops are compared (`stack`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.process.environment import without_numba
from infomax_tune.process.signals import kept_from_threads
from infomax_tune.science import metrics
from infomax_tune.science.activations import layer_activation
from infomax_tune.science.data import Dataset
from infomax_tune.science.layer_parts import parts_of
from infomax_tune.science.metrics import Measured
from infomax_tune.science.model import SingleLayer
from infomax_tune.science.optimizers import Optimizer
from infomax_tune.science.stack import Stack, stackable
from infomax_tune.science.stepper import Stepper, TrialState
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig

_WIDEST = 512
"""Units above which the products of units with units dominate a step, and torch's are faster."""


@dataclass(frozen=True)
class EpochReport:
    """The state of a pack after an epoch (0: before any training). Valid only until the next report is made."""

    epoch: int
    losses: list[dict[str, float]]
    """Per trial, the means over the epoch's rows of loss, entropy, tc and wr; NaN at epoch 0."""
    _members: list[tuple[Stepper, int]]
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

    def measure_at_the_end(self, trial: int) -> Measured:
        """The trial's metrics that are measured only at the end, but those of its losses."""
        config = self._members[trial][0].config
        asked_for = metrics.asked_for(config, "trained layer", "labels")
        return _measure(config, self._layer(trial), self._dataset, asked_for)

    def _layer(self, trial: int) -> SingleLayer:
        """The trial's layer: a stack of one."""
        stack, replica = self._members[trial]
        return _layer(stack.parameters(replica))


def measure_later(
    config: TrialConfig, weights: Mapping[str, Tensor], dataset: Dataset, asked_for: Mapping[str, Metric]
) -> Measured:
    """What a finished trial's `EpochReport` would have measured on a CPU at its end, bit for bit, from its weights.

    asked_for: the metrics, by name, none of them of its losses.
    """
    return _measure(config, _layer(weights), dataset, asked_for)


def shapes_of(config: TrialConfig, inputs: int) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a `TrialState` of this trial, by name. inputs: the numbers in a row of its data."""
    parts, units = parts_of(config), config.model.hidden_dim
    weight, bias = (torch.empty(shape, device="meta") for shape in ((1, units, inputs), (1, units)))
    rebuilt = parts.objective.initial(weight) if parts.objective.initial else {}
    tensors = {"weight": weight, "bias": bias, **rebuilt}
    tensors |= Optimizer(parts.rule, config.training.lr, tensors).moments
    return {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()}


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
    stacks: Sequence[Stepper]
    if compiled and device == "cpu" and not why_not_compiled(pack[0], dataset):
        stacks = _compiled_trials(pack, states, dataset)
    else:
        inputs = _tensor(dataset.train).to(device)
        together = stacked and stackable(pack[0], inputs.shape[1])
        groups = [range(len(pack))] if together else [range(i, i + 1) for i in range(len(pack))]
        stacks = [Stack([pack[i] for i in group], [states[i] for i in group], inputs) for group in groups]
    members = [(stack, replica) for stack in stacks for replica in range(stack.size)]

    begun = start[0].epoch if start is not None else 0
    if start is None:
        nothing = dict.fromkeys(columns.TERMS, math.nan)
        yield EpochReport(0, [dict(nothing) for _ in pack], members, dataset)
    with _threads(stacks) as each:
        for epoch in range(begun + 1, pack[0].training.epochs + 1):
            found = each(lambda stack, epoch=epoch: stack.train_epoch(epoch, batches))
            yield EpochReport(epoch, list(itertools.chain(*found)), members, dataset)


def why_not_compiled(config: TrialConfig, dataset: Dataset) -> str:
    """Why a trial is trained by torch on a CPU, and not in compiled loops; "" if it is not."""
    if config.model.hidden_dim > _WIDEST:
        return f"it has more than {_WIDEST} units"
    if dataset.nonzeros is None:
        return "most numbers of its data are not zero"
    if reason := without_numba():
        return f"numba is {reason}"
    from infomax_tune.science.compiled_trial import why_not  # numba is slow to import

    return why_not(parts_of(config))


def _compiled_trials(
    pack: Sequence[TrialConfig], states: Sequence[TrialState | None], dataset: Dataset
) -> Sequence[Stepper]:
    from infomax_tune.science.compiled_trial import CompiledTrial

    return [CompiledTrial(config, state, dataset) for config, state in zip(pack, states, strict=True)]


@contextlib.contextmanager
def _threads(stacks: Sequence[Stepper]) -> Iterator[Callable[[Callable[[Any], Any]], Iterable[Any]]]:
    """Yields a `map` over the stacks. Torch's threads share the work of a stack; compiled trials run in a thread each."""
    threads = min(torch.get_num_threads(), len(stacks))
    if threads == 1 or isinstance(stacks[0], Stack):
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


def _layer(parameters: Mapping[str, Tensor]) -> SingleLayer:
    """A stack of one layer."""
    return SingleLayer(parameters["weight"].unsqueeze(0), parameters["bias"].unsqueeze(0))


def _activations(config: TrialConfig, layer: SingleLayer, rows: np.ndarray) -> Float[Tensor, "n k"]:
    """The activations (N, K) of a stack of one layer on these rows (N, D), on the CPU."""
    x = _tensor(rows).to(layer.weight.device)
    z = layer.pre_activation(x.unsqueeze(0))
    parts = parts_of(config)
    return layer_activation(parts.activation, parts.head).forward(z)[0].cpu()


def _measure(config: TrialConfig, layer: SingleLayer, data: Dataset, asked_for: Mapping[str, Metric]) -> Measured:
    """These metrics of a stack of one layer."""
    found, parts = Measured(), parts_of(config)
    test = _activations(config, layer, data.test)
    measured = Layer(layer.weight[0].cpu().double(), test.double(), parts.bound, parts.competitive)
    labeled: tuple[Any, ...] = ()
    for name, metric in asked_for.items():
        if metric.on == "labels":
            labeled = labeled or (_activations(config, layer, data.train), data.train_labels, test, data.test_labels)
            found.add(name, metric, *labeled)
        else:
            found.add(name, metric, measured)
    return found


def _tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor without a copy. torch warns that Ray's shared memory is read-only; nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
