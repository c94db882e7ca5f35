"""Finds a part by its name: one of ours, one of an installed package, or one in a user's own file.

A name of ours is the name of its file. Any other part is named with the digest of its source, such as
`my_swish.py:swish@3f2a9c1b4d5e`: trials of a part that was edited are other trials. Nothing is loaded to read such a name.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import io
import linecache
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from infomax_tune.errors import ConfigError, InfomaxTuneError, PartError
from infomax_tune.process.paths import user_path

_PINNED = re.compile(r"(?P<reference>[\w.-]+(?::\w+)?)@(?P<digest>[0-9a-f]{12})")


@dataclass(frozen=True)
class Source:
    """The source of a part: the name of its file, without folders, and what is in it."""

    file: str
    content: bytes

    @property
    def digest(self) -> str:
        """12 hex digits of a SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()[:12]

    @property
    def kept_as(self) -> str:
        """The name of the copy that an output folder keeps."""
        stem, _, suffix = self.file.rpartition(".")
        return f"{stem}-{self.digest}.{suffix}"


_sources: dict[str, Source] = {}
"""What this process may load, by digest: what its user named, or agreed to."""


@functools.cache
def ours(kind: str) -> dict[str, Any]:
    """The parts that come with infomax-tune, by name, in their order. kind: activations, datasets, terms, ..."""
    package = importlib.import_module(f"infomax_tune.parts.{kind}")
    names = [found.name for found in pkgutil.iter_modules(package.__path__) if not found.name.startswith("_")]
    parts = {name: getattr(importlib.import_module(f"{package.__name__}.{name}"), name) for name in names}
    return dict(sorted(parts.items(), key=lambda item: (item[1].place, item[0])))


@functools.cache
def installed(kind: str) -> dict[str, EntryPoint]:
    """The parts that installed packages offer, by name. None of them is loaded, and none hides one of ours."""
    return {each.name: each for each in entry_points(group=f"infomax_tune.{kind}") if each.name not in ours(kind)}


def names(kind: str) -> tuple[str, ...]:
    """Every name that needs no file: ours, and those of installed packages."""
    return (*ours(kind), *installed(kind))


def short(name: str) -> str:
    """A part's name for people and in ids: `swish`, of `my_swish.py:swish@3f2a9c1b4d5e`."""
    bare = name.partition("@")[0]
    return re.sub(r"\W", "_", bare.rpartition(":")[2].removesuffix(".npz"))


def is_pinned(name: str) -> bool:
    """Whether it is the name of a part that is not ours, with its digest."""
    return _PINNED.fullmatch(name) is not None


def is_own(kind: str, name: str) -> bool:
    """Whether it names a file, a module or an installed package's part, not one of ours."""
    return name not in ours(kind) and (":" in name or name.endswith(".npz") or name in installed(kind))


def pin(kind: str, name: str, folder: Path | None = None) -> str:
    """The name with the digest of its source; a name of ours, or one with its digest, as it is.

    name: ours; of an installed package; `FILE.py:NAME`, `FILE.npz` (a dataset) or `MODULE:NAME`. Files are looked for in
    `folder`, then in the working directory. Loads the part, since whoever calls this has named it. Raises ConfigError
    if there is no such part, or it cannot be loaded.
    """
    if name in ours(kind) or is_pinned(name):
        return name
    if name in installed(kind):
        source, reference = _of_module(installed(kind)[name].module), name
    elif name.endswith(".npz") or name.rpartition(":")[0].endswith(".py"):
        file, colon, attribute = (name, "", "") if name.endswith(".npz") else name.rpartition(":")
        source = _of_file(file, folder)
        reference = f"{source.file}{colon}{attribute}"
    elif re.fullmatch(r"[A-Za-z_][\w.]*:\w+", name):
        source, reference = _of_module(name.partition(":")[0]), name
    elif name.endswith(".py"):
        raise ConfigError(f"{name}: name the object in it too: {name}:NAME")
    else:
        raise ConfigError(f"{name!r} is unknown")
    pinned = f"{reference}@{source.digest}"
    if not is_pinned(pinned):
        raise ConfigError(
            f"{name}: rename it: letters, digits, _, - and . can be part of a file's name, and a : and NAME follow"
        )
    add(source)
    find(kind, pinned)
    return pinned


def add(source: Source) -> None:
    """Lets this process load what is in a source. Only for one that the user has named, or has agreed to."""
    _sources[source.digest] = source


def facts(parts: Iterable[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Of each of these parts (kind, name) that is not ours, by name: how the report shows it, as far as the part says so."""
    own = {name: find(kind, name) for kind, name in parts if is_pinned(name)}
    shown = ("color", "marker", "explanation")
    return {name: {fact: text for fact in shown if (text := getattr(part, fact, ""))} for name, part in own.items()}


def is_module(name: str) -> bool:
    """Whether it is the name of a part in an installed module, with its digest."""
    match = _PINNED.fullmatch(name)
    return match is not None and ":" in match["reference"] and ".py:" not in match["reference"]


def is_installed(module: str) -> bool:
    """Whether there is a package for it. Imports nothing."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def source_of_module(name: str) -> Source:
    """The source of the installed module that a part is in. Raises ConfigError."""
    return _of_module(name.partition(":")[0])


def sources(names: Iterable[str]) -> list[Source]:
    """The sources that this process has of those of these parts that are in a user's file of code, each once."""
    matches = [match for match in map(_PINNED.fullmatch, names) if match and ".py:" in match["reference"]]
    digests = dict.fromkeys(match["digest"] for match in matches)
    return [_sources[digest] for digest in digests if digest in _sources]


def is_here(kind: str, name: str) -> bool:
    """Whether `find` can load the part without asking anybody: it is ours, of an installed package, or has been named."""
    match = _PINNED.fullmatch(name)
    if match is None:
        return name in ours(kind)
    return match["digest"] in _sources or match["reference"] in installed(kind)


def find(kind: str, name: str) -> Any:
    """The part. name: as `pin` gives it. Raises ConfigError if it is not here, was edited, or cannot be loaded."""
    return ours(kind)[name] if name in ours(kind) else _load(kind, name)


@functools.cache
def _load(kind: str, name: str) -> Any:
    """A part that is not ours."""
    match = _PINNED.fullmatch(name)
    if match is None:
        raise ConfigError(f"{name}: this version of infomax-tune has no such part of a study ({kind}).")
    reference, digest = match["reference"], match["digest"]
    file, _, attribute = reference.rpartition(":")
    package = importlib.import_module(f"infomax_tune.parts.{kind}")
    if reference.endswith(".npz"):
        from infomax_tune.parts.own_datasets import from_npz  # imports what it reads with

        return from_npz(io.BytesIO(_require(name, digest).content), reference)
    if file.endswith(".py"):
        module = _module(_require(name, digest))
    else:
        entry = installed(kind).get(reference)
        if entry is None and not file:
            raise ConfigError(f"{reference}: no package that is installed here offers such a part ({kind}).")
        path, attribute = (entry.module, entry.attr) if entry else (file, attribute)
        if not attribute:
            raise ConfigError(
                f"{reference}: the entry point of its package names no object: {path}. Write {path}:NAME there."
            )
        here = _of_module(path)
        if here.digest != digest:
            raise ConfigError(
                f"{reference}: the installed {path} is not the one of these trials (its digest is {here.digest}, not {digest})."
            )
        module = _run(lambda: importlib.import_module(path), path, here.file)
    if not hasattr(module, attribute):
        offered = [each for each in vars(module) if not each.startswith("_")]
        raise ConfigError(f"{reference}: there is no {attribute!r} in it. It has {', '.join(offered)}.")
    return package.part_from(getattr(module, attribute), reference)


def again(kind: str, name: str) -> Any:
    """The part, as `find` would give it to another process: a user's file runs again."""
    _module.cache_clear()
    return ours(kind)[name] if name in ours(kind) else _load.__wrapped__(kind, name)


def _require(name: str, digest: str) -> Source:
    if digest not in _sources:
        raise ConfigError(f"{name}: its source is not here.")
    return _sources[digest]


def _of_file(file: str, folder: Path | None) -> Source:
    tried = [parent / user_path(file) for parent in dict.fromkeys((folder or Path(), Path()))]
    for path in tried:
        try:
            return Source(path.name, path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    raise ConfigError(f"{' and '.join(map(str, tried))} cannot be found")


def _of_module(name: str) -> Source:
    """The source of a module that is installed. Imports the packages above it, but not the module."""
    try:
        spec = importlib.util.find_spec(name)
    except Exception as error:  # noqa: BLE001 - the packages above it are run, and may raise anything
        raise ConfigError(f"{name}: cannot be imported ({type(error).__name__}: {error})") from None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise ConfigError(f"{name}: there is no such module; for a file, write {name}.py:NAME")
    return Source(Path(spec.origin).name, Path(spec.origin).read_bytes())


@functools.cache
def _module(source: Source) -> ModuleType:
    """The module that a user's file makes."""
    name = f"infomax_tune_part_{source.digest}"
    module = ModuleType(name)
    module.__file__ = source.file
    lines = source.content.decode("utf-8", "replace").splitlines(keepends=True)
    linecache.cache[source.file] = (len(source.content), None, lines, source.file)  # tracebacks show its lines
    sys.modules[name] = module  # where a dataclass looks for its module
    _run(lambda: exec(compile(source.content, source.file, "exec"), module.__dict__), source.file, source.file)  # noqa: S102
    return module


def _run(load: Any, name: str, file: str) -> Any:
    """What `load` returns. Raises ConfigError with the line of the user's file if it raises."""
    try:
        return load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's code may raise anything
        line = error.lineno if isinstance(error, SyntaxError) else line_in(file, error)
        raise ConfigError(f"{name}, line {line}: {type(error).__name__}: {error}") from None


@contextlib.contextmanager
def blame(parts: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Raises PartError, with the line, in place of an error that the code of one of these parts (kind, name) raised."""
    try:
        yield
    except InfomaxTuneError:
        raise
    except (Exception, SystemExit) as error:
        for kind, name in parts:
            file = _code_of(kind, name) if is_pinned(name) and ".npz@" not in name else ""
            if file and (line := line_in(file, error)) != "?":
                words = " ".join(str(error).split())
                raise PartError(f"{file}, line {line}: {type(error).__name__}: {words}") from error
        raise


def _code_of(kind: str, name: str) -> str:
    """The name of the file that the code of a part is in."""
    reference = name.partition("@")[0]
    entry = installed(kind).get(reference)
    path = entry.module if entry else reference.partition(":")[0]
    return path if path.endswith(".py") else _of_module(path).file


def line_in(file: str, error: BaseException) -> int | str:
    """The last line of this file that an error passed through; ? if none."""
    frames = traceback.extract_tb(error.__traceback__)
    return next(
        (frame.lineno or "?" for frame in reversed(frames) if Path(frame.filename).name == Path(file).name), "?"
    )
