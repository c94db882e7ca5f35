"""What the faces ask the analysis: the report, the table in the terminal, and what so many seeds can show.

It takes seconds to import, so only the functions that need it import it.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infomax_tune.errors import ResourceError
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.space import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

    from analysis import Analysis


def answer(out: Path) -> pd.DataFrame:
    """The study's results in one table: mean and standard deviation of its metrics over the seeds, as text."""
    require_own_analysis()
    from analysis.answer import answer_table
    from analysis.load import load_study

    return answer_table(load_study(out).results)


def analyze(out: Path, output_dir: Path | None = None, **options: Any) -> Analysis:
    """Statistics, figures and the report from a sweep's tables. options: of `analysis.analyze`. Raises AnalysisError, or
    ResourceError if another module hides our package `analysis`."""
    require_own_analysis()
    import analysis  # imports pandas, scipy and matplotlib

    folder = SweepFolder(out)
    if TrialFolder(out).has_config():
        folder.require_sweep()  # a single run has nothing to compare
    sources = folder.report_sources()  # read first: if one changes meanwhile, the report counts as outdated
    made = analysis.analyze(out, output_dir, **options)
    if output_dir is None:
        folder.note_report(sources, made.finding)
    return made


def what_seeds_show(space: SearchSpace, *, only_if_nothing: bool = False) -> list[str]:
    """One sentence on which differences this number of seeds can detect, from the analysis's own function. Empty if the
    space compares nothing. only_if_nothing: empty too if there are any."""
    seeds = len(space.axes.get("training.seed", [0]))
    levels = len(space.axes.get("model.activation", [0]))
    if levels < 2:
        return []
    try:
        require_own_analysis()
    except ResourceError:
        return []  # the report says so at the end
    from analysis.power import power_of

    flat = [config.flat() for config in space.trials()]
    ours = TrialConfig().loss.objective  # baselines are not compared with each other
    infomax = [settings for settings in flat if settings["loss.objective"] == ours] or flat
    others = {tuple(settings[name] for name in space.axes if name not in _NOT_A_FAMILY) for settings in infomax}
    comparisons = math.comb(levels, 2) * len(others)
    power = power_of(seeds, comparisons)
    return [] if power.reachable and only_if_nothing else [f"power: {power.sentence}"]


_NOT_A_FAMILY = ("model.activation", "model.hidden_dim", "training.seed")
"""Axes that make no further comparisons: activations are what is compared, as means over widths, over seeds."""


def require_own_analysis() -> None:
    """Raises ResourceError if another `analysis`, such as one in the working directory, would be imported instead of ours."""
    own = Path(__file__).resolve().parents[1] / "analysis" / "__init__.py"
    try:
        found = importlib.util.find_spec("analysis")
    except ValueError:  # a module that a program put into sys.modules by itself
        found = None
    origin = None if found is None else found.origin
    if origin is None or Path(origin).resolve() != own:
        raise ResourceError(
            f"{origin or 'another analysis'} is imported instead of infomax-tune's package `analysis`; "
            "rename it, or run from another folder."
        )
