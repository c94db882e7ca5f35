"""A sweep that is killed, for real, again and again, comes out as if nothing had happened.

The long form is `python -m benchmarks.chaos --kills 100`; here each way to die is tried once.
"""

from __future__ import annotations

import pytest

from benchmarks.chaos import CHECKPOINT_EVERY, SIGNALS, WRITES, Chaos


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    return Chaos(tmp_path_factory.mktemp("chaos"), seed=7)


@pytest.fixture(scope="module")
def expected(chaos: Chaos) -> dict[str, str]:
    return chaos.undisturbed()


def test_every_way_to_die_once(chaos: Chaos, expected: dict[str, str]) -> None:
    """One sweep that dies by every signal and in every kind of write, then is resumed to its end."""
    moments = ("half", "written", "renamed")
    in_workers = [f"kill in {name}:{moments[i % 3]}:1" for i, name in enumerate(WRITES[:4])]
    # a worker's death comes late: the sweep lives on and ends by itself, but for the tables
    ways = [*SIGNALS, "kill the raylet", "kill the GCS", *in_workers, "kill in results.csv:half:1", "kill a worker"]
    died = [chaos.die(way, after_s=0.3) for way in ways]
    # the last two may find that all is trained
    assert all(died[:-2]), dict(zip(ways, died, strict=True))
    assert chaos.finish() == expected
    chaos.count_epochs()
    assert chaos.trained_again == 0
    assert chaos.most_lost <= CHECKPOINT_EVERY
    assert chaos.broken_curves == 0
    assert chaos.lost_epochs > 0, "no death ever cost an epoch: the kills came too late to be a test"
