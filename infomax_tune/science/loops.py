"""The compiled loops of parts: made of a part's formula when it is first used, and kept in the user's cache.

Imports numba, which takes half a second.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, no_type_check

import numpy as np
from numba import njit, types
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.np.unsafe.ndarray import to_fixed_tuple

from infomax_tune.parts import elementwise, rowwise
from infomax_tune.parts.activations import Activation
from infomax_tune.parts.optimizers import Rule
from infomax_tune.process.code_cache import cache_folder, note_problem
from infomax_tune.science import compiled, lanes, loop_functions
from infomax_tune.science.lanes import LANES, load, splat, store, where_less
from infomax_tune.science.loop_functions import inline

_NUMBERS = types.Array(types.float32, 1, "C")
_ACTIVATE = types.void(_NUMBERS, _NUMBERS, types.intp, _NUMBERS, types.intp)
_ACTIVATE_BACK = types.void(_NUMBERS, _NUMBERS, _NUMBERS, types.intp, _NUMBERS, types.intp)
_UPDATE = types.void(_NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS)
_OURS = (__file__, compiled.__file__, lanes.__file__, loop_functions.__file__, elementwise.__file__)

formula, count = None, 0
"""What `_compile` gives its meaning: the formula of a part, and the number of its factors."""

TERM_WEIGHTS = tuple(name for name in inspect.signature(compiled._train_epoch).parameters if name.startswith("lambda_"))
"""The settings of the terms that the loops have: they take the weight of each as an argument."""


def _compile(function: Any, signature: Any, of: Callable[..., Any] | None = None, **names: Any) -> Any:
    """The function, compiled, unless its code for this CPU, its source and that of its formula is in the cache.

    of: the formula that it is made of. names: what the function's names mean, beside its module's: its formula, above
    all. They are no closure, because what numba looks for in its cache would then be different in every process.
    """
    given = FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__)
    about = "" if of is None else _about(of)
    # the name tells code apart that other processes compiled, once it is in one process
    unique = hashlib.sha256((about or "").encode()).hexdigest()[:16]
    given.__module__, given.__qualname__ = function.__module__, f"{function.__qualname__}_{unique}"
    made: Any = njit(error_model="numpy", nogil=True)(given)
    if about is not None and (folder := cache_folder(*_OURS, also=about.encode())):
        made._cache = _CodeCache.of(given, str(folder)) or made._cache
    made.compile(signature)
    made.disable_compile()
    return made


class _CodeFiles(IndexDataCacheFile):
    """numba's files, with a checksum: after a power cut a file may have a part of the code, and the code is run."""

    def _save_data(self, name: str, data: Any) -> None:
        code = self._dump(data)
        super()._save_data(name, (hashlib.sha256(code).digest(), code))

    def _load_data(self, name: str) -> Any:
        checksum, code = super()._load_data(name)
        if checksum != hashlib.sha256(code).digest():
            raise ValueError(f"{name}: its checksum is wrong")
        return pickle.loads(code)  # noqa: S301 - numba would; only this user can write it, see `cache_folder`


class _CodeCache(FunctionCache):
    """numba's cache, without which a function is compiled each time: it never stops one."""

    @classmethod
    def of(cls, function: Any, folder: str) -> _CodeCache | None:
        """The cache of a function in this folder; None if numba cannot write there, and would choose another."""
        settings: Any = config
        before, settings.CACHE_DIR = settings.CACHE_DIR, folder
        try:
            made = cls(function)
        finally:
            settings.CACHE_DIR = before
        if not made.cache_path.startswith(folder):
            note_problem(f"{folder}: cannot be written")
            return None
        stamp = made._impl.locator.get_source_stamp()
        made._cache_file = _CodeFiles(made.cache_path, made._impl.filename_base, stamp)
        return made

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code that is kept. If it is broken, forgets it, so that it is compiled and kept again."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001 - pickle may raise anything of a file that is cut off or changed
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:  # noqa: BLE001 - a full disk; or a broken file that could not be replaced
            note_problem(f"{self.cache_path}: cannot be written ({error})")


def _about(formula: Callable[..., Any]) -> str | None:
    """What a formula is compiled from: the source of its module, and its place there. None if that does not say all."""
    module = inspect.getmodule(formula)
    if formula.__closure__ or module is None:
        return None
    try:
        return f"{inspect.getsource(module)} {formula.__qualname__} {formula.__code__.co_firstlineno}"
    except (OSError, TypeError):
        return None


@functools.cache
def train_epoch(code: str) -> Any:
    """`compiled._train_epoch` for data with this type of `NonZeros.code`. It takes the loops of the parts as arguments."""
    loop, f, read = types.FunctionType, types.float32, functools.partial(types.Array, ndim=1, layout="C", readonly=True)
    table = types.Array(types.float32, 2, "C")
    signature = types.UniTuple(types.float64, 5)(
        read(types.int64), read(types.uint16), read(getattr(types, code)), read(types.float32),
        types.Array(types.int64, 1, "C"), types.intp, _NUMBERS, _NUMBERS, _NUMBERS, table, table, table, loop(_UPDATE),
        loop(_ACTIVATE), loop(_ACTIVATE_BACK), types.boolean, loop(_ACTIVATE), loop(_ACTIVATE_BACK), types.boolean,
        *[f] * (len(TERM_WEIGHTS) + 1),
    )  # fmt: skip
    return _compile(compiled._train_epoch, signature)


@dataclass(frozen=True)
class ActivationLoops:
    """forward(z, a, size, real, units) and backward(grad, z, a, size, real, units), which changes grad in place."""

    forward: Any
    backward: Any
    is_identity: bool = False


@functools.lru_cache(64)
def loops_of_activation(activation: Activation) -> ActivationLoops | None:
    """The loops of an activation; None if its formulas are not made for them."""
    if activation.forward in compiled.ROWWISE:
        forward, backward = compiled.ROWWISE[activation.forward]
        return ActivationLoops(_compile(forward, _ACTIVATE), _compile(backward, _ACTIVATE_BACK))
    if _is_identity(activation):
        forward, backward = compiled.ROWWISE[rowwise.softmax]  # which are then not called
        return ActivationLoops(_compile(forward, _ACTIVATE), _compile(backward, _ACTIVATE_BACK), is_identity=True)
    if activation.rows or activation.derivative is None:
        return None
    try:
        return ActivationLoops(
            _compile(_forward, _ACTIVATE, activation.forward, formula=_formula(activation.forward)),
            _compile(_backward, _ACTIVATE_BACK, activation.derivative, formula=inline(activation.derivative)),
        )
    except Exception:  # noqa: BLE001 - numba raises many kinds, of what it cannot compile, such as a call of torch
        return None


@no_type_check
def _forward(z, a, size, real, units):
    for first in range(0, size, units):
        for j in range(0, units, LANES):
            value = formula(load(z, first + j))
            store(a, first + j, where_less(splat(0.5), load(real, j), value, splat(0.0)))


@no_type_check
def _backward(grad, z, a, size, real, units):
    for first in range(0, size, units):
        for j in range(0, units, LANES):
            at = first + j
            change = load(grad, at) * formula(load(z, at), load(a, at))
            store(grad, at, where_less(splat(0.5), load(real, j), change, splat(0.0)))


def _formula(function: Callable[..., Any]) -> Any:
    """The formula for lanes. One that is a function of `elementwise` itself stands for the one of lanes where it is called."""
    return inline((lambda z: function(z)) if function.__module__ == elementwise.__name__ else function)


def _is_identity(activation: Activation) -> bool:
    thing = object()
    try:
        return activation.forward(thing) is thing
    except Exception:  # noqa: BLE001 - a user's formula may raise anything of what is no tensor
        return False


@functools.lru_cache(64)
def loops_of_rule(rule: Rule) -> Any:
    """update(parameter, first_moment, second_moment, gradient, factors), in place; None if the rule is not made for loops."""
    if len(rule.moments) >= len(_UPDATES):
        return None
    try:
        count = len(rule.factors(0.1, np.ones(1)))
        return _compile(_UPDATES[len(rule.moments)], _UPDATE, rule.update, formula=inline(rule.update), count=count)
    except Exception:  # noqa: BLE001 - see `loops_of_activation`
        return None


@no_type_check
def _update(parameter, first, second, grad, factors):
    given = to_fixed_tuple(factors, count)
    for at in range(0, len(parameter), LANES):
        store(parameter, at, formula(load(parameter, at), load(grad, at), *given))


@no_type_check
def _update_with_one(parameter, first, second, grad, factors):
    given = to_fixed_tuple(factors, count)
    for at in range(0, len(parameter), LANES):
        p, m = formula(load(parameter, at), load(grad, at), load(first, at), *given)
        store(parameter, at, p)
        store(first, at, m)


@no_type_check
def _update_with_two(parameter, first, second, grad, factors):
    given = to_fixed_tuple(factors, count)
    for at in range(0, len(parameter), LANES):
        p, m, v = formula(load(parameter, at), load(grad, at), load(first, at), load(second, at), *given)
        store(parameter, at, p)
        store(first, at, m)
        store(second, at, v)


_UPDATES = (_update, _update_with_one, _update_with_two)
"""The update of a parameter with as many moments."""
