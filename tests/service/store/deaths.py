"""A store whose service dies, or cannot write, at each statement in turn; then what others may do to what it left.

    python -m tests.service.store.deaths kill|locked|full closed|gone
    python -m tests.service.store.deaths cut

``closed``: another program opens the database and closes it, which removes the log. ``gone``: the log is lost.
``cut``: it dies, or the disk is full, while a statement writes into the log. Says for each statement after which a
service finds damage where there is none, or goes on without what was committed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from compute_executor.errors import ComputeError, StoreDamaged
from compute_executor.service.store import database
from compute_executor.service.store.store import Store

LOG = "store.sqlite-wal"
LOG_HEADER, FRAME_HEADER, FRAME = 32, 24, 24 + 2048
MESSAGES = {"locked": "database is locked", "full": "database or disk is full"}


class Dying(sqlite3.Connection):
    """A connection of a process that gets to its ``left``-th statement; with ``copies`` it leaves there, before each
    statement, what ``folder`` holds."""

    left = 0
    how = ""
    folder = copies = Path()

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        Dying.left -= 1
        if Dying.how == "copy":
            in_another_process(
                lambda: shutil.copytree(Dying.folder, Dying.copies / f"{1000 - Dying.left:04d}")
            )
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


def in_another_process(work: Callable[[], object]) -> bool:
    """Do it in a child, without the exit functions of this process. Whether it came to its end."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        work()
    except (ComputeError, sqlite3.Error):
        pass
    finally:
        os._exit(Dying.left < 0)


def die(path: Path, committed: Path, statement: int, how: str) -> bool:
    """Live in a process that dies, or whose writes fail, from one statement on. Whether it came to its end."""
    Dying.left, Dying.how = statement, how
    return in_another_process(lambda: live(path, committed))


def close_elsewhere(path: Path) -> None:
    """Another program looks into the database."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM sqlite_master").fetchone()


def lose_log(path: Path) -> None:
    """The log is lost."""
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)


def cut_writes(before: bytes, after: bytes) -> Iterator[bytes]:
    """What may be left of a log while one statement makes ``after`` of it: frame by frame, each a header and a page,
    with a write that was cut before, in or behind a header, or in a page."""
    for frame in range(LOG_HEADER, len(after), FRAME):
        for written in (0, 12, FRAME_HEADER, FRAME // 2):
            until = frame + written
            yield after[:until] + before[until:]


def files_of(path: Path) -> dict[str, bytes]:
    """What lies beside a database, and itself."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def lay(folder: Path, files: dict[str, bytes]) -> None:
    """Put a store there."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)


def tell(statement: int, path: Path, then: str) -> None:
    """Say what is wrong with a store that is left after a statement."""
    try:
        if lost := set(path.with_name("committed").read_text().splitlines()) - found(path):
            print(f"statement {statement}: goes on without {lost}")
    except StoreDamaged as error:
        if then != "gone":
            print(f"statement {statement}: {error}")


def tell_of_cut_writes(statement: int, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Say the same of each store that there was between two statements, of which the second wrote into the log."""
    if before.get("store.sqlite") != after["store.sqlite"]:
        return
    for log in cut_writes(before.get(LOG, b""), after.get(LOG, b"")):
        with tempfile.TemporaryDirectory() as name:
            lay(Path(name), {**before, LOG: log})
            tell(statement, Path(name, "store.sqlite"), "cut")


def found(path: Path) -> set[str]:
    """The rows in a store that a service opens."""
    store = Store(path, durable=False)
    rows = {key for (key,) in store._connection.execute("SELECT key FROM meta WHERE key LIKE 'row %'")}
    store.close()
    return rows


def cut() -> None:
    """Try each write into the log."""
    with tempfile.TemporaryDirectory() as name:
        Dying.folder, Dying.copies = Path(name, "state"), Path(name, "copies")
        Dying.folder.mkdir()
        Dying.copies.mkdir()
        path, committed = Dying.folder / "store.sqlite", Dying.folder / "committed"
        Store(path, durable=False).close()
        committed.touch()
        database._connect = _connect
        die(path, committed, 1000, "copy")
        database._connect = _plain
        copies = [files_of(copy / "store.sqlite") for copy in sorted(Dying.copies.iterdir())]
        for statement, (before, after) in enumerate(pairwise(copies)):
            tell_of_cut_writes(statement, before, after)


def main(how: str, then: str = "") -> None:
    """Try each statement."""
    if how == "cut":
        cut()
        return
    with tempfile.TemporaryDirectory() as name:
        Store(Path(name, "store.sqlite"), durable=False).close()
        new = files_of(Path(name, "store.sqlite"))
    for statement in range(1000):
        with tempfile.TemporaryDirectory() as name:
            path, committed = Path(name, "store.sqlite"), Path(name, "committed")
            lay(Path(name), new)
            committed.touch()
            database._connect = _connect
            ended = die(path, committed, statement, how)
            database._connect = _plain
            (close_elsewhere if then == "closed" else lose_log)(path)
            tell(statement, path, then)
            if ended:
                return


_plain = database._connect

if __name__ == "__main__":
    main(*sys.argv[1:])
