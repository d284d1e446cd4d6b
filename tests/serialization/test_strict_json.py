"""A value comes back as it was, of the very same types, or is refused by name."""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute_executor.serialization import strict_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


class Point(NamedTuple):
    x: int


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


class Half(float):
    __slots__ = ()


HUGE = 1 << 14_000
OTHERS: list[Any] = [
    (1,),
    {1},
    frozenset(),
    b"x",
    bytearray(b"x"),
    1j,
    object(),
    len,
    int,
    Point(1),
    Colour.RED,
    Name("a"),
    Half(0.5),
    OrderedDict(a=1),
    float("nan"),
    float("inf"),
    -float("inf"),
    "\ud800",
    "a\udfffb",
    "\ud83d\ude00",
    HUGE,
    -HUGE,
    {1: 2},
    {True: 1},
    {None: 1},
    {1.5: 1},
    {"\ud800": 1},
    {(1, 2): 3},
    range(3),
    ...,
]


def same(one: Any, other: Any) -> bool:
    """Whether they are equal and of the same types throughout, 0.0 and -0.0 told apart."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    return repr(one) == repr(other)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_what_has_no_fault_comes_back_as_it_was(value: Any) -> None:
    assert strict_json.fault(value, "it") == ""
    text = strict_json.dumps(value)
    assert text.isascii()
    assert same(strict_json.loads(text), value)


@settings(max_examples=50, deadline=None)
@given(VALUES, st.integers(0, len(OTHERS) - 1).map(OTHERS.__getitem__), st.data())
def test_what_json_would_change_is_refused_wherever_it_is(
    value: Any, other: Any, data: st.DataObject
) -> None:
    where = [value]
    place: Any = where
    while (
        isinstance(place[0] if isinstance(place, list) else None, list)
        and place[0]
        and data.draw(st.booleans())
    ):
        place = place[0]
    place[0] = {"key": [value, other]} if data.draw(st.booleans()) else other
    found = strict_json.fault(where, "it")
    assert found.startswith("it[0]")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [0, {2}]}, "argument 2['a'][1] is a set: use a sorted list"),
        ((1, 2), "argument 2 is a tuple: JSON has no tuples, use a list"),
        ([{"k": {3: 1}}], "argument 2[0]['k'] has the key 3, which is no str: JSON has only texts as keys"),
        (
            {"k\ud800": 1},
            "argument 2 has the key 'k\\ud800', which has the lone surrogate U+D800 at character 1",
        ),
        (["x\udfff"], "argument 2[0] has the lone surrogate U+DFFF at character 1"),
        (float("nan"), "argument 2 is nan, which JSON cannot say"),
        (Point(1), "argument 2 is a Point: JSON has None, bool, int"),
        (Colour.RED, "argument 2 is a Colour"),
        ([OrderedDict()], "argument 2[0] is an OrderedDict"),
    ],
)
def test_the_refusal_says_where_and_what_to_do(value: Any, said: str) -> None:
    assert strict_json.fault(value, "argument 2").startswith(said)


def test_a_number_that_some_python_would_not_read_is_refused() -> None:
    found = strict_json.fault([HUGE], "it")
    assert found == "it[0] is an int of 14001 bits, more than 14000: use hex(value)"


def test_the_largest_number_is_read_by_every_python() -> None:
    number = (1 << strict_json.MAX_BITS) - 1
    for value in (number, -number):
        assert strict_json.fault(value, "it") == ""
        assert strict_json.loads(strict_json.dumps(value)) == value


def test_depth_has_a_bound_and_a_circle_is_told_by_it() -> None:
    value: list[Any] = []
    for _ in range(strict_json.MAX_DEPTH - 1):
        value = [value]
    assert strict_json.fault(value, "it") == ""
    assert strict_json.loads(strict_json.dumps(value)) == value
    assert strict_json.fault([value], "it").endswith("is nested more than 100 deep, or contains itself")
    circle: dict[str, Any] = {}
    circle["me"] = circle
    assert "contains itself" in strict_json.fault(circle, "it")


@pytest.mark.parametrize(
    "text",
    ["NaN", "[Infinity]", '{"a": -Infinity}', "", "{", "[" * 100_000, "1" * 5000, "nul"],
)
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        strict_json.loads(text)


def test_checked_is_the_value_or_a_type_error() -> None:
    value = [1]
    assert strict_json.checked(value, "the result") is value
    with pytest.raises(TypeError, match="the result is a set"):
        strict_json.checked({1}, "the result")
