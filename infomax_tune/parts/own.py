"""Parts that are objects of a running program, such as a notebook: their source is gathered, so that they travel as a file.

A function takes with it the functions, modules and numbers that it uses. What cannot be written down this way is refused.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import textwrap
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

from infomax_tune.errors import ConfigError
from infomax_tune.parts import catalogue

_FILE = "program.py"


def pin_object(kind: str, given: Any) -> str:
    """The name of a part that is given as an object, with its digest. See `catalogue.pin`. Raises ConfigError."""
    lines: dict[str, str] = {}
    name = _take(given, "part", lines)
    source = catalogue.Source(_FILE, "\n".join(lines.values()).encode())
    catalogue.add(source)
    pinned = f"{_FILE}:{name}@{source.digest}"
    catalogue.find(kind, pinned)
    return pinned


def _take(given: Any, name: str, lines: dict[str, str]) -> str:
    """Adds what defines the object to `lines`, after what it needs. Returns the name it has there."""
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return _take_fields(given, name, lines)
    if isinstance(given, ModuleType):
        return _add(name, f"import {given.__name__} as {name}", lines)
    if isinstance(given, (bool, int, float, str)):
        text = f'float("{given}")' if isinstance(given, float) and not math.isfinite(given) else repr(given)
        return _add(name, f"{name} = {text}", lines)
    if callable(given) and str(getattr(given, "__module__", "")).partition(".")[0] in (
        "infomax_tune",
        "torch",
        "numpy",
    ):
        return _add(name, f"from {given.__module__} import {given.__name__} as {name}", lines)
    if inspect.isfunction(given):
        return _take_function(given, lines)
    raise ConfigError(f"{name} = {given!r} cannot be sent to other processes; put the part into a file: FILE.py:NAME")


def _take_fields(part: Any, name: str, lines: dict[str, str]) -> str:
    kind = type(part)
    given = []
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if value == field.default:
            continue
        is_value = isinstance(value, (bool, int, float, str, tuple, dict))
        given.append(f"{field.name}={value!r}" if is_value else f"{field.name}={_take(value, field.name, lines)}")
    _add(kind.__name__, f"from {kind.__module__} import {kind.__name__}", lines)
    return _add(name, f"{name} = {kind.__name__}({', '.join(given)})", lines)


def _take_function(function: Callable[..., Any], lines: dict[str, str]) -> str:
    name = function.__name__
    if name == "<lambda>" or function.__closure__:
        raise ConfigError(
            f"{name} cannot be sent to other processes: write a function at the top level, without a closure"
        )
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise ConfigError(f"{name}: its source cannot be found; put it into a file: FILE.py:{name}") from None
    for used in sorted(_names_in(function.__code__)):
        if used in function.__globals__ and used != name:
            _take(function.__globals__[used], used, lines)
    return _add(name, text, lines)


def _names_in(code: CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


def _add(name: str, text: str, lines: dict[str, str]) -> str:
    if lines.setdefault(name, text) != text:
        raise ConfigError(f"{name} is two different things in this part; give one of them another name")
    return name
