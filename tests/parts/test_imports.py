"""What loads without torch."""

from __future__ import annotations

import subprocess
import sys


def test_the_parts_and_what_only_reads_load_without_torch() -> None:
    """Every module of these: torch takes seconds to import, and a report needs none."""
    code = """
import importlib, pkgutil, sys
for name in ("infomax_tune.parts", "infomax_tune.study", "infomax_tune.store", "infomax_tune.follow", "analysis"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
assert "infomax_tune.parts.datasets.mnist" in sys.modules
print([name for name in ("torch", "torchvision", "ray") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
