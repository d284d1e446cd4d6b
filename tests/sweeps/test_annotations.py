from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, Union

import numpy as np
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


class Access(enum.Flag):
    READ = 1
    WRITE = 2


def annotated(annotation: Any) -> Parameters:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    return Parameters(function)


@pytest.mark.parametrize(
    ("annotation", "text", "values"),
    [
        (datetime.timedelta, "1:30:00,PT90S,P1DT2H", [5400, 90, 93600]),
        (datetime.timedelta, "-PT0.5S", [-0.5]),
        (
            datetime.datetime,
            "2026-01-02T03:04:05Z",
            [datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)],
        ),
        (datetime.time, "10:30,23:59:01", [datetime.time(10, 30), datetime.time(23, 59, 1)]),
        (uuid.UUID, str(uuid.UUID(int=5)), [uuid.UUID(int=5)]),
        (Decimal, "0.10,1e3", [Decimal("0.10"), Decimal("1e3")]),
        (Fraction, "1/3", [Fraction(1, 3)]),
        (type(None), "null,None", [None, None]),
        (Access, "READ|WRITE,WRITE,0", [Access.READ | Access.WRITE, Access.WRITE, Access(0)]),
        (Literal["a:b", "c"], "a:b,c", ["a:b", "c"]),
        (Literal[None, True], "None,null,True", [None, None, True]),
        (Annotated[int, "km"], "1e3", [1000]),
        (float | None, "null,1", [None, 1.0]),
        (bool | int, "1,true", [1, True]),
        (int | float, "2,2.0", [2, 2.0]),
        (int | str, "1.0,1,1e3", ["1.0", 1, "1e3"]),
        (float | type("Model", (), {}), "1", [1.0]),
        (list[int], "[1, 2],[3]", [[1, 2], [3]]),
        (list, "[1, true]", [[1, True]]),
        (Sequence[float], "[1, 2.5]", [[1.0, 2.5]]),
        (tuple[int, str], '[1, "a"]', [(1, "a")]),
        (tuple[int, ...], "[1, 2, 3]", [(1, 2, 3)]),
        (dict[str, float], '{"a": 1}', [{"a": 1.0}]),
        (list[datetime.date], '["2026-01-02"]', [[datetime.date(2026, 1, 2)]]),
        (list[int] | None, "[1]", [[1]]),
        (set[int], "[1, 1]", [{1}]),
        (np.float32, "0.5", [np.float32(0.5)]),
        (np.int8, "-128,1e2", [np.int8(-128), np.int8(100)]),
        (np.bool_, "true", [np.True_]),
        (np.datetime64, "2026-01-02", [np.datetime64("2026-01-02")]),
        (bytes | None, "null", [None]),
    ],
    ids=str,
)
def test_other_annotations_decide_as_well(annotation: Any, text: str, values: list[Any]) -> None:
    if annotation is datetime.timedelta:
        values = [datetime.timedelta(seconds=seconds) for seconds in values]
    found = parse_axis(f"x={text}", annotated(annotation)).values
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_an_array_is_a_list_in_json() -> None:
    (found,) = parse_axis("x=[[1, 2], [3, 4]]", annotated(np.ndarray)).values
    assert found.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (float, "1_000"),
        (float, "\u0663"),
        (Decimal, "1_000"),
        (complex, "1_0j"),
        (Fraction, "1/0"),
        (datetime.timedelta, "90"),
        (datetime.timedelta, "P1Y"),
        (datetime.timedelta, "PT"),
        (uuid.UUID, "5"),
        (bytes, "abc"),
        (type(None), "x"),
        (Access, "READ|RUN"),
        (list[int], "1,2"),
        (list[int], "[1.5]"),
        (list[int], "[1"),
        (tuple[int, int], "[1]"),
        (dict[str, float], "[1]"),
        (list[float], "[1e400]"),
        (list[str], "[1, null]"),
        (np.int8, "300"),
        (np.float32, "1e300"),
        (np.float64, "fast"),
        (np.ndarray, "[[1], [2, 3]]"),
        (list[int] | None, "1"),
    ],
    ids=str,
)
def test_what_does_not_fit_another_annotation_is_refused(annotation: Any, text: str) -> None:
    for parse in (parse_axis, parse_constant):
        with pytest.raises(InvalidRequest, match=r"is no |outside the range"):
            parse(f"x={text}", annotated(annotation))


def test_digits_of_other_scripts_are_text() -> None:
    assert parse_axis("x=\u0663,\uff11").values == ["\u0663", "\uff11"]


def test_blanks_of_a_constant_that_is_a_text_stay() -> None:
    assert parse_constant("x= a ", annotated(str)).values == [" a "]
    assert parse_constant("x= 5 ", annotated(int)).values == [5]


def test_a_parameter_whose_default_is_none_may_be_none() -> None:
    def function(name: str = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert parse_constant("name=null", Parameters(function)).values == [None]


@pytest.mark.parametrize(
    ("annotation", "value", "made"),
    [
        (str, " a ", " a "),
        (str, "null", "null"),
        (str, "=A1", "=A1"),
        (str, 5, "5"),
        (int, 2.0, 2),
        (float, 1, 1.0),
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
        (datetime.date, datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        (str | None, None, None),
        (str | None, "null", "null"),
        (Literal[None, 1], None, None),
        (list[float], [1], [1.0]),
        (list[datetime.date], [datetime.date(2026, 1, 2)], [datetime.date(2026, 1, 2)]),
        (dict, {"a": [1]}, {"a": [1]}),
    ],
    ids=str,
)
def test_values_of_documents_keep_their_type_or_get_that_of_the_annotation(
    annotation: Any, value: Any, made: Any
) -> None:
    convert = annotated(annotation).converter("x")
    assert convert is not None
    found = convert.of(value)
    assert (found, type(found)) == (made, type(made))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, [1, 2]),
        (str, [1]),
        (str, True),
        (str, None),
        (Path, None),
        (int, True),
        (datetime.date, 5),
        (dict, [1]),
    ],
    ids=str,
)
def test_values_of_documents_that_do_not_fit_are_refused(annotation: Any, value: Any) -> None:
    convert = annotated(annotation).converter("x")
    assert convert is not None
    with pytest.raises(InvalidRequest, match="is no "):
        convert.of(value)
