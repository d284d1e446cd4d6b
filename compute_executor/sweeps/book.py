"""The book of a sweep: a SQLite file beside its table that knows every row, whole.

    calls      id, parameters                                   noted before the call is submitted
    ends       id, value, error, traceback, output, began, ended, attempts, task
    places     place in the sweep, id                           only where the two differ, after --resume
    groups     task groups whose calls may still run
    about      the design, the function, the table that was made

Values and parameters are pickled: they come back as what they were. What is noted survives the death of this process,
because it is handed to the operating system before a call leaves; after a loss of power the last moments may be
missing. One process writes: SQLite's own exclusive lock keeps a second sweep out, and falls when its holder dies. A
book is as trustworthy as who wrote it: reading one can run code, as with any pickle.
"""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest

ENDING = ".sweep"
"""What is added to a table's name."""
VERSION = 1
_APPLICATION = 0x43457377  # "CEsw", in the header of the file
_SCHEMA = """
create table about (key text primary key, value blob);
create table calls (id integer primary key, parameters blob not null);
create table ends (
    id integer primary key, value blob, error text, kind text, traceback text, output text,
    began real, ended real, attempts integer not null, task blob
);
create table places (place integer primary key, id integer not null);
create table groups (task_group text primary key);
"""


class CallEnd(NamedTuple):
    """How a call ended. ``value``: pickled; None after an error. ``error``: one line of text, empty if there was
    none. ``kind``: the class of the error. ``task``: prefix and position in two pieces, of tasks of a service."""

    id: int
    value: bytes | None
    error: str = ""
    kind: str = ""
    traceback: str = ""
    output: str = ""
    began: float = 0.0
    ended: float = 0.0
    attempts: int = 1
    task: bytes | None = None


class BookRow(NamedTuple):
    """A row of the sweep. ``place``: -1 for one that is not in the present design. ``end``: None while it is open."""

    place: int
    id: int
    parameters: dict[str, Any]
    end: CallEnd | None

    def value(self) -> Any:
        """Return what the call returned. Raises what unpickling raises."""
        assert self.end is not None
        assert self.end.value is not None
        return pickle.loads(self.end.value)


class Book:
    """The file at ``path``, made if it is not there. Owned by one thread. Raises InvalidRequest for a file that is no
    book, or that another sweep is writing; OSError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _told(path):
            self._connection = sqlite3.connect(
                path, isolation_level=None, timeout=0.2, check_same_thread=False
            )
        try:
            with _told(path):
                self._open()
        except BaseException:
            self._connection.close()
            raise

    def _open(self) -> None:
        run = self._connection.execute
        run("pragma locking_mode = exclusive")
        run("pragma journal_mode = wal")
        run("pragma synchronous = off")
        run("begin immediate")
        version = run("pragma user_version").fetchone()[0]
        if version == 0 and not run("select count(*) from sqlite_master").fetchone()[0]:
            run(f"pragma application_id = {_APPLICATION}")
            run(f"pragma user_version = {VERSION}")
            for statement in _SCHEMA.split(";"):
                run(statement)
        elif run("pragma application_id").fetchone()[0] != _APPLICATION or version != VERSION:
            raise InvalidRequest(f"{self.path} is no book of a sweep, or one of another version")

    # -- writing ---------------------------------------------------------------------------------------------

    def add_calls(self, calls: Iterable[tuple[int, dict[str, Any]]]) -> None:
        """Note calls that will be submitted, and hand them to the operating system."""
        with _told(self.path):
            rows = ((number, dump(row)) for number, row in calls)
            self._connection.executemany("insert or replace into calls values (?, ?)", rows)
        self.commit()

    def add_ends(self, ends: Sequence[CallEnd]) -> None:
        """Note how calls have ended."""
        with _told(self.path):
            self._connection.executemany("insert or replace into ends values (?,?,?,?,?,?,?,?,?,?)", ends)

    def add_places(self, places: Iterable[tuple[int, int]]) -> None:
        """Note ``(place, id)`` of rows."""
        with _told(self.path):
            self._connection.executemany("insert or replace into places values (?, ?)", places)

    def clear_places(self) -> None:
        """Forget which row stands where: another design follows."""
        with _told(self.path):
            self._connection.execute("delete from places")

    def add_group(self, task_group: str) -> None:
        """Note that calls of this task group may run."""
        with _told(self.path):
            self._connection.execute("insert or ignore into groups values (?)", (task_group,))
        self.commit()

    def drop_groups(self) -> None:
        """Note that no call runs any more."""
        with _told(self.path):
            self._connection.execute("delete from groups")

    def set(self, key: str, value: Any) -> None:
        """Keep something about the sweep."""
        with _told(self.path):
            self._connection.execute("insert or replace into about values (?, ?)", (key, dump(value)))

    def commit(self) -> None:
        """Hand what was noted to the operating system: it survives the death of this process from now on."""
        with _told(self.path):
            self._connection.execute("commit")
            self._connection.execute("begin")

    def close(self) -> None:
        """Keep everything, and let others have the file."""
        with _told(self.path), contextlib.closing(self._connection):
            if self._connection.in_transaction:
                self._connection.execute("commit")

    def abandon(self) -> None:
        """Close without a word, after an error."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def clear(self) -> None:
        """Forget everything: a new sweep begins."""
        with _told(self.path):
            for table in ("about", "calls", "ends", "places", "groups"):
                self._connection.execute(f"delete from {table}")
        self.commit()

    # -- an earlier sweep's rows -----------------------------------------------------------------------------

    def index(self, key: Callable[[dict[str, Any]], bytes]) -> None:
        """Make the calls so far findable by what ``key`` makes of their parameters."""
        with _told(self.path):
            run = self._connection.execute
            run("create temp table earlier (key blob, id integer, claimed integer default 0)")
            entries = ((key(row), number) for number, row, _ in self.parameters())
            self._connection.executemany("insert into earlier (key, id) values (?, ?)", entries)
            run("create index temp.earlier_key on earlier (key)")

    def claim(self, key: bytes) -> tuple[int, str | None, int] | None:
        """``(id, error, attempts)`` of a call with this key that no row has claimed yet, one with a value if there is
        one. The error is None while the call is open."""
        found = self._connection.execute(
            "select earlier.rowid, earlier.id, error, coalesce(attempts, 0) from earlier left join ends using (id) "
            "where key = ? and not claimed order by error is null, error != '', earlier.id limit 1",
            (key,),
        ).fetchone()
        if found is None:
            return None
        self._connection.execute("update earlier set claimed = 1 where rowid = ?", (found[0],))
        return int(found[1]), found[2], int(found[3])

    # -- reading ---------------------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was kept under ``key``."""
        found = self._connection.execute("select value from about where key = ?", (key,)).fetchone()
        return default if found is None else pickle.loads(found[0])

    def groups(self) -> list[str]:
        """Return the task groups whose calls may still run."""
        return [row[0] for row in self._connection.execute("select task_group from groups")]

    def is_empty(self) -> bool:
        """Return whether no call was ever noted."""
        return bool(self._one("select not exists (select 1 from calls)"))

    def next_id(self) -> int:
        """Return an id that no call has, nor any greater one."""
        return int(self._one("select coalesce(max(id) + 1, 0) from calls"))

    def counts(self) -> tuple[int, int]:
        """Return how many rows have a value, and how many an error."""
        failed = int(self._one("select count(*) from ends where error != ''"))
        return int(self._one("select count(*) from ends")) - failed, failed

    def open_calls(self) -> int:
        """Return how many calls were noted and have not ended."""
        return int(self._one("select count(*) from calls where id not in (select id from ends)"))

    def foreign(self) -> int:
        """Return how many rows have ended that are not in the present design."""
        if self._one("select not exists (select 1 from places)"):
            return 0
        return int(self._one("select count(*) from ends where id not in (select id from places)"))

    def end(self, number: int) -> CallEnd | None:
        """Return how the call ``number`` ended; None if it has not."""
        found = self._connection.execute("select * from ends where id = ?", (number,)).fetchone()
        return None if found is None else CallEnd(*found)

    def parameters(self) -> Iterator[tuple[int, dict[str, Any], str | None]]:
        """``(id, parameters, error)`` of every call; the error is None while it is open, and empty after a value."""
        query = "select calls.id, parameters, error from calls left join ends using (id) order by calls.id"
        for number, stream, error in self._fresh().execute(query):
            yield number, pickle.loads(stream), error

    def rows(self, *, ended: bool = True, placed: bool = False) -> Iterator[BookRow]:
        """Yield the rows in the order of the sweep, then those that are not in its present design. ``ended``: only
        those that have. ``placed``: only those of the present design."""
        join = "join" if ended else "left join"
        fields = "calls.id, parameters, " + ", ".join(f"ends.{name}" for name in CallEnd._fields)
        if self._one("select not exists (select 1 from places)"):
            queries = [f"select calls.id, {fields} from calls {join} ends using (id) order by calls.id"]
        else:
            queries = [
                f"select place, {fields} from places join calls using (id) {join} ends using (id) order by place",
                f"select -1, {fields} from calls {join} ends using (id) "
                "where calls.id not in (select id from places) order by calls.id",
            ]
        for query in queries[: 1 if placed else 2]:
            for place, number, stream, *end in self._fresh().execute(query):
                found = None if end[0] is None else CallEnd(*end)
                yield BookRow(place, number, pickle.loads(stream), found)

    def batches(self) -> dict[bytes, int]:
        """Return how many ends are noted of each batch of tasks, by its prefix: of a batch with all its ends here,
        the service need not be asked."""
        query = "select substr(task, 1, 12), count(*) from ends where task is not null group by 1"
        return dict(self._connection.execute(query))

    def _fresh(self) -> sqlite3.Cursor:
        return self._connection.cursor()

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]


def dump(value: Any) -> bytes:
    """``value`` as bytes; by cloudpickle where its class cannot be imported (one of a script)."""
    try:
        return pickle.dumps(value, 5)
    except Exception:
        import cloudpickle  # only classes that cannot be imported need it

        stream: bytes = cloudpickle.dumps(value, 5)
        return stream


def book_of(table: Path) -> Path:
    """Return where the book of a table is."""
    return table.with_name(table.name + ENDING)


def remove(path: Path) -> None:
    """Remove a book and what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors as what they are for a user. Raises InvalidRequest, OSError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text:
            raise InvalidRequest(
                f"another sweep is writing to {path} now: wait for its end (or stop it), or give another --out"
            ) from error
        raise OSError(28 if "full" in text else 5, f"{path}: {text}") from error
    except sqlite3.DatabaseError as error:
        raise InvalidRequest(f"{path} is no book of a sweep: {error}") from error
