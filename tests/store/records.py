"""Records as a trial leaves them, without training."""

from __future__ import annotations

import numpy as np

from infomax_tune.store.record import Record
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.trial_status import TrialStatus


def leave_record(
    folder: TrialFolder, config: TrialConfig, *, value: float = 1.5, status: TrialStatus = TrialStatus.DONE
) -> None:
    result = dict.fromkeys(columns.FINAL, value) if status == TrialStatus.DONE else {}
    units = {name: [value, value / 2] for name in columns.OF_UNITS} if result else {}
    history = [{"epoch": epoch, **dict.fromkeys(columns.HISTORY[1:], value / 3)} for epoch in (0, 1)]
    weights = {"weight": np.full((2, 3), value, np.float32), "bias": np.zeros(2, np.float32)}
    timing = {"train_s": 0.1, "epoch_s": [0.1], "host": "here"}
    folder.write_record(
        Record(config.trial_id, status, 1, config.nested(), result, timing, units=units), history, weights
    )
