"""Arguments as they are used, or an error that names them."""

from __future__ import annotations

import operator
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from compute_executor import checks
from tests.numbers_like_numpy import RealNumber, WholeNumber


@pytest.mark.parametrize("value", [2, True, WholeNumber(2)])
def test_whole_numbers(value: Any) -> None:
    number = checks.integer("n", value, least=1, most=2)
    assert type(number) is int
    assert number == operator.index(value)


@pytest.mark.parametrize("value", [2.0, "2", None, Decimal(2), RealNumber(2), [2], b"2"])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(
        TypeError, match=f"batch_size must be an integer, not .* of type {type(value).__name__}"
    ):
        checks.integer("batch_size", value, least=1)


@pytest.mark.parametrize(("value", "text"), [(0, "between 1 and 5, not 0"), (6, "between 1 and 5, not 6")])
def test_whole_numbers_out_of_bounds(value: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        checks.integer("n", value, least=1, most=5)
    with pytest.raises(ValueError, match="at least 1, not -1"):
        checks.integer("n", -1, least=1)
    assert checks.integer("n", -1) == -1


@pytest.mark.parametrize("value", [5, 5.0, RealNumber(5), WholeNumber(5), Decimal(5), Fraction(5), True])
def test_seconds(value: Any) -> None:
    number = checks.seconds("timeout", value, zero=False)
    assert type(number) is float
    assert number == float(value)


@pytest.mark.parametrize("value", ["5", None, [5], b"5", 5j])
def test_what_is_no_number_of_seconds(value: Any) -> None:
    with pytest.raises(TypeError, match="timeout must be a number of seconds"):
        checks.seconds("timeout", value, zero=True)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), RealNumber(float("nan"))])
def test_seconds_that_cannot_be_waited(value: Any) -> None:
    with pytest.raises(ValueError, match="timeout must"):
        checks.seconds("timeout", value, zero=True)


def test_no_seconds() -> None:
    assert checks.seconds("flush_interval", 0, zero=True) == 0.0
    with pytest.raises(ValueError, match="timeout must be greater than 0, it is 0"):
        checks.seconds("timeout", 0, zero=False)


def test_text() -> None:
    assert checks.text("label", "mine") == "mine"
    with pytest.raises(TypeError, match="label must be text, not 5 of type int"):
        checks.text("label", 5)
    assert checks.text("label", "\u00fc \U0001f600") == "\u00fc \U0001f600"
    with pytest.raises(ValueError, match="label holds half of a surrogate pair"):
        checks.text("label", "a\ud800")


def test_mappings() -> None:
    assert checks.mapping("config", OrderedDict(a=1)) == {"a": 1}
    for wrong in ([("a", 1)], {1: 2}, "a", None):
        with pytest.raises(TypeError, match="config must be a mapping"):
            checks.mapping("config", wrong)
