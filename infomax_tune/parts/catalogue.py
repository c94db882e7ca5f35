"""The parts by name."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any


@functools.cache
def ours(kind: str) -> dict[str, Any]:
    """infomax-tune's own parts of a kind, by name. kind: a folder in `parts`; a file whose name begins with _ is no part."""
    package = importlib.import_module(f"infomax_tune.parts.{kind}")
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
    found = {name: getattr(importlib.import_module(f"{package.__name__}.{name}"), name) for name in names}
    return dict(sorted(found.items(), key=lambda item: (item[1].place, item[0])))


def find(kind: str, name: str) -> Any:
    """The part of that kind and name."""
    return ours(kind)[name]
