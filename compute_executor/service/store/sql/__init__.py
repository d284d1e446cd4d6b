"""The SQL of the service: schema.sql, queries.sql, and what turns them into named statements.

A query begins with ``-- name: the_name``. ``-- repeat: N`` below it asks for a second form of an INSERT in which
the row of VALUES stands N times: one statement for many rows costs SQLite half of what executemany does.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_REPEAT = re.compile(r"^-- repeat: (\d+)\n", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)
_VALUES = re.compile(r"VALUES (\([?, ]+\))")


class Repeated(NamedTuple):
    """An INSERT for one row, and the same for ``rows`` rows of ``width`` values each."""

    one: str
    many: str
    rows: int
    width: int


def _parts(file_name: str) -> dict[str, str]:
    """Return the text below each name of an SQL file."""
    text = files(__name__).joinpath(file_name).read_text(encoding="utf-8")
    pieces = _NAME.split(text)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


@cache
def queries() -> dict[str, str]:
    """Return every named query of queries.sql, without its comments."""
    return {name: _COMMENT.sub("", text).strip().rstrip(";") for name, text in _parts("queries.sql").items()}


@cache
def repeated(name: str) -> Repeated:
    """Return the two forms of a query that is marked ``-- repeat``."""
    one = queries()[name]
    marked, values = _REPEAT.search(_parts("queries.sql")[name]), _VALUES.search(one)
    assert marked is not None, f"query {name} is not marked for repetition"
    assert values is not None, f"query {name} has no row of VALUES"
    rows, row = int(marked.group(1)), values.group(1)
    return Repeated(one, one.replace(row, ", ".join([row] * rows)), rows, row.count("?"))


@cache
def schema(version: int) -> str:
    """Return the script that brings an empty database to schema 1, or one of the version before to ``version``."""
    return _parts("schema.sql")[f"schema_{version}"]
