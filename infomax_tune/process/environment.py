"""The environment that trials are trained in: versions, hardware, threads, git commit. Reads the machine, writes nothing."""

from __future__ import annotations

import hashlib
import json
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "infomax-tune",
    "torch",
    "torchvision",
    "ray",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "safetensors",
    "numba",
)

NUMERIC = (
    "infomax-tune",
    "arithmetic",
    "python",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "machine",
    "cpu",
    "instructions",
    "blas",
    "threads",
    "device",
)
"""The entries of an environment that can change a trial's last bits: infomax-tune's own version and arithmetic among them,
scipy, whose optimizer fits scikit-learn's probe, and numba, without which torch computes what compiled loops do."""


def describe(*, device: str, threads: int) -> dict[str, Any]:
    """Versions, hardware and threads of this process, by name; values are text or numbers."""
    import torch  # slow to import

    described: dict[str, Any] = {"python": platform.python_version()}
    described |= {package: _version(package) for package in PACKAGES}
    described |= {
        "numba": without_numba() or described["numba"],
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "blas": "MKL" if torch.backends.mkl.is_available() else "other",
        "threads": threads,
        "device": torch.cuda.get_device_name() if device == "cuda" and torch.cuda.is_available() else device,
        "host": socket.gethostname(),
        "git_commit": _git_commit(),
    }
    return described


def without_numba() -> str:
    """Why numba compiles nothing here; "" if it does. Imports numba, which takes half a second."""
    try:
        from numba.core import config
    except ImportError:
        return "not installed"
    return "turned off" if config.DISABLE_JIT else ""  # pyright: ignore[reportAttributeAccessIssue] - made from $NUMBA_DISABLE_JIT


def fingerprint(described: dict[str, Any]) -> str:
    """A hash of the entries of `NUMERIC`, 8 hex digits: an equal hash promises equal bits."""
    numeric = {name: described.get(name) for name in NUMERIC}
    return hashlib.sha256(json.dumps(numeric, sort_keys=True).encode()).hexdigest()[:8]


def differences(
    before: dict[str, Any], now: dict[str, Any], words: str = "{name} was {before}, is now {now}"
) -> list[str]:
    """The entries of `NUMERIC` that differ, in words; an entry that `before` lacks is not compared."""
    return [
        words.format(name=name, before=before[name], now=now.get(name))
        for name in NUMERIC
        if name in before and before[name] != now.get(name)
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value}
    name = facts.get("model name") or platform.processor() or "unknown"
    if "cpu family" in facts and "model" in facts:  # CPUs of one name may have different instructions
        return f"{name} (family {facts['cpu family']}, model {facts['model']})"
    return name


def _git_commit() -> str | None:
    """The commit of the source tree this runs from; None for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
