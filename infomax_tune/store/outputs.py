"""The output folders under a folder: sweeps, and single runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from infomax_tune.errors import StoreError
from infomax_tune.store import objects
from infomax_tune.store.files import exists
from infomax_tune.store.locks import is_locked
from infomax_tune.store.sweep_folder import SWEEP_FILE
from infomax_tune.store.trial_folder import TrialFolder


def find_outputs(root: Path) -> Iterator[tuple[str, Path]]:
    """Every sweep and run in `root` or below, in the order of their paths; nothing inside one of them, nothing hidden. A link
    that points to one is followed, and no other.

    Each with what it is: sweep, run, or folder if it cannot be read, so that nothing is known of what is in it.
    """
    if objects.is_object(root):
        yield from _find_objects(root)
        return
    left = [root]
    while left:
        path = left.pop()
        try:
            if exists(path / SWEEP_FILE):
                yield "sweep", path
            elif exists(path / "config.yaml") and (TrialFolder(path).has_begun() or is_locked(path)):
                yield "run", path
            elif path == root or not path.is_symlink():
                below = sorted(path.iterdir(), reverse=True)
                left += [each for each in below if each.is_dir() and each.name[0] != "."]
        except (OSError, StoreError):
            yield "folder", path


def _find_objects(root: Path) -> Iterator[tuple[str, Path]]:
    below: dict[str, set[str]] = {}
    for key in objects.sizes_and_times(root):
        folder, _, name = key.rpartition("/")
        below.setdefault(folder, set()).add(name)
    last = ""
    for folder, names in sorted(below.items()):
        if last and folder.startswith(f"{last}/"):
            continue
        kind = "sweep" if SWEEP_FILE in names else "run" if {"config.yaml", "environment.json"} <= names else ""
        if kind:
            last = folder
            yield kind, root / folder if folder else root


def size_and_time(root: Path) -> tuple[int, float]:
    """The bytes of all files under `root`, and when the latest of them was written, in Unix seconds."""
    if objects.is_object(root):
        found = objects.sizes_and_times(root).values()
        return sum(size for size, _ in found), max((time for _, time in found), default=0.0)
    size, latest, left = 0, 0.0, [str(root)]
    while left:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as entries:  # removed meanwhile, or not readable
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    size, latest = size + found.st_size, max(latest, found.st_mtime)
    return size, latest
