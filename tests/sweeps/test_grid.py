from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.grid import parse_axis


def test_a_list_of_values() -> None:
    assert parse_axis("x=1,2,5") == ("x", [1, 2, 5])
    assert parse_axis("kind = adam, sgd") == ("kind", ["adam", "sgd"])
    assert parse_axis("path=a=b") == ("path", ["a=b"])


def test_a_range_includes_both_ends() -> None:
    assert parse_axis("x=0:1:5") == ("x", [0.0, 0.25, 0.5, 0.75, 1.0])
    assert parse_axis("x=1:-1:3") == ("x", [1, 0, -1])
    assert parse_axis("x=5:9:1") == ("x", [5])


def test_a_range_of_whole_steps_between_ints_stays_ints() -> None:
    assert [type(value) for value in parse_axis("n=10:30:3").values] == [int, int, int]
    assert [type(value) for value in parse_axis("n=0:1:3").values] == [float, float, float]


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.integers(2, 200),
)
def test_a_range_has_its_count_its_ends_and_one_direction(start: float, stop: float, count: int) -> None:
    values = parse_axis(f"x={start!r}:{stop!r}:{count}").values
    assert len(values) == count
    assert (values[0], values[-1]) == (start, stop)
    assert values == sorted(values, reverse=start > stop)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "=1",
        "x=",
        "x=1,,2",
        "2x=1",
        "x y=1",
        "x=0:1",
        "x=0:1:2:3",
        "x=a:1:3",
        "x=0:inf:3",
        "x=0:1:0",
        "x=0:1:2.5",
        "x=0:1:99999999999",
        "x=::",
    ],
)
def test_a_malformed_grid_is_quoted_in_the_one_line_that_refuses_it(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_axis(text)
    assert text in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("n=1..4", [1, 2, 3, 4]),
        ("n=4..1..-2", [4, 2]),
        ("x=0..1..0.1", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ("x=1:100:3:log", [1.0, 10.0, 100.0]),
        ('x="a, b",c', ["a, b", "c"]),
        ("x=true,False,null", [True, False, None]),
    ],
)
def test_steps_ratios_quotes_and_words(text: str, values: list[object]) -> None:
    assert parse_axis(text).values == values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n=1..4..-1", "the step does not lead"),
        ("n=1..4..0", "the step does not lead"),
        ("n=0:1:3:log", "above zero"),
        ("n=1..1e12", "the count must be"),
        ("n=*.absent", "no file matches"),
        ("x=true,2", "among numbers"),
    ],
)
def test_a_wrong_sequence_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        parse_axis(text)


def test_files_that_match_are_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.dat", "a.dat", "c.txt"):
        (tmp_path / name).touch()
    assert parse_axis("file=*.dat").values == ["a.dat", "b.dat"]
