"""From a sweep's tables to statistics, figures and the study report. Needs neither Ray nor torch.

In one call: `analyze("out")`. In pieces, for a notebook: `load_study` gives DataFrames, each statistic goes from
DataFrame to DataFrame, each plot from DataFrame to a matplotlib Figure.

Names are loaded when first used, so that importing this package costs nothing and matplotlib waits for a plot.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.dynamics import convergence_speed, equal_spread, loss_spread
    from analysis.intervals import bca_interval, cell_statistics, t_interval
    from analysis.load import AnalysisError, Study, check_results, load_study
    from analysis.plots import metric_against, metric_box, redundancy_vs_dead
    from analysis.plots_overview import critical_difference, heatmaps, trade_off_matrix
    from analysis.plots_training import before_and_after, training_curves
    from analysis.plots_weights import weight_gallery, weight_lines
    from analysis.power import Power, detectable_effect, power_of, seeds_needed, smallest_p
    from analysis.reshape import (
        by_activation_and_width,
        counts,
        done,
        mean_over_width,
        summary,
        with_setting,
        with_untrained,
    )
    from analysis.run import Analysis, analyze, analyze_study
    from analysis.stats import average_ranks, compare, friedman, paired_p

_MODULES = (
    "load",
    "run",
    "reshape",
    "intervals",
    "stats",
    "dynamics",
    "power",
    "plots",
    "plots_overview",
    "plots_training",
    "plots_weights",
)
"""Where the public names are. None of these imports matplotlib before it draws."""

__all__ = [
    "Analysis",
    "AnalysisError",
    "Power",
    "Study",
    "analyze",
    "analyze_study",
    "average_ranks",
    "bca_interval",
    "before_and_after",
    "by_activation_and_width",
    "cell_statistics",
    "check_results",
    "compare",
    "convergence_speed",
    "counts",
    "critical_difference",
    "detectable_effect",
    "done",
    "equal_spread",
    "friedman",
    "heatmaps",
    "load_study",
    "loss_spread",
    "mean_over_width",
    "metric_against",
    "metric_box",
    "paired_p",
    "power_of",
    "redundancy_vs_dead",
    "seeds_needed",
    "smallest_p",
    "summary",
    "t_interval",
    "trade_off_matrix",
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
