"""The sources of the user's own parts that an output folder keeps, so that its trials can be trained on.

A part is code, and a folder may come from somebody else: a source is loaded only if this process was given it by its user,
or with `trust`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from infomax_tune.errors import ConfigError
from infomax_tune.parts import catalogue
from infomax_tune.store.files import make_folder, matching, read_bytes, write_atomically

PARTS = "parts"
"""The folder of the copies, in an output folder."""


def keep(root: Path, names: Iterable[str]) -> None:
    """Copies the sources of these parts into the folder. Data is not copied: it may be large, and names its digest."""
    for source in catalogue.sources(names):
        make_folder(root / PARTS)
        write_atomically(root / PARTS / source.kept_as, source.content)


def bring(parts: Iterable[tuple[str, str]], folders: Sequence[Path | None], *, trust: bool) -> None:
    """Finds the sources of these parts, of kinds and names as `TrialConfig.parts` gives them.

    folders: those with copies or data. trust: whether the user has agreed that code in them is run. Raises ConfigError for a
    part that this version does not know, that is nowhere, or whose code is not trusted.
    """
    problems: dict[str, str] = {}  # by file: several parts may be in one
    for kind, name in dict.fromkeys(parts):
        if kind != "settings" and catalogue.is_here(kind, name):
            continue
        if not catalogue.is_pinned(name):
            problems[name] = (
                f"{name}: this version of infomax-tune has no such name among its {kind}; a newer one may have it."
            )
            continue
        file = name.partition("@")[0].partition(":")[0]
        source = _find(name, [folder for folder in (*folders, Path()) if folder is not None])
        if source is None and not file.endswith((".py", ".npz")) and not catalogue.is_installed(file):
            problems[file] = f"{name}: no package that is installed here has this part ({kind})."
        elif source is None and not catalogue.is_module(name):
            problems[file] = (
                f"{name}: its source is not here. Put the file with this digest into {folders[0]}/{PARTS}, or repeat the "
                "`infomax-tune sweep` command that named it."
            )
        elif not (trust or file.endswith(".npz")):
            where = f"{folders[0]}/{PARTS}" if source else "an installed module"
            problems[file] = (
                f"{name}: is code, in {where}, that this command would run. If you wrote or have read it, add --trust-parts "
                "(in Python: trust_parts=True)."
            )
        else:
            catalogue.add(source or catalogue.source_of_module(name))
    if problems:
        raise ConfigError("\n".join(problems.values()))


def _find(name: str, folders: Sequence[Path]) -> catalogue.Source | None:
    """The source with the digest in this name: a copy in one of the folders, or a file of that name there."""
    reference, _, digest = name.partition("@")
    file = reference.partition(":")[0]
    for path in [path for folder in folders for path in (*matching(folder / PARTS, "*"), folder / file)]:
        try:
            source = catalogue.Source(file, read_bytes(path)) if digest in path.name or path.name == file else None
        except OSError:
            continue
        if source and source.digest == digest:
            return source
    return None
