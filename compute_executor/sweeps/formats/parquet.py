"""Parquet, by pyarrow: columns have one type each; mappings in a cell are structs, arrays are lists."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.columns import ERROR
from compute_executor.sweeps.documents import optional
from compute_executor.sweeps.tabulation import Tabulation
from compute_executor.sweeps.values import cell, storable

ROWS = 65_536
"""Rows of a group: what is in memory at a time."""


def write(path: Path, table: Tabulation) -> None:
    """Write ``table`` to ``path``. Raises InvalidRequest for a column whose values have no one type."""
    arrow: Any = optional("pyarrow", "table", f"{path}")
    parquet: Any = optional("pyarrow.parquet", "table", f"{path}")
    schema = _schema(arrow, table)
    try:
        with parquet.ParquetWriter(path, schema) as writer:
            for number, chunk in _chunks(table):
                columns = [_column(arrow, field, chunk, number) for field in schema]
                writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
    except arrow.ArrowException as error:  # of kinds that it reads and cannot write, an empty mapping say
        raise InvalidRequest(f"parquet cannot hold these values: {error}") from None


def _chunks(table: Tabulation) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """``(number of the first row, rows)`` with values that columns can hold."""
    rows = (_stored(row, number) for number, row in enumerate(table.flat(), 1))
    for number in itertools.count(1, ROWS):
        chunk = list(itertools.islice(rows, ROWS))
        if not chunk:
            return
        yield number, chunk


def _stored(row: dict[str, Any], number: int) -> dict[str, Any]:
    found = {}
    for name, value in row.items():
        try:
            found[name] = storable(value)
        except Exception as error:  # objects of the user are asked for their fields
            raise _refused(name, number, value, error) from error
    return found


def _schema(arrow: Any, table: Tabulation) -> Any:
    """Return one type a column, from all its values."""
    names = [*table.names, *table.results(), ERROR]
    kinds: dict[str, Any] = dict.fromkeys(names, arrow.null())
    for number, chunk in _chunks(table):
        for name in names:
            values = [row.get(name) for row in chunk]
            kinds[name] = _joined(arrow, name, kinds[name], _kind(arrow, name, values, number), number)
    kinds[ERROR] = arrow.string()
    return arrow.schema([arrow.field(name, kind) for name, kind in kinds.items()])


def _kind(arrow: Any, name: str, values: list[Any], number: int) -> Any:
    try:
        found = arrow.array(values).type
    except (arrow.ArrowException, OverflowError, TypeError, ValueError) as error:
        place, reason = _culprit(arrow, values)
        raise _refused(name, number + place, values[place], reason or error) from None
    return found


def _joined(arrow: Any, name: str, one: Any, other: Any, number: int) -> Any:
    if one == other or arrow.types.is_null(other):
        return one
    if arrow.types.is_null(one):
        return other
    try:
        schemas = [arrow.schema([arrow.field(name, kind)]) for kind in (one, other)]
        joined = arrow.unify_schemas(schemas, promote_options="permissive")
    except arrow.ArrowException:
        raise InvalidRequest(
            f"column {name!r} holds {one} before row {number} and {other} from there on; parquet wants one type"
        ) from None
    return joined.field(0).type


def _column(arrow: Any, field: Any, chunk: list[dict[str, Any]], number: int) -> Any:
    """Return the values of a column. Raises InvalidRequest for one that its type has changed: a date among ints, a
    whole number among floats that no float can stand for."""
    values = [row.get(field.name) for row in chunk]
    made = arrow.array(values, field.type)
    for place, (value, back) in enumerate(zip(values, made.to_pylist(), strict=True)):
        if not _is_kept(value, back):
            raise _refused(field.name, number + place, value, f"the column is of {field.type}")
    return made


def _is_kept(value: Any, back: Any) -> bool:
    """Return whether a value came back. Mappings of a column have the keys of all of them, empty ones are None."""
    if isinstance(value, dict):
        return isinstance(back, dict) and all(_is_kept(value.get(name), back[name]) for name in back)
    if isinstance(value, list):
        return isinstance(back, list) and len(value) == len(back) and all(map(_is_kept, value, back))
    if (
        value is None
        or isinstance(value, (bool, datetime.date, datetime.timedelta))
        or isinstance(back, bool)
    ):
        return type(value) is type(back) and bool(value == back)
    return bool(value == back) or (value != value and back != back)  # noqa: PLR0124 - NaN


def _culprit(arrow: Any, values: list[Any]) -> tuple[int, str]:
    """Return which value does not go with those before it."""
    low, high = 0, len(values)
    while high - low > 1:  # the first ``high`` values do not go together, the first ``low`` do
        middle = (low + high) // 2
        if _fits(arrow, values[:middle]):
            low = middle
        else:
            high = middle
    if _fits(arrow, [values[high - 1]]):
        return high - 1, f"it does not go with the {arrow.array(values[: high - 1]).type} before it"
    return high - 1, ""


def _fits(arrow: Any, values: list[Any]) -> bool:
    try:
        arrow.array(values)
    except (arrow.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def _refused(name: str, row: int, value: Any, why: object) -> InvalidRequest:
    try:
        shown = cell(value)
    except Exception:  # objects of the user are asked for their text
        shown = f"a {type(value).__name__}"
    return InvalidRequest(f"row {row}, column {name!r}: parquet cannot hold {shown[:80]}: {why}")
