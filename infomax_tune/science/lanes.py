"""Sixteen float32 numbers as one value in code that numba compiles: `a + b`, `a * b`, and the functions below.

Each operation rounds every number as IEEE 754 says, and LLVM neither reorders nor merges them, so they give the same bits
on every CPU; where its registers hold fewer than sixteen numbers, LLVM uses several. Sixteen fill a register of AVX-512.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, models, register_model
from numba.core.imputils import lower_builtin, lower_cast
from numba.core.typeconv.castgraph import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

LANES = 16
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__("float32x16")

    def can_convert_from(self, typingctx: Any, other: Any) -> Any:
        return Conversion.safe if isinstance(other, types.Number) else None


lanes = _Lanes()
"""The type of these sixteen numbers."""


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


@lower_cast(types.Number, _Lanes)
def _sixteen_times(context: Any, builder: Any, kind: Any, to: Any, value: Any) -> Any:
    """A number beside lanes becomes lanes."""
    number = context.cast(builder, value, kind, types.float32)
    first = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, ir.Constant(_FLOATS, ir.Undefined), ir.Constant(_INTS, [0] * LANES))


def _operator(python: Callable[..., Any], instruction: str) -> None:
    """Makes one of Python's operators that instruction of LLVM's, for lanes with lanes or with a number."""

    @infer_global(python)  # pyright: ignore[reportOptionalCall]
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if lanes in args and all(kind is lanes or isinstance(kind, types.Number) for kind in args):
                return signature(lanes, lanes, lanes)
            return None

    @lower_builtin(python, lanes, lanes)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args)


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")
_operator(operator.truediv, "fdiv")


@infer_global(operator.neg)  # pyright: ignore[reportOptionalCall]
class _Negative(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(lanes, lanes) if args == (lanes,) else None


@lower_builtin(operator.neg, lanes)
def _negative(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fneg(args[0])


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [ir.Constant(ir.FloatType(), value)] * LANES)


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """The address of sixteen neighbors in a one-dimensional array of float32."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _FLOATS.as_pointer())


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """array[index : index + 16]. The array is one-dimensional, contiguous and of float32; nothing is checked."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, sig.args[0], *args), align=4)

    return lanes(array, types.intp), generate


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + 16] = value."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, sig.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def splat(typingctx: Any, value: Any) -> Any:
    """Sixteen times the same number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0]

    return lanes(lanes), generate


def _call(builder: Any, name: str, *args: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{LANES}f32"), args)


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "llvm.fma", *args)

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def sqrt(typingctx: Any, a: Any) -> Any:
    """The square root of each number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "llvm.sqrt", *args)

    return lanes(lanes), generate


@intrinsic
def absolute(typingctx: Any, a: Any) -> Any:
    """|a|."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "llvm.fabs", *args)

    return lanes(lanes), generate


@intrinsic
def where_less(typingctx: Any, a: Any, b: Any, then: Any, otherwise: Any) -> Any:
    """`then` where a < b, else `otherwise`, which is also where either is NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[2], args[3])

    return lanes(lanes, lanes, lanes, lanes), generate


@intrinsic
def power_of_two(typingctx: Any, magic: Any) -> Any:
    """2^i, for i + 1.5 * 2^23: a float that holds the integer i in its last bits. i from -126 to 127."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.shl(builder.bitcast(args[0], _INTS), ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(bits, ir.Constant(_INTS, [127 << 23] * LANES)), _FLOATS)

    return lanes(lanes), generate


@intrinsic
def exponent(typingctx: Any, a: Any) -> Any:
    """e, where a = m 2^e and m is from sqrt(1/2) to sqrt(2), for positive normal numbers."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        offset = ir.Constant(_INTS, [0x3F3504F3] * LANES)  # the bits of sqrt(1/2)
        bits = builder.ashr(builder.sub(builder.bitcast(args[0], _INTS), offset), ir.Constant(_INTS, [23] * LANES))
        return builder.sitofp(bits, _FLOATS)

    return lanes(lanes), generate


@intrinsic
def scale_down(typingctx: Any, a: Any, exponents: Any) -> Any:
    """a 2^-e, for whole numbers e, without rounding while both are normal numbers."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        shift = builder.shl(builder.fptosi(args[1], _INTS), ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.sub(builder.bitcast(args[0], _INTS), shift), _FLOATS)

    return lanes(lanes, lanes), generate


@intrinsic
def total(typingctx: Any, a: Any) -> Any:
    """The sum of the sixteen, added from first to last."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        result = builder.extract_element(args[0], ir.IntType(32)(0))
        for i in range(1, LANES):
            result = builder.fadd(result, builder.extract_element(args[0], ir.IntType(32)(i)))
        return result

    return types.float32(lanes), generate


@intrinsic
def largest(typingctx: Any, a: Any) -> Any:
    """The largest of the sixteen; if one is NaN, any number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        result = builder.extract_element(args[0], ir.IntType(32)(0))
        for i in range(1, LANES):
            other = builder.extract_element(args[0], ir.IntType(32)(i))
            result = builder.select(builder.fcmp_ordered("<", result, other), other, result)
        return result

    return types.float32(lanes), generate


@intrinsic
def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    """Asks for the cache line of array[index], which will be read soon. Changes no value."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data_cache = number(0), number(3), number(1)
        builder.call(ask, [builder.bitcast(builder.gep(data, [args[1]]), byte), read, keep, data_cache])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
