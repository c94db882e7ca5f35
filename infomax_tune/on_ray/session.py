"""A running sweep, as all who take part in it on the driver's side need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from infomax_tune.follow.display import Display
from infomax_tune.follow.tally import Tally
from infomax_tune.on_ray.tracker_feed import TrackerFeed
from infomax_tune.process.signals import Interrupt
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.options import Options
from infomax_tune.study.plan import Plan
from infomax_tune.study.space import SearchSpace


@dataclass(frozen=True)
class Session:
    """A running sweep. command: the call that repeats the study. on_begin: called once the sweep is sure to train."""

    space: SearchSpace
    plan: Plan
    folder: SweepFolder
    options: Options
    display: Display
    interrupt: Interrupt
    tally: Tally
    feed: TrackerFeed
    command: str = ""
    on_begin: Callable[[], None] = lambda: None

    def enter(self, phase: str) -> None:
        """Shows, here and in the folder, that the sweep does something else now."""
        self.tally.phase = phase
        self.display.show(self.tally.state())
        self.folder.driver.write_progress(self.tally.state().as_dict())
