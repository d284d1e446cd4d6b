"""What can be read, over the read-only connection. Owner: the loop thread. Sees committed data only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compute_executor.errors import ServiceUnavailable
from compute_executor.protocol.frames import Blob, Body, Result
from compute_executor.service.access import NOBODYS, Owned
from compute_executor.service.store.rows import (
    BatchContent,
    BatchHead,
    BatchRow,
    FunctionRow,
    GroupBatch,
    GroupRow,
    KnownSubmit,
    PoolRow,
    decode_metadata,
    decode_options,
    decode_output,
    split_ids,
)
from compute_executor.service.store.sql import queries

SCAN = 5000
"""Outcome numbers looked at by one query of a replay: some milliseconds of the loop thread."""


def joined(body: bytes | None, blob: str | None, size: int) -> Body:
    """Return the columns body, blob, size as a body."""
    return Blob(blob, size) if blob is not None else (body or b"")


def _function_row(row: Any) -> FunctionRow:
    return FunctionRow._make((*row[:6], decode_metadata(row[6]), bool(row[7]), *row[8:]))


class Reader:
    """The read side of the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queries = queries()

    def _all(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Return every row. Raises ServiceUnavailable if the disk cannot be read: whoever asks must not take that for
        the answer that there is nothing."""
        try:
            return self._connection.execute(self._queries[name], values).fetchall()
        except sqlite3.Error as error:
            raise ServiceUnavailable(
                f"the service cannot read its database now ({error}); try again."
            ) from error

    def _one(self, name: str, values: Sequence[Any] = ()) -> Any:
        found = self._all(name, values)
        return found[0] if found else None

    def last_seq(self) -> int:
        """Return the highest outcome number that is stored."""
        return int(self._one("last_seq")[0])

    def next_seq(self, after: int) -> int:
        """Return the lowest outcome number above ``after`` that is stored; 0: there is none."""
        return int(self._one("next_seq", (after,))[0])

    def rows(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Return what a named query finds, for a room that keeps rows of its own."""
        return self._all(name, values)

    # -- functions ----------------------------------------------------------------------------------------

    def function(self, function: bytes) -> FunctionRow | None:
        """Return a function by its id."""
        row = self._one("function_by_id", (function,))
        return _function_row(row) if row is not None else None

    def functions_shared(
        self, owner: str, groups: list[str], text: str, limit: int, offset: int = 0
    ) -> list[FunctionRow]:
        """Return functions of this owner, which come first, of these groups and of everybody that have this text in
        name or description; each part newest first."""
        values = (owner, json.dumps(groups), text, text, owner, limit, offset)
        found = self._all("functions_shared", values)
        return [_function_row(row) for row in found]

    def functions_of_blob(self, name: str) -> list[Owned]:
        """With whom the functions are shared whose code lies in this blob."""
        return [
            Owned(owner, group, bool(public))
            for owner, group, public in self._all("functions_of_blob", (name,))
        ]

    def function_owned(self, function: bytes) -> Owned:
        """Return whose a function is and with whom it is shared; nobody's if it is not there."""
        row = self._one("function_owned", (function,))
        return Owned(row[0], row[1], bool(row[2])) if row else NOBODYS

    def function_by_digest(self, owner: str, digest: bytes) -> bytes | None:
        """Return the id of the owner's function of this content (the newest, if it was shared in several ways)."""
        row = self._one("functions_by_digest", (owner, digest))
        return bytes(row[0]) if row else None

    def function_code(self, function: bytes) -> Body:
        """Return the code of a function that exists."""
        return joined(*self._one("function_code", (function,)))

    # -- batches and tasks --------------------------------------------------------------------------------

    def batch(self, prefix: bytes) -> BatchHead | None:
        """Return a batch by its prefix, open or finished."""
        row = self._one("batch_by_prefix", (prefix,))
        return BatchHead(row[0], row[1], row[2], row[3], row[4] is not None) if row else None

    def batch_content(self, prefix: bytes) -> BatchContent | None:
        """Return what tells a batch from another one of the same prefix."""
        row = self._one("batch_content", (prefix,))
        return (row[0], row[1], decode_options(row[2]), row[3]) if row else None

    def batch_tasks(self, number: int) -> bytes:
        """Return the tasks of an open batch: the msgpack array as it came."""
        return bytes(self._one("batch_tasks", (number,))[0])

    def open_batches(self) -> Iterator[BatchRow]:
        """Yield every open batch, in order of acceptance, without its tasks."""
        for row in self._all("open_batches"):
            yield BatchRow._make((*row[:6], split_ids(row[6]), row[7], decode_options(row[8])))

    def ended_positions(self, batch: int) -> list[int]:
        """Return the positions of a batch that have an outcome."""
        return [position for (position,) in self._all("ended_positions", (batch,))]

    def attempts_due(self) -> Iterator[tuple[int, int, int]]:
        """Batch, position, attempt of every task that runs again after a lost worker."""
        yield from self._all("attempts_due")

    def known_submit(self, owner: str, key: str) -> KnownSubmit | None:
        """Return what a submit with this Idempotency-Key was answered."""
        row = self._one("submit_key", (owner, key))
        return KnownSubmit(*row) if row else None

    # -- outcomes -----------------------------------------------------------------------------------------

    def outcome(self, number: int, prefix: bytes, position: int) -> Result | None:
        """Return how a task ended, if it has."""
        row = self._one("outcome_of", (number, position))
        if row is None:
            return None
        seq, status, body, blob, size, began, ended, output = row
        written = output and decode_output(output)
        return Result(seq, prefix, position, status, joined(body, blob, size), began, ended, written)

    def outcomes(self, group: bytes, after: int, until: int) -> Iterator[Result]:
        """Yield the outcomes of a group with numbers above ``after``, up to ``until``, rising; lazily."""
        for seq, prefix, position, status, body, blob, size, began, ended, output in self._all(
            "group_outcomes", (after, until, group)
        ):
            written = output and decode_output(output)
            yield Result(seq, prefix, position, status, joined(body, blob, size), began, ended, written)

    # -- groups, pools, blobs -----------------------------------------------------------------------------

    def group(self, group: bytes) -> GroupRow | None:
        """Return a task group that has had a batch."""
        row = self._one("group_by_id", (group,))
        return GroupRow(*row) if row else None

    def group_batches(self, group: bytes) -> list[GroupBatch]:
        """Return every batch of a group, in order of acceptance."""
        return [GroupBatch(bytes(row[0]), *row[1:]) for row in self._all("group_batches", (group,))]

    def pools(self) -> list[PoolRow]:
        """Return every pool that is to exist."""
        return [PoolRow(*row) for row in self._all("all_pools")]

    def blob_in_use(self, name: str) -> bool:
        """Return whether any row refers to this blob."""
        return self._one("blob_in_use", (name,)) is not None

    def tally(self, number: int) -> dict[int, int]:
        """Return the stored outcomes of a batch by status, without values."""
        return dict(self._all("tally", (number,)))

    def expired_batch(self, acknowledged_before: float, any_before: float) -> tuple[int, bytes] | None:
        """Number and prefix of the oldest finished batch that may be deleted."""
        row = self._one("expired_batch", (acknowledged_before, any_before))
        return (row[0], bytes(row[1])) if row else None

    def expired_kept_batch(self, now: float) -> tuple[int, bytes] | None:
        """Return the same, of the batches that say themselves how long they are kept."""
        row = self._one("expired_kept_batch", (now,))
        return (row[0], bytes(row[1])) if row else None

    def totals(self) -> tuple[int, int]:
        """Batches and tasks in the database."""
        batches, tasks = self._one("count_tasks")
        return batches, tasks
