"""run_trial.py: one trial in a folder of its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from infomax_tune.packs.run_trial import run_trial
from infomax_tune.store.trial_folder import TrialFolder
from tests.conftest import MakeConfig


def test_ctrl_c_twice_ends_a_run_and_not_the_program_that_called_it(tmp_path: Path, make_config: MakeConfig) -> None:
    """As in a notebook. What it had trained until its last checkpoint is there."""
    config = make_config(dataset="digits", epochs=20, save_metrics_every=1, checkpoint_every=1)
    folder = TrialFolder(tmp_path)

    def press_twice(line: str) -> None:
        if line.startswith("epoch 5/"):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_trial(config, folder, say=press_twice)
    checkpoint = folder.read_checkpoint()
    assert checkpoint is not None
    assert checkpoint.epoch >= 4
    assert run_trial(config, folder).epoch == 20
