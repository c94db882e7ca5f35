"""The output folders under a folder: sweeps, and single runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from infomax_tune.store.locks import is_locked
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder


def find_outputs(root: Path) -> Iterator[SweepFolder | TrialFolder]:
    """Every sweep and run in `root` or below, in the order of their paths; nothing inside one of them, nothing hidden."""
    sweep, run = SweepFolder(root), TrialFolder(root)
    if sweep.has_sweep():
        yield sweep
    elif run.has_config() and (run.kept() or run.has_record() or is_locked(root)):
        yield run
    else:
        with contextlib.suppress(PermissionError):
            for path in sorted(root.iterdir()):
                if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                    yield from find_outputs(path)


def size_and_time(root: Path) -> tuple[int, float]:
    """The bytes of all files under `root`, and when the latest of them was written, in Unix seconds."""
    size, latest = 0, 0.0
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):  # removed meanwhile
                found = Path(folder, name).lstat()
                size, latest = size + found.st_size, max(latest, found.st_mtime)
    return size, latest
