"""Training: a trial's numbers depend on its config alone, are those of the formulas, and survive an interruption."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from infomax_tune.parts.metrics.probe_accuracy import probe_accuracy
from infomax_tune.science import metrics
from infomax_tune.science.data import Dataset
from infomax_tune.science.model import SingleLayer, initial_weight
from infomax_tune.science.training import EpochReport, TrialState, train
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig, choices

ACTIVATIONS = choices("model.activation")

MakeConfig = Callable[..., TrialConfig]
Array = NDArray[np.float64]

SEEDS = range(1, 11)
PACKS = (2, 3, 5, 10)


def random_dataset(rows: int, inputs: int = 784) -> Dataset:
    """Sparse bytes / 255, as in images; the first column holds the row's number / 1024."""
    generator = np.random.default_rng(rows)
    pixels = generator.integers(256, size=(rows + 50, inputs)) * (generator.random((rows + 50, inputs)) < 0.3)
    x = (pixels / 255).astype(np.float32)
    x[:, 0] = np.arange(rows + 50) / 1024
    labels = generator.integers(10, size=rows + 50)
    return Dataset("random", x[:rows], x[rows:], labels[:rows], labels[rows:])


def fingerprint(report: EpochReport, trial: int) -> dict[str, bytes]:
    """All numbers of a trial at this epoch, to the bit: parameters, moments, losses and metrics, at epoch 2 those of the end."""
    found = {name: tensor.numpy().tobytes() for name, tensor in report.state(trial).tensors.items()}
    numbers: dict[str, object] = {**report.losses[trial], **report.evaluate(trial)}
    if report.epoch == 2:
        end = report.measure_at_the_end(trial)
        numbers |= end.numbers | end.units
    return found | {name: np.asarray(value, np.float64).tobytes() for name, value in numbers.items()}


def course(
    pack: Sequence[TrialConfig], dataset: Dataset, start: Sequence[TrialState] | None = None, *, stacked: bool = True
) -> list[list[dict[str, bytes]]]:
    """Per trial, its fingerprint at each epoch."""
    reports = train(pack, dataset, start, stacked=stacked)
    epochs = [[fingerprint(report, i) for i in range(len(pack))] for report in reports]
    return [list(trial) for trial in zip(*epochs, strict=True)]


def differing(found: list[dict[str, bytes]], expected: list[dict[str, bytes]]) -> set[str]:
    """The names of the numbers that differ at any epoch: a shorter message than two dumps of bytes."""
    assert len(found) == len(expected)
    return {
        name for one, other in zip(found, expected, strict=True) for name in one | other if one[name] != other[name]
    }


def assert_packs_agree(dataset: Dataset, configs: Sequence[TrialConfig], packs: Sequence[int] = PACKS) -> None:
    alone = [course([config], dataset)[0] for config in configs[: max(packs)]]
    assert alone[0][-1]["weight"] != alone[1][-1]["weight"]
    for size in packs:
        for trial, found in enumerate(course(configs[:size], dataset)):
            assert differing(found, alone[trial]) == set(), f"trial {trial} in a pack of {size}"


def cell(make_config: MakeConfig, **settings: object) -> list[TrialConfig]:
    return [make_config(**{"epochs": 2, **settings, "seed": seed}) for seed in SEEDS]


@pytest.fixture(scope="module")
def wide() -> Dataset:
    """Two batches of 128 and a ragged one of 45."""
    return random_dataset(301)


# ---- the pack a trial rides in


@pytest.mark.parametrize("units", [16, 64])
@pytest.mark.parametrize("head", ["none", "softmax"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_trials_numbers_do_not_depend_on_its_pack(
    make_config: MakeConfig, wide: Dataset, activation: str, head: str, units: int
) -> None:
    """Bit for bit: weights, moments, losses and metrics of packs of 1, 2, 3, 5 and 10."""
    assert_packs_agree(wide, cell(make_config, activation=activation, head=head, hidden_dim=units))


def parameters_and_losses(report: EpochReport, trial: int) -> tuple[dict[str, bytes], dict[str, float]]:
    tensors = report.state(trial).tensors
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}, report.losses[trial]


@pytest.mark.parametrize("head", ["none", "softmax"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_trials_numbers_do_not_depend_on_its_pack_where_torch_computes_them(
    make_config: MakeConfig, wide: Dataset, activation: str, head: str
) -> None:
    pack = cell(make_config, activation=activation, head=head)
    *_, together = train(pack, wide, compiled=False)
    for trial in (0, 4, 9):
        *_, alone = train([pack[trial]], wide, compiled=False)
        assert parameters_and_losses(together, trial) == parameters_and_losses(alone, 0)


def test_compiled_trials_share_the_threads_and_no_bit_changes(make_config: MakeConfig, wide: Dataset) -> None:
    pack = cell(make_config, activation="tanh")
    *_, one = train(pack, wide)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        *_, three = train(pack, wide)
    finally:
        torch.set_num_threads(threads)
    for trial in range(len(pack)):
        assert parameters_and_losses(one, trial) == parameters_and_losses(three, trial)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "activation": "tanh", "lambda_wr": 1.0},
        {"batch_size": -1},
        {"batch_size": -1, "activation": "softplus", "optimizer": "sgd"},
        {"lambda_tc": 10.0, "lambda_wr": 1.0},
        {"objective": "reconstruction"},
        {"objective": "reconstruction", "activation": "tanh", "optimizer": "sgd"},
        {"objective": "reconstruction", "batch_size": -1},
        {"objective": "variance_only", "activation": "tanh"},
        {"objective": "random"},
        *({"hidden_dim": units} for units in (1, 5, 8, 24, 48)),
        {"hidden_dim": 5, "activation": "softmax", "optimizer": "sgd"},
        {"hidden_dim": 5, "objective": "reconstruction", "activation": "softplus"},
        *({"batch_size": size, "activation": "softplus", "epochs": 1} for size in (9, 32, 101, 149, 299)),
    ],
    ids=lambda settings: " ".join(f"{key}={value}" for key, value in settings.items()),
)
def test_a_trials_numbers_do_not_depend_on_its_pack_under_other_settings(
    make_config: MakeConfig, wide: Dataset, settings: dict[str, object]
) -> None:
    """Other optimizers, objectives, widths that do not fill a register, and last batches of 4, 13, 99, 3 and 2 rows."""
    assert_packs_agree(wide, cell(make_config, **settings))


@pytest.mark.parametrize("objective", ["infomax", "reconstruction"])
@pytest.mark.parametrize("inputs", [3, 17, 100])
def test_a_trials_numbers_do_not_depend_on_its_pack_whatever_the_number_of_inputs(
    make_config: MakeConfig, inputs: int, objective: str
) -> None:
    configs = cell(make_config, objective=objective, activation="softplus", batch_size=64)
    assert_packs_agree(random_dataset(150, inputs), configs, packs=(3, 10))


@pytest.mark.parametrize("activation", ["relu", "softmax"])
def test_a_trials_numbers_on_digits_do_not_depend_on_its_pack(
    make_config: MakeConfig, digits: Dataset, activation: str
) -> None:
    configs = cell(make_config, dataset="digits", activation=activation, epochs=1)
    assert_packs_agree(digits, configs, packs=(3, 10))


@pytest.mark.parametrize("objective", ["infomax", "reconstruction"])
def test_a_trials_numbers_on_synthetic_2d_do_not_depend_on_its_pack(
    make_config: MakeConfig, synthetic_2d: Dataset, objective: str
) -> None:
    configs = cell(make_config, dataset="synthetic_2d", activation="tanh", objective=objective, epochs=1)
    assert_packs_agree(synthetic_2d, configs, packs=(5,))


@pytest.mark.parametrize(
    "settings", [{}, {"objective": "reconstruction"}, {"batch_size": -1}, {"hidden_dim": 5}], ids=str
)
def test_computing_the_replicas_one_after_another_changes_no_bit(
    make_config: MakeConfig, wide: Dataset, settings: dict[str, object]
) -> None:
    pack = cell(make_config, activation="softplus", **settings)[:3]
    one_by_one = course(pack, wide, stacked=False)
    for found, expected in zip(course(pack, wide, stacked=True), one_by_one, strict=True):
        assert differing(found, expected) == set()


def test_a_trials_numbers_do_not_depend_on_its_place_or_on_a_twin(make_config: MakeConfig, wide: Dataset) -> None:
    one, two, three = cell(make_config, activation="tanh")[:3]
    forward = course([one, two, three], wide)
    backward = course([three, two, one, two], wide)
    for found, expected in zip(backward, [*reversed(forward), forward[1]], strict=True):
        assert differing(found, expected) == set()


# ---- the numbers themselves


def softmax(z: Array) -> Array:
    exponential = np.exp(z - z.max(axis=1, keepdims=True))
    return exponential / exponential.sum(axis=1, keepdims=True)


def softmax_slope(grad: Array, a: Array) -> Array:
    return np.stack([(np.diag(row) - np.outer(row, row)) @ g for row, g in zip(a, grad, strict=True)])


F: dict[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.where(z > 0, z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "tanh": np.tanh,
    "softplus": lambda z: np.log1p(np.exp(z)),
    "softmax": softmax,
    "gelu": lambda z: z * norm.cdf(z),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "abs": np.abs,
}
SLOPE: dict[str, Callable[[Array, Array], Array]] = {
    "identity": lambda g, z: g,
    "relu": lambda g, z: np.where(z > 0, g, 0),
    "leaky_relu": lambda g, z: np.where(z > 0, g, 0.01 * g),
    "tanh": lambda g, z: g / np.cosh(z) ** 2,
    "softplus": lambda g, z: g / (1 + np.exp(-z)),
    "softmax": lambda g, z: softmax_slope(g, softmax(z)),
    "gelu": lambda g, z: g * (norm.cdf(z) + z * norm.pdf(z)),
    "silu": lambda g, z: g * (1 + np.exp(-z) * (1 + z)) / (1 + np.exp(-z)) ** 2,
    "elu": lambda g, z: np.where(z > 0, g, g * np.exp(np.minimum(z, 0))),
    "abs": lambda g, z: g * np.sign(z),
}


class Reference:
    """One trial in NumPy float64, from the formulas: the gradients go through the standardized activations."""

    def __init__(self, config: TrialConfig, dataset: Dataset) -> None:
        self.config = config
        self.x = dataset.train.astype(np.float64)
        inputs, units = self.x.shape[1], config.model.hidden_dim
        weight = initial_weight(config.training.seed, units, inputs).double().numpy()
        self.parameters = {"weight": weight, "bias": np.zeros(units), "offset": np.zeros(inputs)}
        self.first = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self.second = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self.steps = 0

    def epoch(self, number: int) -> dict[str, float]:
        rows = len(self.x)
        size = rows if self.config.data.batch_size == -1 else self.config.data.batch_size
        order = np.random.default_rng([self.config.training.seed, number]).permutation(rows)
        sums = dict.fromkeys(columns.TERMS, 0.0)
        for first in range(0, rows, size):
            batch = self.x[order[first : first + size]]
            for name, value in self.step(batch).items():
                sums[name] += value * len(batch)
        means = {name: value / rows for name, value in sums.items()}
        if self.config.loss.lambda_wr == 0:
            means["wr"] = self.redundancy()[0]  # no step needs it: it is that of the last weights
        return means

    def redundancy(self) -> tuple[float, Array, Array, Array]:
        """wr, and what it is made of: the rows' norms, the rows over their length, and their products."""
        weight = self.parameters["weight"]
        norms = np.linalg.norm(weight, axis=1)
        unit = weight / (norms + self.config.loss.variance_eps)[:, None]
        g = unit @ unit.T
        return ((g - np.eye(len(g))) ** 2).sum(), norms, unit, g

    def step(self, x: Array) -> dict[str, float]:
        loss, head = self.config.loss, self.config.model.head
        f, slope = F[self.config.model.activation], SLOPE[self.config.model.activation]
        weight, bias, offset = self.parameters["weight"], self.parameters["bias"], self.parameters["offset"]
        z = x @ weight.T + bias
        a = softmax(f(z)) if head == "softmax" else f(z)
        n, k = a.shape

        centered = a - a.mean(axis=0)
        sd = np.sqrt(a.var(axis=0, ddof=1) + loss.variance_eps)
        standard = centered / sd
        c = standard.T @ standard / (n - 1)
        wr, norms, unit, g = self.redundancy()
        entropy, tc = -2 * np.log(sd).sum(), ((c - np.eye(k)) ** 2).sum()

        grads = dict.fromkeys(self.parameters, 0.0)
        if loss.objective == "reconstruction":
            error = x - a @ weight - offset
            total = (error**2).sum(axis=1).mean()
            grad_a = -2 * error @ weight.T / n
            grads["weight"] = -2 * a.T @ error / n
            grads["offset"] = -2 * error.mean(axis=0)
        else:
            total = entropy + loss.lambda_tc * tc + loss.lambda_wr * wr
            grad_standard = 4 * loss.lambda_tc / (n - 1) * standard @ (c - np.eye(k))
            grad_sd = -(grad_standard * centered).sum(axis=0) / sd**2 - 2 / sd
            grad_centered = grad_standard / sd + grad_sd * centered / (sd * (n - 1))
            grad_a = grad_centered - grad_centered.mean(axis=0)
            grad_unit = 4 * loss.lambda_wr * (g - np.eye(k)) @ unit
            length = norms + loss.variance_eps
            jacobians = [
                np.eye(len(w)) / m - np.outer(w, w) / (norm * m**2)
                for w, norm, m in zip(weight, norms, length, strict=True)
            ]
            grads["weight"] = np.stack([j @ row for j, row in zip(jacobians, grad_unit, strict=True)])
        if head == "softmax":
            grad_a = softmax_slope(grad_a, a)
        grad_z = slope(grad_a, z)
        grads["weight"] = grads["weight"] + grad_z.T @ x
        grads["bias"] = grad_z.sum(axis=0)
        self.update(grads)
        return {"loss": total, "entropy": entropy, "tc": tc, "wr": wr}

    def update(self, grads: dict[str, Array]) -> None:
        self.steps += 1
        lr = self.config.training.lr
        for name, grad in grads.items():
            if self.config.training.optimizer == "sgd":
                self.parameters[name] = self.parameters[name] - lr * grad
                continue
            self.first[name] = 0.9 * self.first[name] + 0.1 * grad
            self.second[name] = 0.999 * self.second[name] + 0.001 * grad**2
            mean = self.first[name] / (1 - 0.9**self.steps)
            square = self.second[name] / (1 - 0.999**self.steps)
            self.parameters[name] = self.parameters[name] - lr * mean / (np.sqrt(square) + 1e-8)


@pytest.mark.parametrize(
    "settings",
    [
        *({"activation": name} for name in ACTIVATIONS),
        *({"activation": name, "head": "softmax"} for name in ("identity", "relu", "tanh")),
        {"activation": "tanh", "lambda_tc": 10.0, "lambda_wr": 3.0},
        {"activation": "relu", "lambda_wr": 10.0, "variance_eps": 0.01, "hidden_dim": 5},
        {"activation": "tanh", "optimizer": "sgd", "lr": 0.01},
        {"activation": "relu", "batch_size": -1, "epochs": 4},
        {"activation": "leaky_relu", "objective": "variance_only"},
        {"activation": "relu", "objective": "reconstruction"},
        {"activation": "tanh", "objective": "reconstruction", "optimizer": "sgd", "lr": 0.1, "head": "softmax"},
    ],
    ids=lambda settings: " ".join(f"{key}={value}" for key, value in settings.items()),
)
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "torch"])
def test_training_is_the_formulas_in_numpy(
    make_config: MakeConfig, settings: dict[str, object], compiled: bool
) -> None:
    """Two epochs with a ragged last batch, as a pack of two: parameters and the logged means of every term."""
    dataset = random_dataset(150, inputs=30)
    settings = {"batch_size": 64, "epochs": 2, **settings}
    pack = [make_config(**settings, seed=seed) for seed in (4, 9)]
    references = [Reference(config, dataset) for config in pack]
    report = None
    for report in train(pack, dataset, compiled=compiled):
        for i, reference in enumerate(references):
            if report.epoch:
                assert report.losses[i] == pytest.approx(reference.epoch(report.epoch), rel=1e-4, abs=1e-4)
            for name, tensor in report.state(i).tensors.items():
                # without a head, the identity's loss does not see the bias: its gradient is rounding, which Adam blows up
                unseen = name == "bias" and settings["activation"] == "identity" and "head" not in settings
                if "." not in name and not unseen:
                    np.testing.assert_allclose(tensor, reference.parameters[name], rtol=1e-4, atol=1e-4)
    assert report is not None
    moved = np.abs(references[0].parameters["weight"] - initial_weight(4, pack[0].model.hidden_dim, 30).numpy())
    assert moved.mean() > 1e-3  # or the comparison would show nothing


@pytest.mark.parametrize(
    "settings", [{}, {"lambda_tc": 10.0, "lambda_wr": 3.0}, {"objective": "variance_only"}], ids=str
)
def test_the_loss_is_the_weighted_sum_of_its_terms(
    make_config: MakeConfig, wide: Dataset, settings: dict[str, object]
) -> None:
    pack = [make_config(activation="tanh", epochs=2, seed=seed, **settings) for seed in (1, 2)]
    for report in list(train(pack, wide))[1:]:
        for trial, config in zip(report.losses, pack, strict=True):
            assert tuple(trial) == columns.TERMS
            assert trial["tc"] > 0
            assert trial["wr"] > 0
            total = trial["entropy"] + config.loss.lambda_tc * trial["tc"] + config.loss.lambda_wr * trial["wr"]
            assert trial["loss"] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("objective", ["infomax", "variance_only", "reconstruction"])
def test_training_lowers_the_loss(make_config: MakeConfig, digits: Dataset, objective: str) -> None:
    *_, first, _, last = train([make_config(dataset="digits", objective=objective, epochs=3)], digits)
    assert (first.epoch, last.epoch) == (1, 3)
    assert last.losses[0]["loss"] < first.losses[0]["loss"]


def test_the_metrics_are_of_the_whole_test_set(make_config: MakeConfig, wide: Dataset) -> None:
    *_, report = train([make_config(activation="tanh", epochs=1, seed=seed) for seed in (1, 2)], wide)
    tensors = report.state(1).tensors
    z = wide.test.astype(np.float64) @ tensors["weight"].double().numpy().T + tensors["bias"].double().numpy()
    expected = metrics.evaluate(tensors["weight"], torch.from_numpy(np.tanh(z)))
    assert report.evaluate(1) == pytest.approx(expected, rel=1e-4, nan_ok=True)


def test_the_probe_is_fitted_on_the_training_set(make_config: MakeConfig, digits: Dataset) -> None:
    (report,) = train([make_config(dataset="digits", epochs=0, probe=True)], digits)
    tensors = report.state(0).tensors
    layer = SingleLayer(tensors["weight"].unsqueeze(0), tensors["bias"].unsqueeze(0))
    train_a, test_a = (
        torch.relu(layer.pre_activation(torch.from_numpy(x).unsqueeze(0)))[0] for x in (digits.train, digits.test)
    )
    expected = probe_accuracy.measure(train_a, digits.train_labels, test_a, digits.test_labels)
    assert report.measure_at_the_end(0).numbers["probe_accuracy"] == expected
    assert expected > 0.5  # ten classes


# ---- epochs, states, interruptions


def test_no_epochs_give_the_untrained_baseline_only(make_config: MakeConfig, wide: Dataset) -> None:
    reports = list(train([make_config(epochs=0, seed=seed) for seed in (1, 2)], wide))
    assert [report.epoch for report in reports] == [0]
    for i, seed in enumerate((1, 2)):
        assert torch.equal(reports[0].state(i).tensors["weight"], initial_weight(seed, 16, 784))
        assert all(math.isnan(reports[0].losses[i][term]) for term in columns.TERMS)
        assert reports[0].is_finite(i)


def test_the_random_baseline_is_not_trained(make_config: MakeConfig, wide: Dataset) -> None:
    reports = list(train([make_config(objective="random", epochs=5)], wide))
    assert [report.epoch for report in reports] == [0]


def test_there_is_a_report_for_epoch_0_and_for_every_epoch(make_config: MakeConfig, wide: Dataset) -> None:
    reports = [(report.epoch, report.state(0).epoch) for report in train([make_config(epochs=3)], wide)]
    assert reports == [(0, 0), (1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "sgd"},
        {"batch_size": -1},
        {"objective": "reconstruction"},
        {"hidden_dim": 5, "activation": "tanh"},
    ],
    ids=str,
)
@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_resumed_training_is_the_one_not_interrupted(
    make_config: MakeConfig, wide: Dataset, epoch: int, settings: dict[str, object]
) -> None:
    """Bit for bit, from epoch 0 too, and no matter the pack before and after."""
    pack = [make_config(epochs=4, seed=seed, **settings) for seed in (1, 2, 3)]
    through = course(pack, wide)
    states = [next(report for report in train([config], wide) if report.epoch == epoch).state(0) for config in pack]
    for found, expected in zip(course(pack, wide, states), through, strict=True):
        assert differing(found, expected[epoch + 1 :]) == set()


def test_a_finished_trial_has_nothing_left_to_train(make_config: MakeConfig, wide: Dataset) -> None:
    config = make_config(epochs=1)
    *_, last = train([config], wide)
    assert list(train([config], wide, [last.state(0)])) == []


def test_a_longer_training_begins_with_the_shorter_one(make_config: MakeConfig, wide: Dataset) -> None:
    short, long = (course([make_config(epochs=epochs)], wide)[0] for epochs in (1, 3))
    assert differing(long[:2], short) == set()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {"weight", "bias", "weight.exp_avg", "weight.exp_avg_sq", "bias.exp_avg", "bias.exp_avg_sq"}),
        ({"optimizer": "sgd"}, {"weight", "bias"}),
        ({"optimizer": "sgd", "objective": "reconstruction"}, {"weight", "bias", "offset"}),
    ],
)
def test_a_state_holds_parameters_and_moments_unstacked(
    make_config: MakeConfig, wide: Dataset, settings: dict[str, object], names: set[str]
) -> None:
    *_, report = train([make_config(epochs=1, seed=seed, **settings) for seed in (1, 2)], wide)
    tensors = report.state(1).tensors
    assert set(tensors) == names
    shapes = {"weight": (16, 784), "bias": (16,), "offset": (784,)}
    assert all(tensor.shape == shapes[name.split(".")[0]] for name, tensor in tensors.items())


def test_a_state_is_a_copy_that_further_training_leaves_alone(make_config: MakeConfig, wide: Dataset) -> None:
    """In both directions: a state given as the start is not written to either."""
    config = make_config(epochs=2)
    reports = train([config], wide)
    state = next(reports).state(0)
    kept = {name: tensor.clone() for name, tensor in state.tensors.items()}
    list(reports)
    *_, resumed = train([config], wide, [state])
    assert not torch.equal(resumed.state(0).tensors["weight"], kept["weight"])
    assert all(torch.equal(tensor, kept[name]) for name, tensor in state.tensors.items())


def test_trials_of_different_cells_are_refused(make_config: MakeConfig, wide: Dataset) -> None:
    with pytest.raises(ValueError, match="a pack must hold trials that differ only in seed"):
        next(train([make_config(), make_config(activation="tanh")], wide))


def test_an_empty_pack_is_refused(wide: Dataset) -> None:
    with pytest.raises(ValueError, match="a pack must hold trials that differ only in seed"):
        next(train([], wide))


def test_states_of_different_epochs_are_refused(make_config: MakeConfig, wide: Dataset) -> None:
    pack = [make_config(epochs=3, seed=seed) for seed in (1, 2)]
    states = [next(train([config], wide)).state(0) for config in pack]
    later = TrialState(1, states[1].tensors)
    with pytest.raises(ValueError, match="a pack must start at one epoch"):
        next(train(pack, wide, [states[0], later]))


# ---- the order of the data


Rows = list[list[int]]
"""The row numbers of each batch."""


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[Rows]]]:
    """visited(pack, dataset): per trial and epoch, the rows of each batch that went through the layer."""
    seen: list[tuple[Tensor, Tensor]] = []
    pre_activation = SingleLayer.pre_activation

    def spy(self: SingleLayer, x: Tensor) -> Tensor:
        seen.append((self.weight, x[:, :, 0].clone()))
        return pre_activation(self, x)

    monkeypatch.setattr(SingleLayer, "pre_activation", spy)

    def epochs(reports: Iterator[EpochReport], size: int) -> Iterator[list[Rows]]:
        """Per epoch, per trial: calls come for all trials at once, or for one after another."""
        for report in reports:
            if report.epoch:
                replicas = [row for _, x in seen for row in (x * 1024).round().long().unbind()]
                yield by_trial(replicas, size)
            seen.clear()

    def by_trial(replicas: list[Tensor], size: int) -> list[Rows]:
        """Batch by batch, the trials in turn: the order in which a stacked pack computes them."""
        return [[batch.tolist() for batch in replicas[trial::size]] for trial in range(size)]

    def run(pack: Sequence[TrialConfig], dataset: Dataset, start: Sequence[TrialState] | None = None):
        seen.clear()
        reports = train(pack, dataset, start, compiled=False)  # that compiled loops take the same order is tested apart
        return [list(trial) for trial in zip(*epochs(reports, len(pack)), strict=True)]

    return run


def test_every_epoch_visits_every_row_once_and_keeps_the_last_short_batch(
    make_config: MakeConfig, wide: Dataset, visited: Callable[..., list[list[Rows]]]
) -> None:
    for trial in visited([make_config(epochs=2, seed=seed) for seed in (1, 2)], wide):
        assert len(trial) == 2
        for batches in trial:
            assert [len(batch) for batch in batches] == [128, 128, 45]
            assert sorted(chain(*batches)) == list(range(301))


def test_a_full_batch_is_the_whole_training_set_in_one_step(
    make_config: MakeConfig, wide: Dataset, visited: Callable[..., list[list[Rows]]]
) -> None:
    ((first, second),) = visited([make_config(epochs=2, batch_size=-1)], wide)
    for batches in (first, second):
        assert [sorted(batch) for batch in batches] == [list(range(301))]


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone(
    make_config: MakeConfig, wide: Dataset, visited: Callable[..., list[list[Rows]]]
) -> None:
    """Not on the activation, the width, the optimizer, the pack, the number of epochs, the global generators or a resumption."""
    one, two = visited([make_config(epochs=2, seed=seed) for seed in (1, 2)], wide)
    assert visited([make_config(epochs=2, seed=2, hidden_dim=64, activation="tanh")], wide) == [two]
    assert visited([make_config(epochs=3, seed=1, optimizer="sgd", lr=0.5)], wide)[0][:2] == one
    config = make_config(epochs=2, seed=1)
    state = [report.state(0) for report in train([config], wide, compiled=False)][1]
    assert visited([config], wide, [state]) == [one[1:]]
    orders = [tuple(chain(*batches)) for trial in (one, two) for batches in trial]
    assert len(set(orders)) == 4


# ---- divergence


@pytest.mark.parametrize("settings", [{"optimizer": "adam", "lr": 1e38}, {"optimizer": "sgd", "lr": 1e30}], ids=str)
@pytest.mark.parametrize("activation", ["identity", "softplus"])
def test_a_training_that_diverges_is_seen(
    make_config: MakeConfig, wide: Dataset, settings: dict[str, object], activation: str
) -> None:
    finite = [report.is_finite(0) for report in train([make_config(epochs=3, activation=activation, **settings)], wide)]
    assert finite[0]
    assert not finite[-1]


@pytest.mark.parametrize("units", [5, 16])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_trial_that_diverges_leaves_its_pack_mates_alone(
    make_config: MakeConfig, wide: Dataset, value: float, units: int
) -> None:
    """Seed 2 goes on from a broken state, or from weights whose variance overflows; the others' bits do not change."""
    pack = [make_config(epochs=2, seed=seed, activation="identity", hidden_dim=units) for seed in (1, 2, 3)]
    states = [next(train([config], wide)).state(0) for config in pack]
    broken = TrialState(0, {**states[1].tensors, "weight": torch.full((units, 784), value)})
    expected = [course([pack[i]], wide, [states[i]])[0] for i in (0, 2)]
    found: list[list[dict[str, bytes]]] = [[], []]
    for report in train(pack, wide, [states[0], broken, states[2]]):
        assert [report.is_finite(i) for i in range(3)] == [True, False, True]
        for place, trial in enumerate((0, 2)):
            found[place].append(fingerprint(report, trial))
    for ours, theirs in zip(found, expected, strict=True):
        assert differing(ours, theirs) == set()


def test_infinite_parameters_are_seen_even_if_the_loss_before_them_was_finite(
    make_config: MakeConfig, wide: Dataset
) -> None:
    """The last step of an epoch can be the one that breaks: its loss is never computed."""
    *_, report = train([make_config(epochs=1, batch_size=-1, lr=1e30, optimizer="sgd", lambda_tc=1e20)], wide)
    assert all(math.isfinite(report.losses[0][term]) for term in ("loss", "entropy", "tc"))
    assert not report.is_finite(0)


def test_an_infinite_loss_is_seen_even_if_the_parameters_are_finite(make_config: MakeConfig, wide: Dataset) -> None:
    """Adam divides by a squared gradient that has overflowed: it stands still instead of breaking."""
    config = make_config(epochs=1, objective="reconstruction")
    state = next(train([config], wide)).state(0)
    start = TrialState(0, {**state.tensors, "offset": torch.full((784,), 1e25)})
    (report,) = train([config], wide, [start])
    assert all(bool(report.state(0).tensors[name].isfinite().all()) for name in ("weight", "bias", "offset"))
    assert report.losses[0]["loss"] == math.inf
    assert not report.is_finite(0)
