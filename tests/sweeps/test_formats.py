"""What is written to a table is read back as it was, or was refused."""

from __future__ import annotations

import array
import collections
import csv
import datetime
import decimal
import enum
import json
import math
import pickle
import threading
import uuid
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.columns import as_result, named
from compute_executor.sweeps.formats import FORMATS, format_of
from compute_executor.sweeps.formats.netcdf import dataset
from compute_executor.sweeps.live_table import LiveTable
from compute_executor.sweeps.reading import read_table
from compute_executor.sweeps.tabulation import TableRecord, Tabulation, recorded
from compute_executor.sweeps.values import array_text, cell, json_text, storable

FRUGAL = settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Files are written for each example: no time for shrinking."""


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: float


class Pair(NamedTuple):
    first: int
    second: str


TEXT = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    [
        "None",
        "NaN",
        "\u2028",
        "\x85",
        "\ufeffa",
        "e\u0301",
        "_x0041_",
        "\ud800",
        " a ",
        "[1, 2]",
        "=1+1",
        "@x",
        "-2+3",
        "+a",
        "\t=1",
        "a,b",
        'say "no"',
        "line\nbreak",
        "\r",
        "'=1",
        "null",
        "true",
        "007",
        "1e5",
        "",
    ]
)
WHOLE = st.integers() | st.sampled_from(
    [2**31, 2**53 + 1, 10**15, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**40]
)
NUMBERS = WHOLE | st.floats() | st.booleans() | st.integers(-(2**80), 2**80)
ZONES = st.none() | st.sampled_from(
    [datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=5, minutes=45))]
)
TIMES = (
    st.dates()
    | st.datetimes(timezones=ZONES)
    | st.times()
    | st.timedeltas()
    | st.sampled_from([pd.NaT, pd.Timestamp("2026-01-02T03:04:05.123456789"), np.datetime64("2026-01-02")])
)
DECIMALS = st.decimals(allow_nan=True) | st.sampled_from(
    [
        decimal.Decimal(text)
        for text in ("1.10", "1E+5", "-0", "1e-50", "sNaN", "Infinity", "0." + "1234567890" * 4)
    ]
)
OTHERS = st.sampled_from(
    [
        Colour.RED,
        Fraction(1, 3),
        uuid.UUID(int=5),
        b"bytes",
        1 + 2j,
        Path("a/b"),
        {3, 4},
        range(3),
    ]
)
ARRAYS = st.sampled_from(
    [
        np.arange(3),
        np.ones((2, 2)),
        np.array(["a", "b"]),
        np.array([True]),
        np.float32(0.1),
        np.int64(7),
        np.array(5),
        np.array([]),
        np.zeros((0, 3)),
        np.array([1, None, 2.5], object),
        np.array(["2026-01-01", "NaT"], "M8[D]"),
        np.ma.array([1, 2], mask=[False, True]),
        np.ma.array([True, False], mask=[False, True]),
        pd.Series([1.5, None]),
        pd.array([1, None], dtype="Int64"),
        pd.DataFrame({"n": [1, 2], "s": ["a", None]}),
    ]
)
ATOMS = st.none() | NUMBERS | TEXT | TIMES | DECIMALS | OTHERS | ARRAYS
VALUES = ATOMS | st.lists(ATOMS, max_size=3) | st.dictionaries(TEXT, ATOMS, max_size=3)
COLUMNS = st.sampled_from(
    [
        st.none() | NUMBERS,
        st.none() | WHOLE,
        st.booleans() | WHOLE,
        WHOLE | st.floats(),
        st.none() | TEXT,
        TEXT | NUMBERS,
        st.none() | DECIMALS,
        st.none() | TIMES,
        st.none() | st.dates(),
        st.none() | ARRAYS,
        ARRAYS | NUMBERS,
        st.none() | st.lists(NUMBERS | st.none(), max_size=3),
        st.lists(TEXT | st.none(), max_size=3),
        st.dictionaries(st.sampled_from(["b", "c", 1, "1"]), NUMBERS | TEXT, max_size=3),
        st.lists(st.dictionaries(st.sampled_from(["b", 1, "1"]), WHOLE, max_size=2), max_size=2),
        VALUES,
    ]
)
"""What one column may hold, so that its values are often near to one another and never quite alike."""


@st.composite
def tables(draw: st.DrawFn) -> list[TableRecord]:
    """The rows of a sweep: some columns are missing in some of them, some rows failed."""
    columns = draw(
        st.dictionaries(st.sampled_from(["a", "ü x", "a,b", "n"]), COLUMNS, min_size=1, max_size=3)
    )
    records = []
    for place in range(draw(st.integers(1, 4))):
        value = {name: draw(kind) for name, kind in columns.items() if draw(st.integers(0, 4))}
        failed = draw(st.integers(0, 5)) == 5
        record = recorded({"x": place}, value, frozenset(["x", "error"]))
        records.append(TableRecord({"x": place}, {}, "E: no, none") if failed else record)
    return records


def table(values: list[Any], **options: Any) -> Tabulation:
    """A row a value: ``x`` is its number, ``result`` the value."""
    records = [TableRecord({"x": place}, {"result": value}, "") for place, value in enumerate(values)]
    return Tabulation(["x"], lambda: records, **options)


def written(path: Path, values: list[Any]) -> bool:
    """Whether the format took the values."""
    try:
        format_of(path).write(path, table(values))
    except InvalidRequest:
        return False
    return True


def same(one: Any, other: Any) -> bool:
    """Equal, with types, NaN and all; arrays as the lists that they hold."""
    if not isinstance(one, (list, dict)) or type(one) is not type(other):
        one, other = storable(one), storable(other)
    if isinstance(one, (list, dict)) and type(one) is type(other):
        keys = range(len(one)) if isinstance(one, list) else one.keys()
        return len(one) == len(other) and all(same(one[key], other[key]) for key in keys)
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if isinstance(one, complex) or isinstance(other, complex):
        return repr(one) == repr(other)
    return bool(one == other)


@FRUGAL
@given(records=tables(), ending=st.sampled_from([one for one in FORMATS if one != ".nc"]))
def test_a_table_of_mixed_columns_is_read_back_or_refused(
    records: list[TableRecord], ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("t") / f"t{ending}"
    try:
        format_of(path).write(path, Tabulation(["x"], lambda: records))
    except InvalidRequest:
        return
    _, rows = read_table(path)
    assert [row["x"] for row in rows] == [record.parameters["x"] for record in records]
    for row, record in zip(rows, records, strict=True):
        if record.error or not (row.get("error") or "").startswith("the result cannot be written"):
            assert (row.get("error") or "") == record.error
            for name, value in record.results.items():
                assert read_as(ending, row.get(name), value), (name, row.get(name), value)


def read_as(ending: str, found: Any, value: Any) -> bool:
    """Whether a cell of a table has what there is of ``value`` in its format."""
    if ending in (".pickle", ".pkl"):
        return type(found) is type(value) and same(found, value)
    if ending == ".parquet":
        return parquet_same(found, value)
    if ending == ".jsonl":
        return json_text(found) == json_text(json.loads(json_text(value)))
    if ending == ".xlsx":
        return (found or "") == value if isinstance(value, str) else array_text(found) == array_text(value)
    plain = cell(value).encode("utf-8", "backslashreplace").decode()
    return cell(found) == plain


@FRUGAL
@given(records=tables(), ending=st.sampled_from([".csv", ".tsv", ".jsonl"]), order=st.randoms())
def test_a_table_that_grew_has_what_one_that_is_written_whole_has(
    records: list[TableRecord], ending: str, order: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    grown, whole = (tmp_path_factory.mktemp("t") / f"{name}{ending}" for name in ("grown", "whole"))
    there: dict[int, TableRecord] = {}
    layout = FORMATS[ending].part("layout")(grown, ["x"])
    live = LiveTable(
        grown, layout, lambda: Tabulation(["x"], lambda: [there[place] for place in sorted(there)]), float
    )
    try:
        for place in order.sample(range(len(records)), len(records)):
            there[place] = records[place]
            live.add([(place, records[place])])
            live.flush()
        live.finish()
    finally:
        live.abandon()
    format_of(whole).write(whole, Tabulation(["x"], lambda: records))
    for one, other in zip(read_table(grown)[1], read_table(whole)[1], strict=True):
        assert one.keys() == other.keys()
        assert all(same(one[name], other[name]) for name in one)


@FRUGAL
@given(value=VALUES)
def test_a_pickle_has_every_value_as_it_was(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("t") / "t.pickle"
    assert written(path, [value])
    (row,) = pickle.loads(path.read_bytes())
    assert type(row["result"]) is type(value)
    assert same(row["result"], value)


@FRUGAL
@given(values=st.lists(VALUES, min_size=1, max_size=4))
def test_parquet_has_every_value_or_refuses(
    values: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    if written(path, values):
        found = [row["result"] for row in pq.read_table(path).to_pylist()]
        assert all(map(parquet_same, found, values)), (found, values)


def parquet_same(found: Any, value: Any) -> bool:
    """A struct has all the keys that the others have, and its empty fields are None."""
    value = storable(value)
    if isinstance(found, dict) and isinstance(value, dict):
        return all(parquet_same(found[key], value.get(key)) for key in found) and set(value) <= set(found)
    if isinstance(found, list) and isinstance(value, list):
        return len(found) == len(value) and all(map(parquet_same, found, value))
    return same(found, value)


@FRUGAL
@given(value=VALUES)
def test_jsonl_has_what_json_has(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("t") / "t.jsonl"
    made = FORMATS[".jsonl"].part("layout")(path, ["x"])
    line = made.line(TableRecord({"x": 1}, {"result": value}, ""))
    found = json.loads(line)
    if made.unwritable:
        assert "cannot be written as JSON" in found["error"]
    elif isinstance(value, (bool, int, float, type(None))):
        assert same(found["result"], value)
    elif isinstance(value, str):
        # two halves of a sign that stand side by side are one, in JSON
        assert found["result"] == value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    elif isinstance(value, list) and all(type(item) in (bool, int, float, type(None)) for item in value):
        assert same(found["result"], value)


@FRUGAL
@given(value=st.none() | NUMBERS | TEXT, ending=st.sampled_from(["csv", "tsv"]))
def test_text_has_numbers_and_words_whole_and_no_formula(
    value: Any, ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("t") / f"t.{ending}"
    assert written(path, [value])
    with path.open(encoding="utf-8", newline="") as file:
        delimiter = "," if ending == "csv" else "\t"
        (row,) = csv.DictReader(file, delimiter=delimiter)
    cell = row["result"]
    if isinstance(value, str):
        clean = value.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()
        assert cell in (clean, f"'{clean}")
        assert not cell.startswith(("=", "@")) or cell == ""
    elif value is None:
        assert cell == ""
    else:
        kind = {"True": True, "False": False}.get(cell)
        assert same(kind if kind is not None else type(value)(cell), value)


@FRUGAL
@given(value=st.none() | NUMBERS | TEXT | ARRAYS)
def test_a_workbook_has_every_value_or_refuses(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("t") / "t.xlsx"
    if not written(path, [value]):
        return
    sheet = openpyxl.load_workbook(path).active
    cell = sheet.cell(2, 2)
    assert cell.data_type != "f"
    if isinstance(value, str):
        assert (cell.value or "") == value
    elif isinstance(value, (bool, type(None))) or (isinstance(value, float) and math.isfinite(value)):
        assert same(cell.value, value) or cell.value == value
    elif isinstance(value, int):
        assert int(cell.value) == value


@FRUGAL
@given(
    values=st.lists(NUMBERS, min_size=1, max_size=4)
    | st.lists(TEXT, min_size=1, max_size=4)
    | st.lists(VALUES, min_size=1, max_size=3)
)
def test_netcdf_has_every_value_or_refuses(
    values: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.nc"
    if not written(path, values):
        return
    with xr.open_dataset(path, engine="h5netcdf", decode_timedelta=True) as found:
        cells = [found["result"].values[place] for place in range(len(values))]
    for found, value in zip(cells, values, strict=True):
        assert netcdf_same(found, value), (found, value)


def netcdf_same(cell: Any, value: Any) -> bool:
    if value is None or value is pd.NaT:  # also beside arrays, whose shape the cell then has
        parts = np.ravel(cell)
        return set(parts) <= {""} if parts.dtype.kind == "U" else bool(np.all(pd.isna(parts)))
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "mM":
        return np.array_equal(np.asarray(cell), value.astype(np.asarray(cell).dtype), equal_nan=True)
    if isinstance(value, datetime.date):
        return bool(pd.Timestamp(cell) == pd.Timestamp(value))
    if isinstance(value, datetime.timedelta):
        return bool(pd.Timedelta(cell) == pd.Timedelta(value))
    found = cell.tolist() if hasattr(cell, "tolist") else cell
    plain = storable(value)
    if isinstance(plain, bool):
        return bool(found) is plain
    if isinstance(plain, list):
        return len(found) == len(plain) and all(map(netcdf_same, map(np.asarray, found), plain))
    return same(found, plain)


ROWS = [
    {"n": 1, "a": {"b": 0.5}, "array": np.arange(3.0), "word": "=1", "big": 2**53},
    {"n": 2, "a": {"b": 1.5}, "array": np.arange(3.0) + 1, "word": "ü", "big": 1},
]


@pytest.fixture
def grid() -> Tabulation:
    """A grid of two parameters, the third row failed."""
    records = [
        TableRecord({"x": x, "y": y}, dict(as_result(ROWS[place % 2])), "")
        if place != 2
        else TableRecord({"x": x, "y": y}, {}, "E: no")
        for place, (x, y) in enumerate([(1, "a"), (1, "b"), (2, "a"), (2, "b")])
    ]
    return Tabulation(
        ["x", "y"], lambda: records, dimensions=["x", "y"], units={"x": "mm"}, title="model.py:f"
    )


@pytest.mark.parametrize("ending", [one for one in FORMATS if one != ".nc"])
def test_every_format_is_read_back(grid: Tabulation, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    format_of(path).write(path, grid)
    columns, rows = read_table(path)
    assert columns == ["x", "y", "n", "a.b", "array", "word", "big", "error"]
    assert [row["y"] for row in rows] == ["a", "b", "a", "b"]
    assert [row["big"] for row in rows if row.get("big") is not None] in (
        [2**53, 1, 1],
        ["9007199254740992", 1, 1],
    )
    assert [row.get("error") or None for row in rows] == [None, None, "E: no", None]
    assert rows[0]["word"] == "=1"


def test_a_grid_becomes_dimensions_in_netcdf(grid: Tabulation, tmp_path: Path) -> None:
    path = tmp_path / "t.nc"
    format_of(path).write(path, grid)
    with xr.open_dataset(path, engine="h5netcdf") as found:
        assert dict(found.sizes) == {"x": 2, "y": 2, "array_0": 3}
        assert found["a.b"].sel(x=1, y="b").item() == 1.5
        assert np.isnan(found["a.b"].sel(x=2, y="a").item())
        assert found["array"].sel(x=2, y="b").values.tolist() == [1, 2, 3]
        assert found["error"].sel(x=2, y="a").item() == "E: no"
        assert found["x"].attrs["units"] == "mm"
        assert found["big"].sel(x=1, y="a").item() == 2**53


def test_samples_become_rows_in_netcdf() -> None:
    from compute_executor.sweeps.formats.netcdf import dataset

    records = [TableRecord({"x": x, "row": x}, {"z": x * 2}, "") for x in (0.5, 0.5, 0.7)]
    found = dataset(Tabulation(["x", "row"], lambda: records))
    assert dict(found.sizes) == {"row": 3}
    assert found["x"].values.tolist() == [0.5, 0.5, 0.7]
    assert found["z"].dtype == float


def test_arrays_of_xarray_keep_their_labels(tmp_path: Path) -> None:
    records = [
        TableRecord({"x": x}, {"curve": xr.DataArray([x, 2.0], dims="t", coords={"t": [10, 20]})}, "")
        for x in (1.0, 3.0)
    ]
    path = tmp_path / "t.nc"
    format_of(path).write(path, Tabulation(["x"], lambda: records, dimensions=["x"]))
    with xr.open_dataset(path, engine="h5netcdf") as found:
        assert found["curve"].dims == ("x", "t")
        assert found["curve"].sel(x=3.0, t=10).item() == 3.0


@pytest.mark.parametrize(
    ("ending", "values", "says"),
    [
        ("nc", [np.arange(2), np.arange(3)], "different shapes"),
        ("nc", [1, "a"], "different types"),
        ("nc", [1 + 2j], "no type for|complex"),
        ("nc", [2**70], "column 'result'"),
        ("nc", [2**60 + 1, None], "would lose digits"),
        ("parquet", [1, "a"], "row 2, column 'result'"),
        ("parquet", [2**70], "row 1, column 'result'"),
        ("parquet", [2**60 + 1, 0.5], "row 2, column 'result': parquet cannot hold 0.5"),
        ("parquet", [{}], "parquet cannot hold"),
        ("xlsx", ["x" * 40_000], "40,000 letters; a cell of xlsx holds 32,767"),
        ("xlsx", ["\x07"], "xlsx cannot hold the characters"),
        ("xlsx", [object()], "row 1, column 'result'"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_by_row_and_column(
    tmp_path: Path, ending: str, values: list[Any], says: str
) -> None:
    path = tmp_path / f"t.{ending}"
    with pytest.raises(InvalidRequest, match=says):
        format_of(path).write(path, table(values))


def test_an_unknown_ending_and_too_many_rows_are_refused_beforehand(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidRequest, match=r"its name must end in \.csv, \.tsv, \.jsonl, \.parquet, \.xlsx, \.nc"
    ):
        format_of(Path("results.doc"))
    with pytest.raises(InvalidRequest, match="holds 1,048,575 rows, these are 2,000,000"):
        format_of(Path("results.xlsx"), 2_000_000)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InvalidRequest, match=r"needs openpyxl: pip install 'compute-executor\[table\]'"):
        format_of(Path("results.xlsx"))


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ({"a": {"b": 1}}, {"a.b": 1}),
        (5, {"result": 5}),
        (Point(1, 2.0), {"x": 1, "y": 2.0}),
        (Pair(1, "a"), {"first": 1, "second": "a"}),
        (pd.Series({"a": 1, "b": 2}), {"a": 1, "b": 2}),
        (Colour.RED, {"result": Colour.RED}),
        ({}, {}),
        ({"a": Point(1, 2.0)}, {"a.x": 1, "a.y": 2.0}),
        ({1: "x", "1": "y"}, {"1": "x", "1_": "y"}),
    ],
)
def test_mappings_and_records_become_columns(value: Any, columns: dict[str, Any]) -> None:
    assert dict(as_result(value)) == columns


def test_arrays_and_frames_are_one_value() -> None:
    frame = pd.DataFrame({"a": [1]})
    dataset = xr.Dataset({"a": 1})
    for whole in (frame, dataset, np.arange(3)):
        assert as_result(whole)["result"] is whole


def test_a_result_called_like_a_parameter_has_a_name_of_its_own() -> None:
    assert named({"x": 1, "y": 2}, frozenset({"x"})) == {"result.x": 1, "y": 2}


# -- what was changed in silence ---------------------------------------------------------------------------------


def read_netcdf(path: Path, values: list[Any]) -> Any:
    format_of(path).write(path, table(values))
    with xr.open_dataset(path, engine="h5netcdf", decode_timedelta=True) as found:
        return found.load()["result"]


def test_netcdf_has_no_value_for_what_is_masked(tmp_path: Path) -> None:
    found = read_netcdf(tmp_path / "t.nc", [np.ma.array([1, 2], mask=[False, True]), np.array([3, 4])])
    assert str(found.values.tolist()) == str([[1.0, math.nan], [3.0, 4.0]])
    with pytest.raises(InvalidRequest, match="masked array of bool"):
        read_netcdf(tmp_path / "t.nc", [np.ma.array([True], mask=[True])])


def test_netcdf_counts_nanoseconds(tmp_path: Path) -> None:
    moment, span = pd.Timestamp("2026-01-02T03:04:05.123456789"), pd.Timedelta(5, "ns")
    assert pd.Timestamp(read_netcdf(tmp_path / "t.nc", [moment]).values[0]) == moment
    assert dataset(table([span]))["result"].values[0] == np.timedelta64(
        5, "ns"
    )  # not all releases read their files
    scalar = np.datetime64("2026-01-02T03:04:05.123456789")
    assert read_netcdf(tmp_path / "t.nc", [scalar]).values[0] == scalar
    found = read_netcdf(tmp_path / "t.nc", [moment, pd.NaT]).values
    assert pd.isna(found[1])


@pytest.mark.parametrize("year", ["0001", "1677", "2262", "2500"])
def test_netcdf_refuses_arrays_of_times_that_it_cannot_count(tmp_path: Path, year: str) -> None:
    values = [np.array([f"{year}-06-01"], "M8[us]"), np.array(["2026-01-02"], "M8[ns]")]
    with pytest.raises(InvalidRequest, match="outside the years 1678 to 2261"):
        read_netcdf(tmp_path / "t.nc", values)


def labelled(values: Any, **options: Any) -> Any:
    return xr.DataArray(values, dims="t", **options)


def test_netcdf_refuses_labelled_arrays_that_would_be_lined_up(tmp_path: Path) -> None:
    value = {"a": labelled([1, 2], coords={"t": [0, 1]}), "b": labelled([1, 2], coords={"t": [5, 6]})}
    records = [TableRecord({"x": 1}, value, "")]
    with pytest.raises(InvalidRequest, match="'b': its dimension 't' has other labels"):
        format_of(tmp_path / "t.nc").write(tmp_path / "t.nc", Tabulation(["x"], lambda: records))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([labelled([2**60 + 1]), None], "would lose digits"),
        (
            [labelled([1.0], attrs={"units": "m"}), labelled([1.0], attrs={"units": "km"})],
            "different attributes",
        ),
        ([labelled([1], coords={"t": [0]}), labelled([1])], "different labels"),
        ([labelled([1]), labelled([1, 2])], "different labels"),
    ],
)
def test_netcdf_refuses_labelled_arrays_that_it_would_change(
    tmp_path: Path, values: list[Any], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        read_netcdf(tmp_path / "t.nc", values)


def test_netcdf_keeps_what_lies_beside_a_labelled_array(tmp_path: Path) -> None:
    path = tmp_path / "t.nc"
    values = [
        labelled([1.5], coords={"z": place, "name": ("t", ["a"])}, attrs={"units": "m"}) for place in (3, 4)
    ]
    format_of(path).write(path, table(values))
    with xr.open_dataset(path, engine="h5netcdf") as found:
        assert found["result"].attrs["units"] == "m"
        assert found["result.z"].values.tolist() == [3, 4]
        assert found["result.name"].values.tolist() == [["a"], ["a"]]


@pytest.mark.parametrize(
    ("value", "blank"),
    [
        (labelled([True]), math.nan),
        (labelled(["a"]), ""),
        (labelled(np.array(["2026-01-02"], "M8[ns]")), np.datetime64("NaT")),
    ],
)
def test_netcdf_has_a_blank_for_a_labelled_array_that_is_not_there(
    tmp_path: Path, value: Any, blank: Any
) -> None:
    found = read_netcdf(tmp_path / "t.nc", [value, None]).values[1, 0]
    assert found == blank or (found != found and blank != blank)


def test_netcdf_refuses_bytes_in_a_list_whose_end_it_would_cut(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no type for b'a"):
        read_netcdf(tmp_path / "t.nc", [[b"a\0"]])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (collections.deque([1, 2]), [1, 2]),
        (array.array("d", [1.5]), [1.5]),
        (range(2), [0, 1]),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), {"a": [1], "b": [2.5]}),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {"index": [0], "columns": ["a", "a"], "data": [[1, 2]]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_json_has_all_of_a_container(tmp_path: Path, value: Any, shown: Any) -> None:
    made = FORMATS[".jsonl"].part("layout")(tmp_path / "t.jsonl", ["x"])
    assert json.loads(made.line(TableRecord({"x": 1}, {"result": value}, "")))["result"] == shown


@pytest.mark.parametrize(
    "value", [pd.Timestamp("2026-01-02", tz="Europe/Paris"), pd.Timedelta(1, "s")], ids=str
)
def test_parquet_takes_the_times_of_pandas(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "t.parquet"
    format_of(path).write(path, table([value, pd.NaT, pd.NA, None]))
    assert pq.read_table(path).column("result").to_pylist() == [value, None, None, None]


def test_parquet_takes_frames_whose_columns_differ(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"n": [1, 2], "name": ["a", None]})
    format_of(path).write(path, table([frame]))
    (found,) = pq.read_table(path).column("result").to_pylist()
    assert found == {"index": [0, 1], "data": {"n": [1, 2], "name": ["a", None]}}


class Silent:
    """An object that says nothing of itself."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("ending", ["parquet", "xlsx", "nc"])
@pytest.mark.parametrize("value", [Silent(), [Silent()], [{1: 0, "1": 1}], Point(threading.Lock(), 0)])  # type: ignore[arg-type]
def test_what_an_object_raises_when_it_is_asked_for_itself_is_told(
    tmp_path: Path, ending: str, value: Any
) -> None:
    with pytest.raises(InvalidRequest, match="'result'"):
        format_of(tmp_path / f"t.{ending}").write(tmp_path / f"t.{ending}", table([value]))


def test_what_cannot_be_pickled_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"\.pickle cannot hold these values: TypeError: cannot pickle"):
        format_of(tmp_path / "t.pickle").write(tmp_path / "t.pickle", table([threading.Lock()]))


@pytest.mark.parametrize(
    "word", ["null", "'null", "''=1", "None", "none", "NULL", "True", "TRUE", "nan", "NaN", "1.0", "1e5"]
)
def test_a_word_in_a_csv_stays_the_word_that_it_is(tmp_path: Path, word: str) -> None:
    path = tmp_path / "t.csv"
    format_of(path).write(path, table([word]))
    found = read_table(path)[1][0]["result"]
    assert found == word or (type(found) is not str and cell(found) == word)


class Access(enum.Flag):
    READ = 1
    WRITE = 2


def test_flags_have_a_text_even_none_of_them() -> None:
    assert [cell(one) for one in (Access.READ, Access.READ | Access.WRITE, Access(0))] == [
        "READ",
        "READ|WRITE",
        "0",
    ]


@pytest.mark.parametrize("text", ["NaN", "-NaN", "sNaN", "Infinity"])
@pytest.mark.parametrize("ending", ["parquet", "nc"])
def test_decimals_that_are_no_numbers_are_refused_by_columns(tmp_path: Path, text: str, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    for value in (Decimal(text), [Decimal(text)], {"a": Decimal(text)}):
        with pytest.raises(InvalidRequest, match="column 'result'"):
            format_of(path).write(path, table([value, value]))
