"""environment.py: what is noted of a machine, and what is compared."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from infomax_tune import __version__
from infomax_tune.packs.execution import environment_here
from infomax_tune.process.environment import NUMERIC, describe, differences, fingerprint
from infomax_tune.science.arithmetic import ARITHMETIC


def test_all_that_is_compared_is_noted() -> None:
    described = environment_here(device="cpu", threads=1)
    assert set(NUMERIC) <= set(described)
    assert described["infomax-tune"] == __version__
    assert differences(described, described) == []


@pytest.mark.parametrize("name", NUMERIC)
def test_each_entry_that_can_change_last_bits_is_told_and_fingerprinted(name: str) -> None:
    """infomax-tune's own version and arithmetic among them."""
    now = environment_here(device="cpu", threads=1)
    before = now | {name: "another"}
    assert differences(before, now) == [f"{name} was another, is now {now[name]}"]
    assert fingerprint(before) != fingerprint(now)


@pytest.mark.parametrize(("name", "now"), [("scipy", version("scipy")), ("arithmetic", ARITHMETIC)])
def test_the_probes_optimizer_and_our_arithmetic_are_compared_where_they_were_noted(name: str, now: object) -> None:
    here = environment_here(device="cpu", threads=1)
    assert differences(here | {name: 0}, here) == [f"{name} was 0, is now {now}"]
    assert differences({key: value for key, value in here.items() if key != name}, here) == []


def test_what_changes_no_number_is_not_compared() -> None:
    now = describe(device="cpu", threads=1)
    assert differences(now | {"host": "another", "pandas": "0.1"}, now) == []
    assert fingerprint(now | {"host": "another"}) == fingerprint(now)
