"""What can be written, as methods that run inside a transaction of `store.Store.run`. They bind and count only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.protocol.frames import CANCELLED, Blob, Body, ProgramInfo
from compute_executor.service.store.rows import (
    FAILED_STATUSES,
    LOST_STATUSES,
    FinishedBatch,
    FunctionRow,
    NewBatch,
    encode_metadata,
    encode_options,
    encode_output,
    encode_program,
)
from compute_executor.service.store.sql import queries, repeated


def columns(body: Body) -> tuple[bytes | None, str | None, int]:
    """Return a body as the columns body, blob, size."""
    return (None, body.name, body.size) if isinstance(body, Blob) else (body, None, len(body))


class Writer:
    """The write side of the store. Owner: whichever thread runs the current transaction (one at a time)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queries = queries()
        self.last_seq: int = int(self._one("last_seq")[0])  # highest outcome number given; gaps do not matter

    def _execute(self, name: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(self._queries[name], values)

    def _one(self, name: str, values: Sequence[Any] = ()) -> Any:
        return self._execute(name, values).fetchone()

    def run(self, name: str, values: Sequence[Any] = ()) -> int:
        """Return a named query of a room that keeps rows of its own; how many rows it changed."""
        return self._execute(name, values).rowcount

    # -- functions ----------------------------------------------------------------------------------------

    def add_function(self, row: FunctionRow, code: Body) -> bytes:
        """Store a function; the id under which it is known: that of an equal one, if there was one."""
        body, blob, size = columns(code)
        shared = (row.description, encode_metadata(row.metadata), row.public, row.group)
        place = (row.container, row.only_on)
        content = (row.owner, row.digest, row.sharing)
        values = (row.id, *content, row.name, *shared, *place, body, blob, size, row.created)
        self._execute("add_function", values)
        known = bytes(self._one("function_by_content", content)[0])
        if known == row.id and blob is not None:
            self._execute("add_blob", (blob, 0, "function", row.owner))
        return known

    def delete_function(self, function: bytes) -> None:
        """Note that nobody can see or submit it any more; its open tasks still run."""
        self._execute("delete_function", (function,))

    # -- batches ------------------------------------------------------------------------------------------

    def add_batch(self, batch: NewBatch) -> int | None:
        """Store a batch with all that belongs to it; its number. None: there is one with this prefix already."""
        self._add_group(batch)
        where = (batch.prefix, batch.owner, batch.group, batch.endpoint, batch.pool)
        what = (b"".join(batch.functions), batch.tasks, batch.size, encode_options(batch.options))
        cursor = self._execute("add_batch", (*where, *what, batch.created, batch.indexes, batch.options.keep))
        if cursor.rowcount != 1:
            return None
        number = cursor.lastrowid
        assert number is not None
        for name in batch.blobs:
            self._execute("add_blob", (name, number, "task", batch.owner))
        for name in batch.parts:
            self._execute("add_blob", (name, number, "part", batch.owner))
        if batch.key is not None:
            self._execute("add_submit_key", (batch.owner, *batch.key, batch.prefix))
        return number

    def _add_group(self, batch: NewBatch) -> None:
        program = batch.program or ProgramInfo()
        made = (batch.created, program.label, encode_program(program))
        self._execute("add_group", (batch.group, batch.owner, self.last_seq, *made))

    # -- outcomes -----------------------------------------------------------------------------------------

    def add_outcomes(
        self, first: int, outcomes: Sequence[TaskEnded], finished: Iterable[FinishedBatch], now: float
    ) -> list[str]:
        """Store outcomes with numbers from ``first``, and that with them some batches are finished; the blobs that
        nothing refers to any more."""
        self.last_seq = first + len(outcomes) - 1
        form = repeated("add_outcomes")
        values, blobs = _outcome_values(outcomes, first)
        step = form.rows * form.width
        whole = len(values) - len(values) % step
        for at in range(0, whole, step):
            self._connection.execute(form.many, values[at : at + step])
        for at in range(whole, len(values), form.width):
            self._connection.execute(form.one, values[at : at + form.width])
        for blob, batch in blobs:
            self._execute("add_outcome_blob", (blob.name, batch))
        return [name for batch in finished for name in self._finish(batch, now)]

    def skip_numbers(self, count: int) -> int:
        """Leave out so many numbers of outcomes, for good; the last of them."""
        self.last_seq += count
        self._execute("set_meta", ("seq", self.last_seq))
        return self.last_seq

    def _finish(self, batch: FinishedBatch, now: float) -> list[str]:
        tally = batch.tally
        if tally is None:
            tally = dict(self._execute("tally", (batch.number,)))
        self._execute("finish_batch", (now, self.last_seq, *unsuccessful(tally), batch.number))
        if batch.has_attempts:
            self._execute("drop_attempts", (batch.number,))
        if not batch.has_blobs:
            return []
        names = [str(name) for (name,) in self._execute("argument_blobs", (batch.number,))]
        self._execute("drop_argument_blobs", (batch.number,))
        return self._unused(names)

    def _unused(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self._one("blob_in_use", (name,)) is None]

    def next_attempts(self, tasks: Iterable[tuple[int, int, int]]) -> None:
        """Note that these (batch, position, attempt) are to run again: what earlier attempts report is void, also
        after a restart."""
        for task in tasks:
            self._execute("next_attempt", task)

    def acknowledge(self, groups: Iterable[tuple[bytes, int]]) -> None:
        """Note that clients have set the futures of these groups up to these outcome numbers."""
        for group, seq in groups:
            self._execute("acknowledge", (seq, group))

    # -- pools --------------------------------------------------------------------------------------------

    def add_pool(self, pool: bytes, owner: str, spec: bytes, now: float) -> None:
        """Note that a pool is to exist, also after a restart."""
        self._execute("add_pool", (pool, owner, spec, now))

    def drop_pool(self, pool: bytes) -> None:
        """Note that a pool has ended."""
        self._execute("drop_pool", (pool,))

    # -- containers ---------------------------------------------------------------------------------------

    def add_container(self, row: Sequence[Any]) -> bytes:
        """Store a container; the id under which it is known: that of an equal one of its owner, if there was one."""
        _, owner, name, description, source, _ = row
        self._execute("add_container", row)
        return bytes(self._one("container_by_content", (owner, source, name, description))[0])

    # -- cleaning up --------------------------------------------------------------------------------------

    def drop_outcomes(self, batch: int, limit: int) -> int:
        """Delete up to ``limit`` outcomes of a batch; how many were deleted."""
        self._execute("set_meta", ("seq", self.last_seq))
        return self._execute("drop_some_outcomes", (batch, limit)).rowcount

    def drop_batch(self, number: int, prefix: bytes) -> list[str]:
        """Delete a batch whose outcomes are gone; the blobs that nothing refers to any more."""
        names = [str(name) for (name,) in self._execute("blobs_of_batch", (number,))]
        self._execute("drop_blobs_of_batch", (number,))
        self._execute("drop_submit_keys", (prefix,))
        self._execute("drop_batch", (number,))
        return self._unused(names)

    def drop_groups(self, before: float, limit: int) -> int:
        """Delete groups that have no batch and are older than ``before``; how many."""
        found = self._execute("abandoned_groups", (before, limit)).fetchall()
        for group in found:
            self._execute("drop_group", group)
        return len(found)


def unsuccessful(tally: dict[int, int]) -> tuple[int, int, int]:
    """Return how many tasks failed, were lost and were cancelled, of a count by status."""
    failed = lost = cancelled = 0
    for status, count in tally.items():
        if status in FAILED_STATUSES:
            failed += count
        elif status in LOST_STATUSES:
            lost += count
        elif status == CANCELLED:
            cancelled += count
    return failed, lost, cancelled


def _outcome_values(outcomes: Sequence[TaskEnded], first: int) -> tuple[list[Any], list[tuple[Blob, int]]]:
    """Return the values of all rows in one list, as many-row statements want them; and which blobs they refer to."""
    values: list[Any] = []
    blobs = []
    for seq, (batch, position, attempt, status, body, began, ended, output, worker) in enumerate(
        outcomes, first
    ):
        text, pid = output and encode_output(output), worker or None
        times = (began, ended) if isfinite(began + ended) else (0.0, 0.0)  # SQLite makes NULL of NaN
        if isinstance(body, Blob):
            values += (
                seq,
                batch,
                position,
                status,
                attempt,
                *times,
                None,
                body.name,
                body.size,
                text,
                pid,
            )
            blobs.append((body, batch))
        else:
            values += (
                seq,
                batch,
                position,
                status,
                attempt,
                *times,
                body,
                None,
                len(body),
                text,
                pid,
            )
    return values, blobs
