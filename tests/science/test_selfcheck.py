"""selfcheck.py: every combination is compared, and those whose bits depend on the pack are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch

from infomax_tune.science import training
from infomax_tune.science.data import Dataset
from infomax_tune.science.selfcheck import Grid, check
from infomax_tune.science.training import EpochReport, TrialState
from infomax_tune.study.config import TrialConfig, choices

ACTIVATIONS = choices("model.activation")

CORNER = Grid(activations=("relu", "tanh"), widths=(16, 5), batches=(100,), pack_sizes=(2, 10))


def test_a_corner_of_the_grid_has_no_difference() -> None:
    """The whole of it is tested by the command, `tests/commands/test_cli.py`."""
    found = check(CORNER)
    assert found.differences == []
    # activations, heads, widths, optimizers; two pack sizes on dense data and one on sparse; two trials each
    assert found.compared == 2 * 2 * 2 * 2 * (2 + 1) * 2


def test_the_whole_grid_has_every_activation_and_the_widths_of_the_study() -> None:
    assert Grid().activations == ACTIVATIONS
    assert {16, 64} < set(Grid().widths)
    assert 10 in Grid().pack_sizes


class _OffByOneBit(EpochReport):
    """A report whose last replica has one weight's last bit wrong."""

    def state(self, trial: int) -> TrialState:
        state = super().state(trial)
        if trial == len(self.losses) - 1:
            weight = state.tensors["weight"]
            weight[-1, -1] = torch.nextafter(weight[-1, -1], torch.tensor(torch.inf))
        return state


def test_one_bit_of_one_weight_is_found_and_its_cell_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = training.train

    def train(pack: Sequence[TrialConfig], dataset: Dataset) -> Iterator[EpochReport]:
        wrong = pack[0].model.activation == "tanh" and len(pack) == 10
        for report in real(pack, dataset):
            yield _OffByOneBit(**vars(report)) if wrong else report

    monkeypatch.setattr(training, "train", train)
    differences = check(CORNER).differences
    assert len(differences) == 2 * 2 * 2 * 2  # data, heads, widths, optimizers
    assert "tanh, head none, 16 units, batch 100, adam, sparse data, packs of 10" in differences
    assert all(line.startswith("tanh, ") and line.endswith(", packs of 10") for line in differences)
