"""Numbers, names and lists as words: the pieces of every sentence of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from infomax_tune.study.settings import as_typed


def number(value: float) -> str:
    """Three significant digits, thousands without an exponent; n/a if there is no value."""
    if value is None or not np.isfinite(value):
        return "n/a"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def show(value: object) -> str:
    """A config value as written in a search space: 0.1, 10, relu."""
    return as_typed(value) if isinstance(value, float) else str(value)


def words(names: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    *front, last = names or ["none"]
    return f"{', '.join(front)} and {last}" if front else last


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def counted(n: int, word: str) -> str:
    """1 seed; 2 seeds."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def share(part: int, total: int, unit: str) -> str:
    """the only cell; both cells; all 18 cells; 5 of 18 cells. unit: in the plural."""
    if total == 1:
        return f"the only {unit.removesuffix('s')}"
    if part < total:
        return f"{part} of {total} {unit}"
    return f"both {unit}" if total == 2 else f"all {total} {unit}"


def interval(low: float, high: float) -> str:
    """An interval in words, or the reason there is none."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "no interval: too few seeds"
    return f"95% interval {rounded(low, high - low)} to {rounded(high, high - low)}"


def rounded(value: float, width: float) -> str:
    """A number to the second digit of its interval's width; further digits are noise. Three digits without a width."""
    if not np.isfinite(value):
        return "n/a"
    if not np.isfinite(width) or width <= 0:
        return number(value)
    decimals = min(12, max(0, 1 - math.floor(math.log10(width))))
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def measured(value: float, low: float, high: float) -> str:
    """A mean with its interval, rounded to the interval's width."""
    return f"{rounded(value, high - low)} ({interval(low, high)})"


def per_cent(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """12% (10% to 14%), without the parentheses if there is no interval."""
    width = high - low
    text = f"{rounded(value, width)}%"
    return f"{text} ({rounded(low, width)}% to {rounded(high, width)}%)" if np.isfinite(width) else text


def format_p(p: float) -> str:
    """A p-value as the report prints it: three decimals, small ones with two significant digits, never 0."""
    if math.isnan(p):
        return "n/a"
    if p >= 0.9995:
        return "1"
    if p >= 0.001:
        return f"{p:.3f}"
    return f"{p:.2g}" if p >= 0.0001 else "< 0.0001"


def p_words(p: float) -> str:
    """corrected p = 0.012, or "no test"."""
    if not np.isfinite(p):
        return "no test"
    text = format_p(p)
    return f"corrected p {text}" if text.startswith("<") else f"corrected p = {text}"
