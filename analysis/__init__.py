"""From a sweep's tables to statistics, figures and the study report. Needs neither Ray nor torch.

In one call: `analyze("out")`. In pieces, for a notebook: `load_study` gives DataFrames, each statistic goes from
DataFrame to DataFrame, each plot from DataFrame to a matplotlib Figure.

Names are loaded on first use: importing this package costs nothing, and matplotlib is imported only for a plot.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.dynamics import only_settled, still_moving
    from analysis.intervals import cell_statistics, t_interval
    from analysis.load import AnalysisError, Study, check_results, load_study
    from analysis.plots import metric_against, metric_box, redundancy_vs_dead
    from analysis.plots_comparison import forest
    from analysis.plots_training import metric_over_epochs, training_curves
    from analysis.plots_weights import weight_gallery, weight_lines
    from analysis.power import Power, detectable_effect, power_of, seeds_needed, smallest_p
    from analysis.reshape import (
        counts,
        done,
        mean_over_width,
        per_size,
        points,
        summary,
        with_setting,
        with_untrained,
    )
    from analysis.run import Analysis, analyze, analyze_study
    from analysis.sign_flips import Flipped, flip_family
    from analysis.stats import compare, complete_blocks, paired_p
    from analysis.widths import reversals

_MODULES = (
    "load",
    "run",
    "reshape",
    "intervals",
    "sign_flips",
    "stats",
    "widths",
    "dynamics",
    "power",
    "plots",
    "plots_comparison",
    "plots_training",
    "plots_weights",
)
"""The modules with the public names. None of them imports matplotlib before it draws."""

__all__ = [
    "Analysis",
    "AnalysisError",
    "Flipped",
    "Power",
    "Study",
    "analyze",
    "analyze_study",
    "cell_statistics",
    "check_results",
    "compare",
    "complete_blocks",
    "counts",
    "detectable_effect",
    "done",
    "flip_family",
    "forest",
    "load_study",
    "mean_over_width",
    "metric_against",
    "metric_box",
    "metric_over_epochs",
    "only_settled",
    "paired_p",
    "per_size",
    "points",
    "power_of",
    "redundancy_vs_dead",
    "reversals",
    "seeds_needed",
    "smallest_p",
    "still_moving",
    "summary",
    "t_interval",
    "training_curves",
    "weight_gallery",
    "weight_lines",
    "with_setting",
    "with_untrained",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            content = vars(importlib.import_module(f"analysis.{module}"))
            if name in content:
                globals()[name] = content[name]
                return content[name]
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
