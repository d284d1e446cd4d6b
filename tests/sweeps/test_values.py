from __future__ import annotations

import datetime
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.values import cell, digits, key, typed, typed_alike, unescaped, whole_number


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
        ("true", True),
        ("FALSE", False),
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


@given(st.integers(4000, 6000), st.sampled_from([-1, 1]))
def test_a_whole_number_of_any_length_comes_back(length: int, sign: int) -> None:
    number = sign * (10**length + 7)
    assert whole_number(digits(number)) == number
    assert typed(cell(number)) == number


@given(st.text(st.characters(exclude_characters="\0")))
def test_text_comes_back_and_is_no_formula(text: str) -> None:
    written = cell(text)
    assert unescaped(written) == text
    assert written[:1] not in ("=", "@", "\t", "\r")


@pytest.mark.parametrize("text", ["1e400", "-1e999", "1e-400"])
def test_a_number_outside_the_floats_is_refused_and_not_infinite_or_zero(text: str) -> None:
    with pytest.raises(InvalidRequest, match="outside the range of a float"):
        typed(text)
    assert typed("inf") == math.inf
    assert typed("0e5") == typed("0.0") == 0


@pytest.mark.parametrize(
    ("texts", "says"), [(["true", "1"], "among numbers"), ([str(2**53 + 1), "0.5"], "lose digits")]
)
def test_values_of_different_types_that_would_change_are_refused(texts: list[str], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        typed_alike(texts)


def test_true_is_not_one() -> None:
    assert key([True]) != key([1])
    assert key([None]) == key(["null"]) != key([""])


_JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(_JSON, max_size=5))
def test_containers_are_written_whole(value: list[object]) -> None:
    assert json.loads(cell(value)) == value


def test_a_list_with_a_very_long_number_is_written_whole() -> None:
    assert cell([10**5000, {"a": "b"}]) == "[1" + "0" * 5000 + ', {"a": "b"}]'


def test_objects_that_no_text_can_stand_for_are_refused() -> None:
    for value in (object(), [object()], iter([1]), [{1: 0, "1": 0}]):
        with pytest.raises(TypeError):
            cell(value)
    assert cell(datetime.date(2026, 1, 2)) == "2026-01-02"


def test_arrays_and_times_of_numpy_lose_nothing() -> None:
    numpy = pytest.importorskip("numpy")
    assert cell(numpy.datetime64("2026-01-01T00:00:00.000000001")) == "2026-01-01T00:00:00.000000001"
    assert cell(numpy.float32(0.1)) == "0.10000000149011612"
    assert json.loads(cell(numpy.zeros((40, 50)))) == [[0.0] * 50] * 40


def test_frames_keep_their_labels() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2]}, index=["x", "y"])
    assert json.loads(cell(frame)) == {"index": ["x", "y"], "columns": ["a"], "data": [[1], [2]]}
    assert json.loads(cell(pandas.Series([1, 2], index=["x", "x"]))) == {
        "index": ["x", "x"],
        "values": [1, 2],
    }


def test_an_array_of_an_unknown_kind_is_refused_and_not_shortened() -> None:
    class Tensor:
        shape = (2000,)

        def __str__(self) -> str:
            return "[0 1 2 ... 1999]"

    with pytest.raises(TypeError, match="Tensor cannot be written as text"):
        cell({"inside": [Tensor()]})
