"""Parts that are objects of a running program, such as a notebook: their source is gathered, so that they travel as a file.

A function takes with it the functions, modules and numbers that it uses. What cannot be written down this way is refused.
"""

from __future__ import annotations

import ast
import dataclasses
import dis
import inspect
import math
import sys
import textwrap
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

from infomax_tune.errors import ConfigError
from infomax_tune.parts import catalogue

_FILE = "program.py"


def pin_object(kind: str, given: Any) -> str:
    """The name of a part that is given as an object, with its digest. See `catalogue.pin`. Raises ConfigError."""
    lines = {"": "from __future__ import annotations"}  # the names in them are not looked up
    name = _take(given, getattr(given, "__name__", "part"), lines)
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
    if isinstance(given, float):
        value = float(given)  # NumPy's say what they are
        return _add(name, f"{name} = {value!r}" if math.isfinite(value) else f'{name} = float("{value}")', lines)
    if given is None or isinstance(given, (bool, int, str)):
        return _add(name, f"{name} = {given!r}", lines)
    if module := _module_of(given):
        return _add(name, f"from {module} import {given.__name__} as {name}", lines)
    if inspect.isfunction(given):
        return _take_function(given, lines)
    raise ConfigError(f"{name} = {given!r} cannot be sent to other processes; put the part into a file: FILE.py:NAME")


def _module_of(given: Any) -> str:
    """The module, of ours or a library, that a function or class can be imported from; "" if there is none."""
    module = getattr(given, "__module__", None) or "torch"  # torch.tanh does not know it
    if not callable(given) or str(module).partition(".")[0] not in ("infomax_tune", "torch", "numpy"):
        return ""
    return module if getattr(sys.modules.get(module), getattr(given, "__name__", ""), None) is given else ""


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
    if lines.get(name) == text:
        return name
    _add(name, text, lines)
    for used in sorted(_names_in(function.__code__) | _names_in_head(text)):
        if used in function.__globals__ and function.__globals__[used] is not function:
            taken = _take(function.__globals__[used], used, lines)
            if taken != used:
                _add(used, f"{used} = {taken}", lines)
    lines[name] = lines.pop(name)  # after what it needs
    return name


def _names_in(code: CodeType) -> set[str]:
    """The global names that it uses."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    here = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return here.union(*map(_names_in, inner))


def _names_in_head(text: str) -> set[str]:
    """The names in a function's decorators and defaults."""
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    head = [*function.decorator_list, *function.args.defaults, *filter(None, function.args.kw_defaults)]
    return {node.id for each in head for node in ast.walk(each) if isinstance(node, ast.Name)}


def _add(name: str, text: str, lines: dict[str, str]) -> str:
    if lines.setdefault(name, text) != text:
        raise ConfigError(f"{name} is two different things in this part; give one of them another name")
    return name
