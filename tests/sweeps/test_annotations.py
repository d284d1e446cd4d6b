from __future__ import annotations

import datetime
import enum
from pathlib import Path
from typing import Any, Literal, NewType, Optional, Union

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.annotations import Parameters
from compute_executor.sweeps.grid import parse_axis, parse_constant


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


Metres = NewType("Metres", float)


def swept(
    flag: bool,
    count: int,
    rate: float,
    name: str,
    mode: Literal["fast", 2, None, True],
    colour: Colour,
    file: Path,
    day: datetime.date,
    maybe: Optional[int],  # noqa: UP045 - both spellings are annotations
    either: Union[int, str],  # noqa: UP007
    metres: Metres,
    anything: Any = None,
) -> None: ...


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("flag=true,0", [True, False]),
        ("count=1,1e3,2.0", [1, 1000, 2]),
        ("count=1:3:3", [1, 2, 3]),
        ("rate=1,2", [1.0, 2.0]),
        ("name=1,true,0:1:3", ["1", "true", "0:1:3"]),
        ("mode=fast,2,null,True", ["fast", 2, None, True]),
        ("colour=RED,b,1", [Colour.RED, Colour.BLUE, Colour.RED]),
        ("file=a/b,c", [Path("a/b"), Path("c")]),
        ("day=2026-01-02", [datetime.date(2026, 1, 2)]),
        ("maybe=none,3", [None, 3]),
        ("either=3,three", [3, "three"]),
        ("metres=3", [3.0]),
        ("anything=3,null", [3, None]),
    ],
)
def test_the_annotation_decides(text: str, values: list[object]) -> None:
    found = parse_axis(text, Parameters(swept)).values
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flag=yes", "flag = 'yes' is no bool"),
        ("count=2.5", "count = '2.5' is no int"),
        ("count=0:1:3", "is no int"),
        ("rate=fast", "is no float"),
        ("rate=1e400", "outside the range"),
        ("mode=slow", "is no Literal"),
        ("colour=GREEN", r"is no Colour \(RED, BLUE\)"),
        ("day=tomorrow", "is no date"),
        ("maybe=x", "is no "),
        ("metres=x", "metres = 'x' is no "),
    ],
)
def test_what_does_not_fit_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        parse_axis(text, Parameters(swept))


def test_annotations_that_cannot_be_read_leave_it_to_the_text() -> None:
    def broken(x: Absent) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert parse_axis("x=1,2", Parameters(broken)).values == [1, 2]


def test_a_constant_is_all_of_the_text() -> None:
    assert parse_constant("name=a,b", Parameters(swept)).values == ["a,b"]
    assert parse_constant("x=1").values == [1]
    with pytest.raises(InvalidRequest, match="--set count=x: count = 'x' is no int"):
        parse_constant("count=x", Parameters(swept))


def test_a_callable_object_is_asked_by_its_call() -> None:
    class Model:
        def __call__(self, n: float) -> None: ...

    assert parse_axis("n=1", Parameters(Model())).values == [1.0]
