"""What a store holds, and what is wrong with it: for ``compute-executor check``. Reads, and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from compute_executor._version import __version__
from compute_executor.errors import ComputeError, NotFound
from compute_executor.local.state import (
    ANNOUNCEMENT,
    BLOBS,
    DATABASE,
    LOG,
    RINGS,
    check_file,
    check_folder,
)
from compute_executor.service.store.damage import log_of, opened_in, refuse_damage
from compute_executor.service.store.database import (
    SCHEMA_VERSION,
    check_log,
    check_tables,
    open_reader,
    store_errors,
    tables,
)
from compute_executor.service.store.rows import ID_BYTES
from compute_executor.service.store.sql import queries

COUNTED = ("functions", "groups", "batches", "open_batches", "outcomes", "pools", "accounts", "tokens")
MOST_SHOWN = 10
"""Things of one kind that are named; the others are counted."""


@dataclass
class Inspection:
    """What was found. ``sizes``: bytes; ``counts``: rows; ``orphans``: files that nothing refers to, which the next
    start removes; ``problems``: sentences, none if the store is sound."""

    folder: str
    versions: dict[str, str | int]
    sizes: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    orphans: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def inspect(folder: Path, *, in_use: bool) -> Inspection:
    """Look at the store of a state folder. ``in_use``: a service runs on it, which writes its log meanwhile.

    Raises NotFound if there is none, NotAuthorized if it is not ours alone.
    """
    path = folder / DATABASE
    if not path.exists() and not path.is_symlink():
        raise NotFound(f"there is no store in {folder}: no file {DATABASE}")
    found = Inspection(str(folder), {"compute_executor": __version__, "sqlite": sqlite3.sqlite_version})
    found.sizes = _sizes(folder)
    found.problems += _places(folder)
    try:
        _look(found, path, in_use)
    except ComputeError as error:
        found.problems.append(str(error))
    return found


def _places(folder: Path) -> Iterator[str]:
    """Yield what a start would not use of that which lies beside the database."""
    for name in (BLOBS, RINGS, LOG):
        path = folder / name
        try:
            found = path.lstat()
        except FileNotFoundError:  # a start makes it
            continue
        try:
            if name == LOG:
                check_file(path, found)
            else:
                check_folder(path)
        except ComputeError as error:
            yield str(error)
    if (folder / ANNOUNCEMENT).is_dir():
        yield f"{folder / ANNOUNCEMENT} is a folder, which no start can replace: remove it"


def _look(found: Inspection, path: Path, in_use: bool) -> None:
    with store_errors(path):
        if not in_use:
            refuse_damage(path)
        with closing(open_reader(path)) as connection:
            last = opened_in(connection)
            found.versions["schema"] = connection.execute("PRAGMA user_version").fetchone()[0]
            found.versions["newest schema known"] = SCHEMA_VERSION
            check_tables(connection, path)
            _look_inside(found, connection, path.parent / BLOBS)
        if not in_use:
            check_log(path, last)


def _look_inside(found: Inspection, connection: sqlite3.Connection, blobs: Path) -> None:
    found.problems += integrity(connection)
    found.counts = {
        table: connection.execute(queries()[f"count_{table}"]).fetchone()[0]
        for table in COUNTED
        if table.removeprefix("open_") in tables(connection)  # an older schema has fewer
    }
    found.problems += _loose_rows(connection)
    found.problems += _unknown_functions(connection)
    found.problems += _missing_bodies(connection, blobs)
    found.orphans = _orphans(connection, blobs)


def integrity(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong with a database."""
    found = [text for (text,) in connection.execute(queries()["integrity_check"])]
    return [] if found == ["ok"] else [f"SQLite finds: {text}" for text in found]


def _loose_rows(connection: sqlite3.Connection) -> Iterator[str]:
    for name, what in (
        ("loose_outcomes", "outcomes belong to no batch"),
        ("loose_blobs", "bodies belong to no batch"),
        ("empty_batches", "open batches have no arguments"),
    ):
        (count,) = connection.execute(queries()[name]).fetchone()
        if count:
            yield f"{count} {what}"


def _unknown_functions(connection: sqlite3.Connection) -> Iterator[str]:
    known = {bytes(function) for (function,) in connection.execute(queries()["function_ids"])}
    for prefix, functions in connection.execute(queries()["open_functions"]):
        ids = {functions[at : at + ID_BYTES] for at in range(0, len(functions), ID_BYTES)}
        if ids - known:
            yield f"open batch {bytes(prefix).hex()} needs {len(ids - known)} functions that are not there"


def _missing_bodies(connection: sqlite3.Connection, folder: Path) -> list[str]:
    """Return bodies that are referred to and not there, or of another size than was stored."""
    wrong = [
        f"body {name} is not there"
        for (name,) in connection.execute(queries()["blob_names"])
        if _size(folder / name) is None
    ]
    wrong += [
        f"body {name} has {found} bytes, not {size}"
        for name, size in connection.execute(queries()["blob_sizes"])
        if (found := _size(folder / name)) is not None and found != size
    ]
    rest = len(wrong) - MOST_SHOWN
    return wrong if rest <= 0 else [*wrong[:MOST_SHOWN], f"{rest} other bodies are not there or not whole"]


def _orphans(connection: sqlite3.Connection, folder: Path) -> dict[str, int]:
    known = {name for (name,) in connection.execute(queries()["blob_names"])}
    loose = [path for path in _files(folder) if path.name not in known]
    return {"bodies": len(loose), "bytes": sum(_size(path) or 0 for path in loose)}


def _sizes(folder: Path) -> dict[str, int]:
    path = folder / DATABASE
    bodies, rings = _files(folder / BLOBS), _files(folder / RINGS)
    return {
        "database": _size(path) or 0,
        "write-ahead log": _size(log_of(path)) or 0,
        "bodies": sum(_size(one) or 0 for one in bodies),
        "files of bodies": len(bodies),
        "results of workers": sum(_size(one) or 0 for one in rings),
        "log": _size(folder / LOG) or 0,
    }


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _size(path: Path) -> int | None:
    """Return the bytes of a plain file; None for what is none."""
    return path.lstat().st_size if path.is_file() and not path.is_symlink() else None
