from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.cli.values import cell, key, typed, typed_alike


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        ("0.50", 0.5),
        ("1e3", 1000.0),
        (" 7 ", 7),
        ("007", "007"),
        ("-012", "-012"),
        ("1_000", "1_000"),
        ("adam", "adam"),
        ("", ""),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_text_becomes_a_number_only_if_it_comes_back_as_written(text: str, value: object) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


def test_values_of_one_parameter_are_of_one_type() -> None:
    assert [type(value) for value in typed_alike(["1", "2"])] == [int, int]
    assert [type(value) for value in typed_alike(["1", "2.5"])] == [float, float]
    assert typed_alike(["1", "2.5", "x"]) == ["1", "2.5", "x"]


@given(st.one_of(st.integers(-(10**18), 10**18), st.floats(allow_nan=False)))
def test_a_number_written_and_read_is_the_same_number(value: float) -> None:
    assert typed(cell(value)) == value
    assert type(typed(cell(value))) is type(value)


def test_a_subclass_of_float_is_written_as_a_plain_number() -> None:
    class Kelvin(float):
        def __repr__(self) -> str:
            return "Kelvin(...)"

    assert cell(Kelvin(2.5)) == "2.5"
    assert cell(None) == ""
    assert cell([1, 2]) == "[1, 2]"
    assert cell("a\0b") == "a\ufffdb"


def test_equal_rows_have_equal_keys_whatever_wrote_them() -> None:
    assert key(["1", "0.10", "fast"]) == key([1.0, 0.1, "fast"])
    assert key([math.nan]) == key(["nan"])
    assert key([1]) != key([2])
