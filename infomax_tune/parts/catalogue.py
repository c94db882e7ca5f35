"""Finds a part by its name."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any


@functools.cache
def ours(kind: str) -> dict[str, Any]:
    """The parts that come with infomax-tune, by name, in their order. kind: activations, metrics, ..."""
    package = importlib.import_module(f"infomax_tune.parts.{kind}")
    names = [found.name for found in pkgutil.iter_modules(package.__path__) if not found.name.startswith("_")]
    parts = {name: getattr(importlib.import_module(f"{package.__name__}.{name}"), name) for name in names}
    return dict(sorted(parts.items(), key=lambda item: (item[1].place, item[0])))
