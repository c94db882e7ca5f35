"""The output folders under a folder: sweeps, and single runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from infomax_tune.errors import StoreError
from infomax_tune.store.files import exists
from infomax_tune.store.locks import is_locked
from infomax_tune.store.sweep_folder import SWEEP_FILE
from infomax_tune.store.trial_folder import TrialFolder


def find_outputs(root: Path) -> Iterator[tuple[str, Path]]:
    """Every sweep and run in `root` or below, in the order of their paths; nothing inside one of them, nothing hidden.

    Each with what it is: sweep, run, or folder if it cannot be read, so that nothing is known of what is in it.
    """
    left = [root]
    while left:
        path = left.pop()
        try:
            if exists(path / SWEEP_FILE):
                yield "sweep", path
            elif exists(path / "config.yaml") and (TrialFolder(path).has_begun() or is_locked(path)):
                yield "run", path
            else:
                below = sorted(path.iterdir(), reverse=True)
                left += [each for each in below if each.is_dir() and not each.is_symlink() and each.name[0] != "."]
        except (OSError, StoreError):
            yield "folder", path


def size_and_time(root: Path) -> tuple[int, float]:
    """The bytes of all files under `root`, and when the latest of them was written, in Unix seconds."""
    size, latest, left = 0, 0.0, [str(root)]
    while left:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as entries:  # removed meanwhile, or not readable
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                else:
                    found = entry.stat(follow_symlinks=False)
                    size, latest = size + found.st_size, max(latest, found.st_mtime)
    return size, latest
