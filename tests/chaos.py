"""What the kill tests share: one sweep that dies in given ways, then is resumed to its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.chaos import CHECKPOINT_EVERY, Chaos, hashes
from infomax_tune.store.sweep_folder import SweepFolder
from tests.folders import make_sweep


def die_of(ways: Sequence[str], folder: Path, *settings: str) -> None:
    """Dies in each of these ways, and checks that the end has the bytes of a sweep that was left alone.

    settings: over those of the chaos' own space.
    """
    # two packs at a time, on any machine: else one of many cores would be done before it is killed
    two = ("--max-concurrent", "2", "--cpus-per-pack", "0.5")
    options = (*two, *(word for setting in settings for word in ("--set", setting)))
    chaos = Chaos(folder, seed=7, options=options, own_cache=False)
    died = {ways[0]: chaos.die(ways[0], after_s=0)}
    assert len(chaos.records) < len(SweepFolder(chaos.out).read_plan()), "the kill came too late to be a test"
    died |= {way: chaos.die(way, after_s=0.3) for way in ways[1:]}
    assert all(died.values()), died
    assert chaos.finish() == hashes(make_sweep(folder / "undisturbed", *settings, space=str(chaos.space)).root)
    chaos.count_epochs()
    assert chaos.violations == []
    assert chaos.trained_again == 0
    assert chaos.most_lost <= CHECKPOINT_EVERY
    assert chaos.broken_curves == 0
