"""Parses YAML safely, and remembers the line of every key."""

from __future__ import annotations

import itertools
import pathlib
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from infomax_tune.errors import ConfigError

Path = tuple[str, ...]

MAX_CHARACTERS = 2**22
"""Four times what a space of the most trials takes. A longer text would be parsed for minutes."""

MAX_VALUES = 1_000_000
"""A file that expands to more values, which takes aliases of aliases, is an attempt to fill memory, not a config."""


class _Loader(yaml.SafeLoader):
    """SafeLoader (no tag can run code) whose numbers follow YAML 1.2: `1e-3` is one, `010` is ten, and `1:30` is text."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes text that `_Loader` would read as a number, such as 1e5."""


_FLOAT, _INT, _TEXT = "tag:yaml.org,2002:float", "tag:yaml.org,2002:int", "tag:yaml.org,2002:str"

for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag not in (_FLOAT, _INT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _class.add_implicit_resolver(_INT, re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789"))
    _class.add_implicit_resolver(
        _FLOAT,
        re.compile(
            r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+0123456789."),
    )


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))  # 010 is ten


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Quotes text with a line break other than \\n, which PyYAML would write unchanged and read back as a space."""
    quoted = any(character in text for character in "\r\x85\u2028\u2029")
    return dumper.represent_scalar(_TEXT, text, style='"' if quoted else None)


_Loader.add_constructor(_INT, _construct_int)
_Dumper.add_representer(str, _represent_text)


@dataclass(frozen=True)
class Document:
    """A YAML mapping, the name of its source, and the line of each of its keys."""

    content: dict[str, Any]
    source: str
    lines: dict[Path, int] = field(default_factory=dict)

    @property
    def folder(self) -> pathlib.Path:
        """Where a file that it names is looked for first."""
        return pathlib.Path(self.source).parent

    def where(self, *path: str) -> str:
        """`FILE, line N` of a key, or of the nearest key above it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return f"{self.source}, line {self.lines[path[:length]]}"
        return self.source


def parse(text: str, source: str) -> Document:
    """Parses one YAML mapping; empty text is an empty mapping.

    Raises ConfigError on a syntax error, a tag, a key given twice, or anything but a mapping.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{source}: has more than {MAX_CHARACTERS} characters.")
    try:
        return _parse(_Loader(text), source)
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_problem(error, source)) from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply to be a config.") from None
    except ValueError as error:  # e.g. an impossible date, which SafeLoader tries to build
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{source}: {error}.") from None


def _parse(loader: _Loader, source: str) -> Document:
    node = loader.get_single_node()
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return Document({}, source)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{source}: expected `key: value` lines, found a {_kind(node)}.")
    if _size(node, {}) > MAX_VALUES:
        raise ConfigError(f"{source}: its aliases expand to more than {MAX_VALUES} values; write the values out.")
    lines: dict[Path, int] = {}
    _walk(node, (), lines, source)
    return Document(loader.construct_document(node), source, lines)


def parse_value(text: str) -> Any:
    """One YAML value, as written after the `=` of an override. Raises ValueError."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None


def dump(content: dict[str, Any]) -> str:
    """YAML that `parse` reads back, keys in the given order."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Number of values that a node expands to, aliases included. sizes: those already known, by node id."""
    if id(node) not in sizes:
        sizes[id(node)] = 0  # until it is known: a node may contain itself
        parts = [*itertools.chain(*node.value)] if isinstance(node, yaml.MappingNode) else node.value
        inner = 0 if isinstance(node, yaml.ScalarNode) else sum(_size(part, sizes) for part in parts)
        sizes[id(node)] = 1 + inner
    return sizes[id(node)]


def _walk(node: yaml.MappingNode, path: Path, lines: dict[Path, int], source: str) -> None:
    for key_node, value_node in node.value:
        key = (*path, str(key_node.value))
        line = key_node.start_mark.line + 1
        if key in lines:
            raise ConfigError(f"{'.'.join(key)}: given twice ({source}, lines {lines[key]} and {line}).")
        lines[key] = line
        if isinstance(value_node, yaml.MappingNode):
            _walk(value_node, key, lines, source)


def _kind(node: yaml.Node) -> str:
    return "list" if isinstance(node, yaml.SequenceNode) else "single value"


def _yaml_problem(error: yaml.YAMLError, source: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    line = f", line {mark.line + 1}" if mark is not None else ""
    return f"{source}{line}: not valid YAML: {problem}."
