"""Parts that are objects of a running program, such as a notebook: their source is gathered, so that they travel as a file.

A function takes with it the functions, modules and numbers that it uses. What cannot be written down this way is refused.
"""

from __future__ import annotations
import __future__

import ast
import dataclasses
import dis
import inspect
import linecache
import math
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, ModuleType
from typing import Any

import numpy as np

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
    if text := _written(given):
        return _add(name, f"{name} = {text}", lines)
    if module := _module_of(given):
        return _add(name, f"from {module} import {given.__name__} as {name}", lines)
    if inspect.isfunction(given):
        return _take_function(given, lines)
    raise ConfigError(f"{name} = {given!r} cannot be sent to other processes; put the part into a file: FILE.py:NAME")


def _written(given: Any) -> str:
    """A number, text, or a tuple or dict of them, as Python writes it; "" for anything else."""
    if isinstance(given, np.generic):
        given = given.item()
    if isinstance(given, float):
        return repr(given) if math.isfinite(given) else f'float("{given}")'
    if given is None or isinstance(given, (bool, int, str)):
        return repr(given)
    if isinstance(given, tuple) and all(map(_written, given)):
        return f"({''.join(f'{_written(each)}, ' for each in given)})"
    if isinstance(given, dict) and all(map(_written, [*given, *given.values()])):
        return f"{{{', '.join(f'{_written(key)}: {_written(value)}' for key, value in given.items())}}}"
    return ""


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
        given.append(f"{field.name}={_written(value) or _take(value, field.name, lines)}")
    _add(kind.__name__, f"from {kind.__module__} import {kind.__name__}", lines)
    return _add(name, f"{name} = {kind.__name__}({', '.join(given)})", lines)


def _take_function(function: Callable[..., Any], lines: dict[str, str]) -> str:
    name = function.__name__
    if function.__closure__ or vars(function):
        raise ConfigError(
            f"{name} cannot be sent to other processes: write a function at the top level, without a closure or attributes"
        )
    text, definition = _definition(function)
    if lines.get(name) == text:
        return name
    _add(name, text, lines)
    in_head = _names_in_head(definition)
    for used in sorted(_names_in(function.__code__) | in_head):
        if used in function.__globals__ and function.__globals__[used] is not function:
            taken = _take(function.__globals__[used], used, lines)
            if taken != used:
                _add(used, f"{used} = {taken}", lines)
    lines[name] = lines.pop(name)  # after what it needs
    if in_head:  # what its defaults were when it was defined, not what those names are now
        for attribute in ("__defaults__", "__kwdefaults__"):
            place = f"{name}.{attribute}"
            _take(getattr(function, attribute), place, lines)
            lines[place] = lines.pop(place)
    return name


def _definition(function: Callable[..., Any]) -> tuple[str, ast.FunctionDef]:
    """Its source. Raises ConfigError if it has none, or no longer this one."""
    name = function.__name__
    try:
        text = textwrap.dedent(inspect.getsource(function))
        (definition,) = ast.parse(text).body
    except (OSError, TypeError, SyntaxError, ValueError):  # of a lambda, the source is the line that it stands in
        text, definition = "", None
    if not isinstance(definition, ast.FunctionDef) or definition.name != name:
        raise ConfigError(
            f"{name} is not a function that `def` defines in a file or a cell; put it into a file: FILE.py:{name}"
        )
    if not _is_of(function.__code__, linecache.getlines(function.__code__.co_filename)):
        raise ConfigError(
            f"{name} was edited since it was imported: import its module again, or name the file: FILE.py:{name}"
        )
    return text, definition


def _is_of(code: CodeType, lines: Sequence[str]) -> bool:
    """Whether these lines, of a file or a cell, still compile to this code. Cells are compiled a statement at a time."""
    body = ast.parse("".join(lines)).body
    future = code.co_flags & __future__.annotations.compiler_flag
    for nodes in (body, *([node] for node in body)):
        whole = compile(ast.Module(nodes, []), code.co_filename, "exec", future, dont_inherit=True)
        if code in _codes_in(whole):
            return True
    return False


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes_in(each)


def _names_in(code: CodeType) -> set[str]:
    """The global names that it uses."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    here = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return here.union(*map(_names_in, inner))


def _names_in_head(function: ast.FunctionDef) -> set[str]:
    """The names in a function's decorators and defaults."""
    head = [*function.decorator_list, *function.args.defaults, *filter(None, function.args.kw_defaults)]
    return {node.id for each in head for node in ast.walk(each) if isinstance(node, ast.Name)}


def _add(name: str, text: str, lines: dict[str, str]) -> str:
    if lines.setdefault(name, text) != text:
        raise ConfigError(f"{name} is two different things in this part; give one of them another name")
    return name
