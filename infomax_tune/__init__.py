"""infomax-tune: how does a layer's activation function change what the layer learns?

from infomax_tune import load_results, run, sweep

sweep("quickstart", out="results/quickstart")
table = load_results("results/quickstart")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infomax_tune.errors import ConfigError, InfomaxTuneError

if TYPE_CHECKING:
    from infomax_tune.api import (
        Sweep,
        analyze,
        compare,
        evaluate,
        init,
        load_layer,
        load_results,
        run,
        settings,
        stop,
        sweep,
    )

__version__ = "0.2.0.dev0"
__all__ = [
    "ConfigError",
    "InfomaxTuneError",
    "Sweep",
    "__version__",
    "analyze",
    "compare",
    "evaluate",
    "init",
    "load_layer",
    "load_results",
    "run",
    "settings",
    "stop",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Loads the functions on first use: torch and Ray take seconds to import."""
    if name == "list":  # not in __all__, so that a star import leaves Python's own list alone
        name = "list_"
    elif name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from infomax_tune import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
