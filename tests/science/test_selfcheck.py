"""Where packs and single trials do not agree, it is said, and the numbers stay those of a trial alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infomax_tune.packs import pack_training
from infomax_tune.packs.pack_training import train_pack
from infomax_tune.science import selfcheck
from infomax_tune.science.data import Dataset
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from tests.command import infomax_tune


def test_the_command_finds_no_difference_here() -> None:
    done = infomax_tune("selfcheck")
    assert "Every trial came out bit for bit as if alone." in done.stdout


def test_what_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        selfcheck, "packs_agree", lambda pack, dataset: pack[0].model.activation != "tanh" or len(pack) < 10
    )
    differences = selfcheck.check().differences
    assert len(differences) == 2 * 3 * 2 * 2  # heads, widths, batches, optimizers
    assert "tanh, head none, 16 units, batch 128, adam, packs of 10" in differences


def test_a_pack_that_would_differ_trains_its_trials_one_after_another(
    tmp_path: Path, make_config: Callable[..., TrialConfig], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = [make_config(dataset="digits", epochs=1, seed=seed) for seed in (1, 2)]
    said: list[str] = []
    stacked: list[bool] = []
    monkeypatch.setattr(pack_training, "packs_agree", lambda pack, dataset: False)
    real = pack_training.train

    def watched(*arguments: object, **options: object) -> object:
        stacked.append(bool(options["stacked"]))
        return real(*arguments, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(pack_training, "train", watched)
    train_pack(pack, [TrialFolder(tmp_path / str(i)) for i in range(2)], digits, warn=said.append)
    assert stacked == [False]
    assert "rounds relu-k16-" in said[0]
    assert "its trials train one after another" in said[0]
