"""A store whose service dies, or cannot write, at each statement in turn; then what others may do to what it left.

    python -m tests.service.store.deaths kill|locked|full closed|gone

``closed``: another program opens the database and closes it, which removes the log. ``gone``: the log is lost. Says
for each statement after which a service finds damage where there is none, or goes on without what was committed.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from compute_executor.errors import ComputeError, StoreDamaged
from compute_executor.service.store import database
from compute_executor.service.store.store import Store

MESSAGES = {"locked": "database is locked", "full": "database or disk is full"}


class Dying(sqlite3.Connection):
    """A connection of a process that gets to its ``left``-th statement."""

    left = 0
    how = ""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        Dying.left -= 1
        if Dying.left < 0 and Dying.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if Dying.left < 0 and not arguments[0].startswith(("PRAGMA query_only", "SELECT")):
            raise sqlite3.OperationalError(MESSAGES[Dying.how])
        return super().execute(*arguments)


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=0.0, check_same_thread=False, factory=Dying
    )


def fill(store: Store, key: str) -> None:
    """Commit a row. Raises what stood against it."""
    (done,) = store.run([lambda writer: writer.run("set_meta", (key, key))])
    if done.error is not None:
        raise done.error


def live(path: Path, committed: Path) -> None:
    """Open, commit, checkpoint, close, whatever fails; note what was committed."""
    store = Store(path, durable=False)
    for number, after in enumerate(("", "checkpoint", "", "checkpoint")):
        try:
            fill(store, f"row {number}")
        except (ComputeError, sqlite3.Error):
            continue
        finally:
            if after:
                store.checkpoint()
        with committed.open("a") as file:
            file.write(f"row {number}\n")
    store.close()


def die(path: Path, committed: Path, statement: int, how: str) -> bool:
    """Live in a process that dies, or whose writes fail, from one statement on. Whether it came to its end."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    Dying.left, Dying.how = statement, how
    try:
        live(path, committed)
    except (ComputeError, sqlite3.Error):
        pass
    finally:
        os._exit(Dying.left < 0)


def close_elsewhere(path: Path) -> None:
    """Another program looks into the database."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM sqlite_master").fetchone()


def lose_log(path: Path) -> None:
    """The log is lost."""
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)


def found(path: Path) -> set[str]:
    """The rows in a store that a service opens."""
    store = Store(path, durable=False)
    rows = {key for (key,) in store._connection.execute("SELECT key FROM meta WHERE key LIKE 'row %'")}
    store.close()
    return rows


def main(how: str, then: str) -> None:
    """Try each statement."""
    with tempfile.TemporaryDirectory() as name:
        Store(Path(name, "store.sqlite"), durable=False).close()
        new = {file.name: file.read_bytes() for file in Path(name).iterdir()}
    for statement in range(1000):
        with tempfile.TemporaryDirectory() as name:
            path, committed = Path(name, "store.sqlite"), Path(name, "committed")
            for file, content in new.items():
                path.with_name(file).write_bytes(content)
                path.chmod(0o600)
            committed.touch()
            database._connect = _connect
            ended = die(path, committed, statement, how)
            database._connect = _plain
            (close_elsewhere if then == "closed" else lose_log)(path)
            try:
                if lost := set(committed.read_text().splitlines()) - found(path):
                    print(f"statement {statement}: goes on without {lost}")
            except StoreDamaged as error:
                if then == "closed":
                    print(f"statement {statement}: {error}")
            if ended:
                return


_plain = database._connect

if __name__ == "__main__":
    main(*sys.argv[1:])
