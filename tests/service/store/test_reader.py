"""What can be read of a store: what was written, and nothing where nothing was."""

from __future__ import annotations

import sqlite3
from unittest.mock import ANY

import pytest

from compute_executor.errors import ServiceUnavailable
from compute_executor.protocol.frames import Blob
from compute_executor.service.access import NOBODYS
from compute_executor.service.store.reader import joined
from compute_executor.service.store.rows import BatchHead, GroupBatch
from compute_executor.service.store.store import Store
from tests.service.storing import FUNCTION, GROUP, do, ended, new_batch


@pytest.mark.parametrize(
    ("columns", "body"),
    [((b"x", None, 0), b"x"), ((None, None, 0), b""), ((None, "n", 5), Blob("n", 5))],
)
def test_a_body_is_in_the_row_or_in_a_file(
    columns: tuple[bytes | None, str | None, int], body: bytes | Blob
) -> None:
    assert joined(*columns) == body


def test_an_empty_store_knows_nothing(store: Store) -> None:
    read, nothing = store.read, b"?" * 16
    assert read.last_seq() == 0
    assert read.function(nothing) is None
    assert read.function_owned(nothing) == NOBODYS
    assert read.function_by_digest("alice", nothing) is None
    assert read.batch(nothing) is None
    assert read.group(nothing) is None
    assert read.known_submit("alice", "key") is None
    assert read.outcome(1, nothing, 0) is None
    assert read.expired_batch(1e12, 1e12) is None
    assert not read.blob_in_use("name")
    assert (list(read.open_batches()), list(read.attempts_due()), read.pools()) == ([], [], [])
    assert read.totals() == (0, 0)


def test_a_batch_and_its_outcomes_are_read_as_written(store: Store) -> None:
    one = new_batch()
    number = do(store, lambda writer: writer.add_batch(one))
    read = store.read
    assert read.batch(one.prefix) == BatchHead(number, "alice", GROUP, 2, False)
    assert read.batch_tasks(number) == b"tasks"
    (row,) = read.open_batches()
    assert (row.functions[0], row.options.retries) == (FUNCTION, 3)
    assert read.group_batches(GROUP) == [GroupBatch(one.prefix, 2, ANY)]
    do(store, lambda writer: writer.add_outcomes(1, [ended(number, 1, Blob("n" * 32, 7))], [], 1.0))
    assert read.ended_positions(number) == [1]
    outcome = read.outcome(number, one.prefix, 1)
    assert outcome is not None
    assert outcome.body == Blob("n" * 32, 7)
    assert list(read.outcomes(GROUP, 0, 10)) == [outcome]
    assert list(read.outcomes(GROUP, outcome.seq, 10)) == []
    assert read.last_seq() == outcome.seq
    assert read.totals() == (1, 2)


def test_a_disk_that_cannot_be_read_is_not_taken_for_an_answer(store: Store) -> None:
    """ "There is no such batch" would let its tasks run twice."""
    store._reading.close()
    with pytest.raises(ServiceUnavailable, match="cannot read its database now"):
        store.read.batch(b"p" * 12)
    with pytest.raises(ServiceUnavailable, match="try again"):
        store.read.rows("all_accounts")
    store._reading = sqlite3.connect(":memory:")
