"""What the shell completes: spaces, settings and their values, devices."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from infomax_tune.study.config import NAMES, choices
from infomax_tune.study.options import DEVICES
from infomax_tune.study.read_config import resolve_name
from infomax_tune.study.read_space import bundled_spaces


def complete_space(incomplete: str) -> list[str]:
    files = [str(path) for path in Path().glob(f"{incomplete}*.y*ml")]
    return [name for name in bundled_spaces() if name.startswith(incomplete)] + files


def complete_setting(incomplete: str) -> list[str]:
    """Names of settings; after `activation=` its values, and after a comma the next value of a list."""
    key, separator, typed = incomplete.partition("=")
    if not separator:
        shorts = [f"{name.split('.')[1]}=" for name in NAMES]
        return [name for name in shorts if name.startswith(incomplete)]
    name = resolve_name(key)
    if name is None:
        return []
    before, comma, last = typed.rpartition(",")
    return [f"{key}={before}{comma}{value}" for value in choices(name) if value.startswith(last)]


def complete_device(incomplete: str) -> list[str]:
    return [name for name in DEVICES if name.startswith(incomplete)]


@contextlib.contextmanager
def whole_words() -> Iterator[None]:
    """Gives the completion whole words where bash has split them at `=`, and gives bash the part after the `=`.

    To bash, `activation=ta` is three words, and it replaces the last one only.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    if "=" not in words:
        yield
        return
    place = int(os.environ["COMP_CWORD"])
    joined: list[str] = []
    for i, word in enumerate([*words, *[""] * (place + 1 - len(words))]):
        if joined and (word == "=" or (i > 1 and words[i - 1] == "=")):
            joined[-1] += word
        else:
            joined.append(word)
        if i == place:
            break
    os.environ |= {"COMP_WORDS": "\n".join(joined), "COMP_CWORD": str(len(joined) - 1)}
    cut = joined[-1].rpartition("=")[0] + "=" if "=" in joined[-1] else ""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            yield
    finally:
        sys.stdout.write("\n".join(line.removeprefix(cut) for line in out.getvalue().split("\n")))
