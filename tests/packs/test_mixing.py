"""mixing.py: a sweep's trials are all of the same data, and of one arithmetic."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from infomax_tune.errors import DataError, EnvironmentDriftError
from infomax_tune.packs.mixing import refuse_to_mix
from infomax_tune.science.arithmetic import ARITHMETIC
from infomax_tune.science.data import Dataset
from infomax_tune.store.environments import Environments
from infomax_tune.store.record import Record
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.trial_status import TrialStatus


def record(dataset: str, data: str, arithmetic: int = ARITHMETIC) -> Record:
    config = TrialConfig.model_validate({"data": {"dataset": dataset}}).nested()
    return Record("relu-k16-s1-0", TrialStatus.DONE, 1, config, {}, {}, data=data, arithmetic=arithmetic)


def test_records_of_the_same_data_and_arithmetic_are_gone_on_with(digits: Dataset, synthetic_2d: Dataset) -> None:
    kept = [record("digits", digits.digest), record("synthetic_2d", synthetic_2d.digest)]
    refuse_to_mix(kept, {"digits": digits, "synthetic_2d": synthetic_2d}, mix_arithmetic=False)


def test_other_data_under_the_same_name_is_refused(digits: Dataset) -> None:
    kept = [record("digits", digits.digest), record("digits", "b" * 16), record("digits", "b" * 16)]
    message = rf"digits: 2 trials were trained here on different data .*was b{{16}}, now it is {digits.digest}\).*with that data"
    with pytest.raises(DataError, match=message):
        refuse_to_mix(kept, {"digits": digits}, mix_arithmetic=True)


def test_what_was_kept_before_there_were_digests_is_not_compared(digits: Dataset) -> None:
    """Nor is a dataset on which nothing is to be trained now. Its arithmetic counts as 1."""
    before = {"trial_id": "a", "status": "done", "epoch": 1, "config": {}, "result": {}, "timing": {}, "files": {}}
    old = Record.from_dict(before)
    assert old.arithmetic == 1
    kept = [old, record("digits", ""), record("synthetic_2d", "b" * 16)]
    refuse_to_mix(kept, {"digits": digits}, mix_arithmetic=True)
    with pytest.raises(EnvironmentDriftError, match="1 trial was trained here with arithmetic 1 "):
        refuse_to_mix(kept, {"digits": digits}, mix_arithmetic=False)


def test_the_refusal_names_the_version_that_trained_them(digits: Dataset, tmp_path: Path) -> None:
    environments = Environments(tmp_path)
    environments.note_used({"infomax-tune": "0.1.0"}, "0123abcd")
    kept = [dataclasses.replace(record("digits", digits.digest, 1), timing={"environment": "0123abcd"})]
    with pytest.raises(
        EnvironmentDriftError, match=r"with arithmetic 1 of infomax-tune 0\.1\.0, but this version uses"
    ):
        refuse_to_mix(kept, {"digits": digits}, mix_arithmetic=False, environments=environments)


def test_two_arithmetics_are_mixed_only_if_asked_for(digits: Dataset) -> None:
    kept = [record("digits", digits.digest, ARITHMETIC + 1)]
    message = rf"1 trial was trained here with arithmetic {ARITHMETIC + 1} .*uses {ARITHMETIC}:.*--mix-arithmetic"
    with pytest.raises(EnvironmentDriftError, match=message):
        refuse_to_mix(kept, {"digits": digits}, mix_arithmetic=False)
    refuse_to_mix(kept, {"digits": digits}, mix_arithmetic=True)
