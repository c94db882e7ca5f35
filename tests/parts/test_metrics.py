"""The metrics against NumPy float64 oracles, on matrices one can solve by hand, and under what must not change them."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import digamma, entr, softmax
from scipy.stats import kurtosis, norm
from sklearn.linear_model import RidgeClassifier

from infomax_tune.errors import ConfigError
from infomax_tune.parts import metrics
from infomax_tune.parts.catalogue import ours
from infomax_tune.parts.loss_columns import LOSS_COLUMNS
from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.science.metrics import evaluate
from infomax_tune.study import columns
from tests.parts.named import ROOT, files_that_name, named_in

METRICS: dict[str, Metric] = ours("metrics")
Array = NDArray[np.float64]


def of_activations(a: torch.Tensor) -> Layer:
    return Layer(torch.ones(1, 1).double(), a.double())


def measured(name: str, tensor: torch.Tensor) -> float:
    """One metric alone, of weights or of activations."""
    layer = Layer(tensor.double(), torch.ones(2, 1).double()) if name in OF_WEIGHT else of_activations(tensor)
    return METRICS[name].measure(layer)


# ---- oracles


def effective_rank(weight: Array) -> float:
    s = np.linalg.svd(weight, compute_uv=False) + 1e-10
    return sum(s) ** 2 / sum(s**2)


def weight_redundancy(weight: Array) -> float:
    rows = [row / (np.sqrt(np.sum(row**2)) + 1e-8) for row in weight]
    return sum((np.dot(u, v) - (i == j)) ** 2 for (i, u), (j, v) in itertools.product(enumerate(rows), repeat=2))


def dead_units(a: Array) -> float:
    return sum(np.mean(np.abs(unit) > 1e-6) < 0.01 for unit in a.T)


def correlations(a: Array) -> Array:
    standard = (a - a.mean(axis=0)) / (a.std(axis=0, ddof=1) + 1e-6)
    return np.array([[np.sum(u * v) / (len(a) - 1) for v in standard.T] for u in standard.T])


def output_correlation(a: Array) -> float:
    return np.linalg.norm(correlations(a) - np.eye(a.shape[1]), "fro") ** 2


def variance_ratio(a: Array) -> float:
    variances = [np.var(unit, ddof=1) for unit in a.T]
    return max(variances) / (min(variances) + 1e-10)


def max_avg_responsibility(a: Array) -> float:
    return max(np.mean(unit) for unit in a.T) if np.allclose(a.sum(axis=1), 1, atol=1e-5) else math.nan


def gaussian_total_correlation(a: Array) -> float:
    if np.all(a >= 0) and np.allclose(a.sum(axis=1), 1, atol=1e-5):
        a = np.delete(a, np.argmax(a.var(axis=0)), axis=1)
    return -0.5 * np.sum(np.log(np.linalg.eigvalsh(correlations(a) + 1e-6 * np.eye(a.shape[1]))))


def entropy_rank(matrix: Array) -> float:
    s = np.linalg.svd(matrix, compute_uv=False)
    return np.exp(np.sum(entr(s / np.sum(s)))) if s.any() else math.nan


def rms_off_diagonal(matrix: Array) -> float:
    entries = [matrix[i, j] for i, j in itertools.permutations(range(len(matrix)), 2)]
    return np.sqrt(np.mean(np.square(entries))) if entries else math.nan


def rms_weight_cosine(weight: Array) -> float:
    rows = np.array([row / np.linalg.norm(row) for row in weight if row.any()]).reshape(-1, weight.shape[1])
    return rms_off_diagonal(rows @ rows.T)


def constant(a: Array) -> NDArray[np.bool_]:
    variance = a.var(axis=0, ddof=1)
    return (variance < 1e-4 * np.median(variance)) | (np.ptp(a, axis=0) == 0)


def live(a: Array) -> Array:
    """The outputs of the units that are neither dead nor constant."""
    return a[:, ~constant(a) & (np.mean(np.abs(a) > 1e-6, axis=0) >= 0.01)]


def mean_over_units(of_one: Callable[[Array], float], a: Array) -> float:
    return np.mean([of_one(unit) for unit in live(a).T]) if live(a).size else math.nan


def expected(function: Callable[[Array], Array]) -> float:
    """E f(v), v standard normal, f even."""
    return 2 * quad(lambda v: function(v) * norm.pdf(v), 0, 12)[0]


def log_cosh(y: Array) -> Array:
    return np.log(np.cosh(y))


def negentropy(unit: Array) -> float:
    """(E G(y) - E G(v))^2 / (2 d^2): d^2 is the variance that G(v) has beside 1, v and v^2 (Hyvarinen 1998, section 4)."""
    mean = expected(log_cosh)
    along_square = expected(lambda v: log_cosh(v) * (v**2 - 1) / math.sqrt(2))
    rest = expected(lambda v: log_cosh(v) ** 2) - mean**2 - along_square**2
    return (np.mean(log_cosh((unit - unit.mean()) / unit.std())) - mean) ** 2 / (2 * rest)


def responsibility(a: Array) -> Array:
    return a if np.all(a >= 0) and np.allclose(a.sum(axis=1), 1, atol=1e-5) else softmax(a, axis=1)


OF_WEIGHT: dict[str, Callable[[Array], float]] = {
    "effective_rank": effective_rank,
    "weight_redundancy": weight_redundancy,
    "roy_vetterli_rank": entropy_rank,
    "rms_weight_cosine": rms_weight_cosine,
}
OF_ACTIVATIONS: dict[str, Callable[[Array], float]] = {
    "dead_units": dead_units,
    "output_correlation": output_correlation,
    "variance_ratio": variance_ratio,
    "activation_mean": np.mean,
    "activation_std": lambda a: np.std(a, ddof=1),
    "max_avg_responsibility": max_avg_responsibility,
    "gaussian_total_correlation": gaussian_total_correlation,
    "rankme": entropy_rank,
    "constant_units": lambda a: np.sum(constant(a)),
    "rms_output_correlation": lambda a: rms_off_diagonal(correlations(live(a)) if live(a).size else np.eye(1)),
    "excess_kurtosis": partial(mean_over_units, kurtosis),
    "negentropy": partial(mean_over_units, negentropy),
    "responsibility_entropy": lambda a: np.mean(np.sum(entr(responsibility(a)), axis=1)),
    "largest_responsibility": lambda a: np.mean(np.max(responsibility(a), axis=1)),
}


def weights(kind: str) -> Array:
    """Weights (5, 8) with the weakness of that name."""
    weight = np.random.default_rng(1).normal(size=(5, 8))
    if kind == "identical rows":
        weight[3] = weight[0]
    if kind == "zero row":
        weight[2] = 0
    if kind == "all zero":
        weight[:] = 0
    if kind == "more units than inputs":
        return np.random.default_rng(1).normal(size=(8, 3))
    return weight


def activations(kind: str) -> Array:
    """Activations (300, 5), or (2, 5), with the weakness of that name."""
    generator = np.random.default_rng(2)
    n = 2 if kind == "two rows" else 300
    a = generator.normal(size=(n, 5)) @ generator.normal(size=(5, 5)) + generator.normal(size=5)
    if kind == "dead unit":
        a[:, 2] = 0
    if kind == "constant column":
        a[:, 1] = 0.75
    if kind == "identical units":
        a[:, 3] = a[:, 0]
    if kind == "far from zero":
        a = 1000 + 0.1 * a
    if kind == "shares":
        a = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
    if kind == "all zero":
        a[:] = 0
    return a


WEIGHTS = ("random", "identical rows", "zero row", "all zero", "more units than inputs")
ACTIVATIONS = (
    "random", "dead unit", "constant column", "identical units", "two rows", "far from zero", "shares", "all zero",
)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("name", OF_WEIGHT)
def test_a_metric_of_weights_is_its_formula(name: str, kind: str, dtype: torch.dtype) -> None:
    weight = torch.from_numpy(weights(kind)).to(dtype)
    expected = OF_WEIGHT[name](weight.double().numpy())
    assert measured(name, weight) == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("name", OF_ACTIVATIONS)
def test_a_metric_of_activations_is_its_formula(name: str, kind: str, dtype: torch.dtype) -> None:
    a = torch.from_numpy(activations(kind)).to(dtype)
    expected = OF_ACTIVATIONS[name](a.double().numpy())
    assert measured(name, a) == pytest.approx(expected, rel=1e-5, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_covariance_and_correlation_are_numpys(kind: str) -> None:
    a = activations(kind)
    layer = of_activations(torch.from_numpy(a))
    np.testing.assert_allclose(layer.covariance, np.cov(a.T), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(layer.correlation, correlations(a), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["random", "dead unit", "identical units", "two rows", "shares"])
def test_evaluate_is_the_metrics_one_by_one_under_the_names_of_the_table(kind: str) -> None:
    weight, a = torch.from_numpy(weights("random")).float(), torch.from_numpy(activations(kind)).float()
    found = evaluate(weight, a)
    assert tuple(found) == columns.METRICS
    for name, value in found.items():
        assert type(value) is float
        alone = measured(name, weight if name in OF_WEIGHT else a)
        assert value == alone or (math.isnan(value) and math.isnan(alone)), name


# ---- solved by hand


def test_orthogonal_units_have_full_rank_and_no_redundancy() -> None:
    eye = torch.eye(4, 7)
    assert measured("effective_rank", eye) == pytest.approx(4)
    assert measured("weight_redundancy", eye) == pytest.approx(0, abs=1e-12)


def test_parallel_units_have_rank_one_and_the_most_redundancy() -> None:
    """Whatever their lengths and signs: all k (k - 1) entries off the diagonal are 1 or -1."""
    weight = torch.tensor([1.0, -2.0, 3.0, 0.5])[:, None] * torch.ones(4, 6)
    assert measured("effective_rank", weight) == pytest.approx(1)
    assert measured("weight_redundancy", weight) == pytest.approx(12)


def test_effective_rank_weighs_the_singular_values() -> None:
    """3 and 4: 49 / 25. The entropy-based effective rank of the same matrix is 1.98."""
    assert measured("effective_rank", torch.diag(torch.tensor([3.0, 4.0]))) == pytest.approx(49 / 25)


def test_a_zero_row_adds_one_to_the_redundancy() -> None:
    assert measured("weight_redundancy", torch.tensor([[1.0, 0.0], [0.0, 0.0]])) == pytest.approx(1)


def test_a_unit_is_dead_below_one_percent_of_the_samples_not_at_it() -> None:
    a = torch.zeros(200, 5)
    a[0, 1] = 1  # half a percent
    a[:2, 2] = -1  # exactly one, and negative
    a[:, 3] = 1e-6  # on every sample, but not over the threshold
    a[:, 4] = 2e-6
    assert measured("dead_units", a) == 3


def test_uncorrelated_units_have_no_output_correlation() -> None:
    a = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert measured("output_correlation", a) == pytest.approx(0, abs=1e-10)
    assert measured("gaussian_total_correlation", a) == pytest.approx(0, abs=2e-6)
    assert measured("variance_ratio", a) == pytest.approx(1)


def test_two_units_that_are_one_have_an_output_correlation_of_two() -> None:
    """det R = (1 + 1e-6)^2 - 1, about 2e-6."""
    unit = torch.randn(100, 1, generator=torch.Generator().manual_seed(1)) * 100
    a = torch.cat([unit, -unit], dim=1)
    assert measured("output_correlation", a) == pytest.approx(2, rel=1e-5)
    assert measured("gaussian_total_correlation", a) == pytest.approx(-0.5 * math.log(2e-6), abs=0.02)


def test_the_gaussian_total_correlation_of_correlated_gaussians_is_the_true_one() -> None:
    """-1/2 log(1 - rho^2) for a pair with correlation rho."""
    generator = np.random.default_rng(1)
    a = generator.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=200_000)
    found = measured("gaussian_total_correlation", torch.from_numpy(a))
    assert found == pytest.approx(-0.5 * math.log(1 - 0.64), rel=0.01)


def test_a_constant_unit_adds_half_a_log_of_a_million_to_the_gaussian_total_correlation() -> None:
    a = torch.randn(500, 3, generator=torch.Generator().manual_seed(1))
    with_constant = torch.cat([a, torch.ones(500, 1)], dim=1)
    added = measured("gaussian_total_correlation", with_constant) - measured("gaussian_total_correlation", a)
    assert added == pytest.approx(0.5 * math.log(1e6))


def test_the_gaussian_total_correlation_of_shares_is_theirs_and_not_the_regularizers() -> None:
    """The last of three shares is what the first two leave: two that are drawn apart share little. The determinant of all
    three is 0 but for the regularizer, whose logarithm it was (6.4)."""
    drawn = torch.rand(20_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 4
    shares = torch.cat([drawn, 1 - drawn.sum(dim=1, keepdim=True)], dim=1)
    assert measured("gaussian_total_correlation", shares) == pytest.approx(0, abs=1e-3)
    r = of_activations(shares).correlation
    assert -0.5 * torch.linalg.slogdet(r + 1e-6 * torch.eye(3)).logabsdet.item() > 6
    assert measured("gaussian_total_correlation", shares.float()) == pytest.approx(0, abs=1e-3)


def test_variance_ratio_of_spreads_one_and_three_is_nine() -> None:
    unit = torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert measured("variance_ratio", torch.stack([unit, 3 * unit], dim=1)) == pytest.approx(9)
    assert measured("variance_ratio", torch.zeros(4, 2)) == 0


def test_mean_and_std_are_over_all_entries() -> None:
    a = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert measured("activation_mean", a) == 1.5
    assert measured("activation_std", a) == pytest.approx(math.sqrt(5 / 3))


def test_max_avg_responsibility_is_the_largest_share() -> None:
    assert measured("max_avg_responsibility", torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])) == pytest.approx(
        0.525
    )
    assert measured("max_avg_responsibility", torch.full((7, 4), 0.25)) == pytest.approx(0.25)


@pytest.mark.parametrize(
    "rows",
    [
        [[0.5, 0.5], [0.5, 0.4]],  # only the first sums to 1
        [[0.5, 0.4], [0.5, 0.5]],  # only the last
        [[0.5, 0.51], [0.51, 0.5]],
        [[1.5, -0.5], [0.5, 0.5]],  # sums to 1, but -0.5 is no share
        [[0.0, 0.0], [0.0, 0.0]],
        [[math.nan, 0.5], [0.5, 0.5]],
    ],
)
def test_max_avg_responsibility_is_missing_unless_all_rows_are_shares(rows: list[list[float]]) -> None:
    assert math.isnan(measured("max_avg_responsibility", torch.tensor(rows)))


# ---- invariances


def rotation(size: int) -> Array:
    return np.linalg.qr(np.random.default_rng(3).normal(size=(size, size)))[0]


@pytest.mark.parametrize("name", OF_WEIGHT)
def test_a_metric_of_weights_does_not_see_unit_order_rotation_or_scale(name: str) -> None:
    weight, metric = weights("random"), partial(measured, name)
    expected = pytest.approx(metric(torch.from_numpy(weight)), rel=1e-6)
    assert metric(torch.from_numpy(weight[[3, 1, 4, 0, 2]])) == expected
    assert metric(torch.from_numpy(weight @ rotation(8))) == expected
    assert metric(torch.from_numpy(10 * weight)) == expected


def test_redundancy_sees_directions_only_and_rank_sees_lengths_too() -> None:
    weight = weights("random")
    stretched = torch.from_numpy(np.array([1.0, 2, 3, 40, 5])[:, None] * weight)
    assert measured("weight_redundancy", stretched) == pytest.approx(weight_redundancy(weight), rel=1e-6)
    assert measured("effective_rank", stretched) < 0.8 * measured("effective_rank", torch.from_numpy(weight))


@pytest.mark.parametrize("kind", ["random", "dead unit", "shares"])
@pytest.mark.parametrize("name", OF_ACTIVATIONS)
def test_a_metric_of_activations_does_not_see_the_order_of_units_or_samples(name: str, kind: str) -> None:
    a, metric = activations(kind), partial(measured, name)
    expected = pytest.approx(metric(torch.from_numpy(a)), rel=1e-9, abs=1e-12, nan_ok=True)
    assert metric(torch.from_numpy(a[:, [3, 1, 4, 0, 2]])) == expected
    assert metric(torch.from_numpy(a[np.random.default_rng(1).permutation(len(a))])) == expected


@pytest.mark.parametrize("name", ["output_correlation", "gaussian_total_correlation"])
def test_a_correlation_does_not_see_each_units_scale_sign_and_offset(name: str) -> None:
    a, metric = activations("random"), partial(measured, name)
    changed = a * np.array([2.0, -3, 10, 0.5, 1]) + np.array([0.0, 5, -1, 2, 100])
    assert metric(torch.from_numpy(changed)) == pytest.approx(metric(torch.from_numpy(a)), rel=1e-4)


def test_variance_ratio_does_not_see_a_common_scale() -> None:
    a = torch.from_numpy(activations("random"))
    assert measured("variance_ratio", 50 * a) == pytest.approx(measured("variance_ratio", a), rel=1e-6)


matrices = st.tuples(st.integers(2, 30), st.integers(1, 6), st.integers(0, 2**32 - 1))


@settings(max_examples=50, derandomize=True)
@given(matrices)
def test_metrics_stay_in_their_range(drawn: tuple[int, int, int]) -> None:
    n, k, seed = drawn
    generator = np.random.default_rng(seed)
    a = torch.from_numpy(generator.normal(size=(n, k)) * generator.integers(0, 2, size=k))
    weight = torch.from_numpy(generator.normal(size=(k, n)) * generator.integers(0, 2, size=(k, 1)))
    found = evaluate(weight, a)
    slack = 1e-9
    assert 1 - slack <= found["effective_rank"] <= min(n, k) + slack
    assert 0 <= found["weight_redundancy"] <= max(k * (k - 1), k) + slack
    assert 0 <= found["dead_units"] <= k
    assert 0 <= found["output_correlation"] <= max(k * (k - 1), k) + slack
    assert found["variance_ratio"] >= 0
    assert found["gaussian_total_correlation"] >= -1e-6 * k


# ---- convergence_epoch


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        ([5.0], 1),
        ([5.0, 4.0], 2),
        ([10.0, 5.0, 1.5, 0.5, 0.0], 4),  # 90% of the fall is at 1
        ([10.0, 1.0, 0.5, 0.0], 2),  # just 90%
        ([10.0, 1.01, 0.5, 0.0], 3),
        ([-10.0, -19.5, -20.0], 2),  # negative losses
        ([10.0, 0.5, 8.0, 0.0], 2),  # the first time, even if it is lost again
        ([10.0, -5.0, 4.0], 2),  # lower in between than at the end
        ([3.0, 3.0, 3.0], 1),  # no fall
        ([3.0, 1.0, 4.0], 1),  # a rise
    ],
)
def test_convergence_epoch_is_the_first_with_90_percent_of_the_fall(losses: list[float], epoch: int) -> None:
    assert METRICS["convergence_epoch"].measure(losses) == epoch


def test_convergence_epoch_is_missing_without_an_epoch() -> None:
    assert math.isnan(METRICS["convergence_epoch"].measure([]))


@settings(max_examples=100, derandomize=True)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_convergence_epoch_is_within_the_epochs_and_is_the_definition(losses: list[float]) -> None:
    epoch = METRICS["convergence_epoch"].measure(losses)
    assert epoch in range(1, len(losses) + 1)
    fall = losses[0] - losses[-1]
    if fall <= 0:
        assert epoch == 1
        return
    tolerance = 1e-9 * (abs(losses[0]) + abs(losses[-1]))
    made = [losses[0] - loss for loss in losses]
    assert made[int(epoch) - 1] >= 0.9 * fall - tolerance
    assert all(part < 0.9 * fall + tolerance for part in made[: int(epoch) - 1])


# ---- probe_accuracy


def blobs(n: int, seed: int, distance: float) -> tuple[torch.Tensor, NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=n)
    centers = distance * np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    return torch.from_numpy(centers[labels] + generator.normal(size=(n, 3))).float(), labels


def test_probe_accuracy_tells_separable_blobs_apart() -> None:
    train, train_labels = blobs(150, 1, distance=20)
    test, test_labels = blobs(90, 2, distance=20)
    assert METRICS["probe_accuracy"].measure(train, train_labels, test, test_labels) == 1.0


def test_probe_accuracy_is_measured_on_the_test_set() -> None:
    """With every third test label wrong, a perfect probe has two thirds right."""
    train, train_labels = blobs(150, 1, distance=20)
    test, test_labels = blobs(90, 2, distance=20)
    wrong = test_labels.copy()
    wrong[::3] = (wrong[::3] + 1) % 3
    assert METRICS["probe_accuracy"].measure(train, train_labels, test, wrong) == pytest.approx(2 / 3)


def test_probe_accuracy_without_signal_is_chance() -> None:
    train, train_labels = blobs(300, 1, distance=0)
    test, test_labels = blobs(600, 2, distance=0)
    assert METRICS["probe_accuracy"].measure(train, train_labels, test, test_labels) == pytest.approx(1 / 3, abs=0.08)


def test_probe_accuracy_standardises_on_the_training_set() -> None:
    """Each unit's scale and offset make no difference, so that a probe compares directions, not lengths."""
    train, train_labels = blobs(150, 1, distance=2)
    test, test_labels = blobs(200, 2, distance=2)
    scale, offset = torch.tensor([1.0, 1e-2, 1e2]), torch.tensor([0.0, 3.0, -50.0])
    accuracy = METRICS["probe_accuracy"].measure(train, train_labels, test, test_labels)
    assert 0.6 < accuracy < 0.95
    changed = METRICS["probe_accuracy"].measure(
        train * scale + offset, train_labels, test * scale + offset, test_labels
    )
    assert changed == pytest.approx(accuracy, abs=0.006)


def test_a_probe_of_a_dead_layer_is_chance_and_does_not_warn() -> None:
    labels = np.arange(40) % 4
    assert METRICS["probe_accuracy"].measure(torch.zeros(40, 3), labels, torch.zeros(40, 3), labels) == 0.25


# ---- ridge_accuracy


def test_ridge_accuracy_is_that_of_least_squares_on_standardized_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solved as one system with the penalty's rows, and by scikit-learn; of labels that are not 0, 1, ...; some rows at a time."""
    monkeypatch.setattr("infomax_tune.parts.metrics.ridge_accuracy._ROWS", 64)
    train, train_labels = blobs(150, 1, distance=2)
    test, test_labels = blobs(200, 2, distance=2)
    scale, offset = torch.tensor([1.0, 1e-2, 1e2]), torch.tensor([0.0, 3.0, -50.0])
    train, test, classes = train * scale + offset, test * scale + offset, np.array([7, -3, 40])
    train_labels, test_labels = classes[train_labels], classes[test_labels]
    found = METRICS["ridge_accuracy"].measure(train, train_labels, test, test_labels)

    mean, spread = train.double().numpy().mean(axis=0), train.double().numpy().std(axis=0, ddof=1) + 1e-6
    x, x_test = ((rows.double().numpy() - mean) / spread for rows in (train, test))
    y = (train_labels[:, None] == classes).astype(float)
    slopes = np.linalg.lstsq(np.vstack([x, np.eye(3)]), np.vstack([y - y.mean(axis=0), np.zeros((3, 3))]), rcond=None)[
        0
    ]
    by_hand = np.mean(classes[np.argmax(x_test @ slopes + y.mean(axis=0), axis=1)] == test_labels)
    assert found == by_hand == RidgeClassifier(alpha=1).fit(x, train_labels).score(x_test, test_labels)
    assert 0.6 < found < 0.95


def test_ridge_accuracy_of_a_dead_layer_is_the_commonest_label_and_without_labels_it_is_missing() -> None:
    dead, labels = torch.zeros(40, 3), np.arange(40) % 4
    labels[labels == 3] = 1
    measure = METRICS["ridge_accuracy"].measure
    assert measure(dead, labels, dead, labels) == 0.5
    assert math.isnan(measure(dead, labels * 0, dead, labels * 0))


# ---- what a layer's activation and loss say of it


def test_saturation_is_of_bounded_outputs_alone_and_for_shares_of_the_largest() -> None:
    a = torch.tensor([[1.9, -1.95, 0.0], [2.0, 0.1, 0.0]]).double()
    bounded = Layer(torch.ones(3, 1), a, bound=2.0)
    assert METRICS["saturation"].measure(bounded) == pytest.approx(2 / 6)  # 1.9 is not over it
    assert METRICS["saturation_rate"].measure(bounded).tolist() == [0.5, 0.5, 0.0]
    assert METRICS["activation_rate"].measure(bounded).tolist() == [1.0, 1.0, 0.0]
    shares = Layer(torch.ones(3, 1), torch.tensor([[0.96, 0.04, 0.0], [0.5, 0.5, 0.0], [0, 0, 1]]).double(), bound=1.0)
    assert METRICS["saturation"].measure(shares) == pytest.approx(2 / 3)
    assert math.isnan(METRICS["saturation"].measure(of_activations(a)))
    assert METRICS["saturation_rate"].measure(of_activations(a)).isnan().tolist() == [True] * 3


def test_units_that_compete_by_the_loss_are_responsible_by_softmax_of_minus_a() -> None:
    a = torch.from_numpy(activations("random"))
    competing = Layer(torch.ones(5, 1), a, competitive=True)
    np.testing.assert_allclose(competing.responsibility, softmax(-a.numpy(), axis=1))
    assert METRICS["largest_responsibility"].measure(competing) == METRICS["largest_responsibility"].measure(
        of_activations(-a)
    )


def test_one_hot_shares_are_all_one_unit_s() -> None:
    one_hot = Layer(torch.ones(4, 1), torch.eye(4).double().repeat(5, 1), bound=1.0)
    expected = {"responsibility_entropy": 0, "largest_responsibility": 1, "saturation": 1, "rankme": 4}
    assert {name: METRICS[name].measure(one_hot) for name in expected} == pytest.approx(expected)


def test_a_single_unit_has_no_pair() -> None:
    alone = Layer(torch.ones(1, 3).double(), torch.arange(10.0).double()[:, None])
    for name in ("rms_weight_cosine", "rms_output_correlation", "mutual_information", "mutual_information_null"):
        assert math.isnan(METRICS[name].measure(alone)), name
    assert METRICS["rankme"].measure(alone) == METRICS["roy_vetterli_rank"].measure(alone) == pytest.approx(1)


# ---- mutual_information


def kraskov(x: Array, y: Array, k: int = 3) -> float:
    """The first estimator of Kraskov, Stoegbauer and Grassberger (2004), from every distance."""
    far_x, far_y = (np.abs(unit[:, None] - unit[None, :]) for unit in (x / x.std(), y / y.std()))
    radius = np.sort(np.maximum(far_x, far_y), axis=1)[:, k]  # the sample itself comes first
    near = [np.sum(far < radius[:, None], axis=1) - 1 for far in (far_x, far_y)]
    return max(0.0, digamma(k) + digamma(len(x)) - sum(np.mean(digamma(count + 1)) for count in near))


def test_mutual_information_is_kraskovs_over_the_pairs_of_live_units() -> None:
    a = np.hstack([activations("random"), np.full((300, 1), 0.5)])
    found = METRICS["mutual_information"].measure(of_activations(torch.from_numpy(a)))
    assert found == pytest.approx(np.mean([kraskov(*pair) for pair in itertools.combinations(a[:, :5].T, 2)]), abs=1e-3)


def test_mutual_information_of_correlated_gaussians_is_theirs_and_none_is_left_if_permuted() -> None:
    """-1/2 log(1 - rho^2); on 1,000 of 5,000 samples, which are the same each time."""
    a = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=5000)
    layer = of_activations(torch.from_numpy(a))
    measure = METRICS["mutual_information"].measure
    assert measure(layer) == measure(layer) == pytest.approx(-0.5 * math.log(1 - 0.64), abs=0.1)
    assert METRICS["mutual_information_null"].measure(layer) < 0.05


# ---- a user's own


def test_a_users_metric_is_a_function_of_weights_and_activations_or_a_metric() -> None:
    weight, a = torch.from_numpy(weights("random")), torch.from_numpy(activations("random"))
    own = metrics.part_from(lambda weight, activations: weight.sum() + activations.max(), "own.py:largest")
    found = evaluate(weight.float(), a.float(), {"largest": own})
    assert found == {"largest": pytest.approx((weight.sum() + a.max()).item(), rel=1e-6)}
    assert type(found["largest"]) is float
    assert metrics.part_from(METRICS["dead_units"], "own.py:dead") is METRICS["dead_units"]
    with pytest.raises(ConfigError, match=r"own\.py:x"):
        metrics.part_from(3, "own.py:x")


# ---- one place for each


def test_both_orders_are_without_ties() -> None:
    """Equal places would be in the order of the alphabet."""
    places = [metric.place for metric in METRICS.values()]
    assert places == list(range(1, len(places) + 1)), "a new metric is the last of the tables"
    in_report = [column.report_place for column in (METRICS | LOSS_COLUMNS).values()]
    assert len(set(in_report)) == len(in_report)


# Where one metric is meant, and not any.
SPEAK_OF_ONE = {
    "infomax_tune/follow/progress.py": {"effective_rank"},  # the live table has this one
    "infomax_tune/packs/pack_training.py": {"effective_rank"},  # and this computes it
    # figures that are about one metric, or set one against another
    "analysis/album.py": {"effective_rank", "weight_redundancy", "dead_units"},
    "analysis/plots.py": {"effective_rank", "weight_redundancy", "dead_units"},
    # sentences, and statistics that hold for one metric only
    "analysis/contrasts.py": {"effective_rank", "ridge_accuracy"},
    "analysis/paper.py": {"max_avg_responsibility"},  # whether outputs sum to 1
    "analysis/findings.py": {"effective_rank", "weight_redundancy", "output_correlation"},
    "analysis/dynamics.py": {"convergence_epoch"},
    "analysis/evidence.py": {"weight_redundancy"},
}


def test_no_other_file_names_a_metric() -> None:
    """A second list would have to be edited with every new metric. It is derived from the parts instead."""
    assert files_that_name(METRICS) == SPEAK_OF_ONE


def test_no_figure_or_sentence_has_a_list_of_metrics() -> None:
    """Two may be set against each other; three are a list."""
    for file in SPEAK_OF_ONE:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
                assert len(named_in(node, METRICS)) < 3, f"{file}, line {node.lineno}"
