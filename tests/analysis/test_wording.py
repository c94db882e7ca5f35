"""The words and numbers of sentences."""

import math

import pytest

from analysis import wording


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "1"), (0.0293, "0.029"), (0.00065, "0.00065"), (1e-7, "< 0.0001"), (math.nan, "n/a")]
)
def test_p_is_never_printed_as_zero(p, text):
    """Small p-values keep two digits or become a bound."""
    assert wording.format_p(p) == text


@pytest.mark.parametrize(
    ("part", "total", "text"),
    [(1, 1, "the only cell"), (2, 2, "both cells"), (1, 2, "1 of 2 cells"), (18, 18, "all 18 cells")],
)
def test_a_share_is_said_as_one_would_say_it(part, total, text):
    """Not "1 of 1 cells"."""
    assert wording.share(part, total, "cells") == text


@pytest.mark.parametrize(
    ("names", "text"), [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_a_list_reads_as_a_list(names, text):
    """Commas, and an `and` before the last."""
    assert wording.words(names) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (0.012345, "0.0123"), (-3.0, "-3"), (math.nan, "n/a"), (math.inf, "n/a")]
)
def test_a_number_has_three_digits(value, text):
    """And says so where there is none."""
    assert wording.number(value) == text
