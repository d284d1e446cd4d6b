"""What is written is read: each table through the writer and the reader."""

from __future__ import annotations

import math
from pathlib import Path
from unittest.mock import ANY

from compute_executor.protocol.frames import Blob, Options, Result
from compute_executor.service.store.rows import FinishedBatch, GroupBatch, GroupRow, KnownSubmit, PoolRow
from compute_executor.service.store.store import Store
from compute_executor.service.tasks.functions import FunctionDescription, FunctionSharing, new_function
from tests.service.storing import FUNCTION, GROUP, POOL, do, ended, new_batch


def test_batches(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch(blobs=["a" * 32], key=("key", b"digest"))))
    head = store.read.batch(new_batch().prefix)
    assert head is not None
    assert (head.number, head.owner, head.group, head.size, head.finished) == (
        number,
        "alice",
        GROUP,
        2,
        False,
    )
    (row,) = store.read.open_batches()
    assert (row.number, row.functions, row.options) == (number, [FUNCTION, b"h" * 16], Options(retries=3))
    assert store.read.batch_tasks(number) == b"tasks"
    assert store.read.known_submit("alice", "key") == KnownSubmit(b"digest", row.prefix, GROUP, b"")
    assert store.read.known_submit("bob", "key") is None
    assert store.read.group_batches(GROUP) == [GroupBatch(row.prefix, 2, ANY)]
    assert store.read.group(GROUP) == GroupRow("alice", 0, 0)
    assert store.read.blob_in_use("a" * 32)


def test_a_prefix_is_stored_once(store: Store) -> None:
    assert do(store, lambda writer: writer.add_batch(new_batch())) == 1
    assert do(store, lambda writer: writer.add_batch(new_batch(count=5))) is None
    assert store.read.batch(new_batch().prefix).size == 2  # type: ignore[union-attr]


def test_outcomes_are_numbered_in_order_and_the_first_one_stays(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch(count=200)))
    do(store, lambda writer: writer.add_outcomes(1, [ended(number, at) for at in range(130)], [], 5.0))
    more = [ended(number, 7, b"other"), ended(number, 150)]
    do(store, lambda writer: writer.add_outcomes(131, more, [], 5.0))
    prefix = new_batch().prefix
    assert store.read.outcome(number, prefix, 7) == Result(8, prefix, 7, 0, b"value", 1.0, 2.0)
    assert store.read.outcome(number, prefix, 151) is None
    assert [result.seq for result in store.read.outcomes(GROUP, 128, 999)] == [129, 130, 132]
    assert [store.read.next_seq(after) for after in (0, 130, 132)] == [1, 132, 0]
    assert sorted(store.read.ended_positions(number)) == [*range(130), 150]


def test_bodies_in_blobs(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch(blobs=["a" * 32, "b" * 32])))
    other = do(store, lambda writer: writer.add_batch(new_batch(2, blobs=["b" * 32])))
    body = Blob("c" * 32, 70_000)
    finished = [FinishedBatch(number, True, True)]
    unused = do(store, lambda writer: writer.add_outcomes(1, [ended(number, 0, body)], finished, 5.0))
    assert unused == ["a" * 32], "the other batch needs b, the outcome needs c"
    outcome = store.read.outcome(number, new_batch().prefix, 0)
    assert outcome is not None
    assert outcome.body == body
    unused = do(store, lambda writer: writer.add_outcomes(2, [], [FinishedBatch(other, True, False)], 5.0))
    assert unused == ["b" * 32]


def test_a_finished_batch_keeps_no_arguments(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch()))
    do(store, lambda writer: writer.next_attempts([(number, 0, 2), (number, 0, 3), (number, 1, 2)]))
    assert sorted(store.read.attempts_due()) == [(number, 0, 3), (number, 1, 2)]
    do(
        store,
        lambda writer: writer.add_outcomes(1, [ended(number, 0)], [FinishedBatch(number, False, True)], 5.0),
    )
    assert list(store.read.open_batches()) == []
    assert list(store.read.attempts_due()) == []
    head = store.read.batch(new_batch().prefix)
    assert head is not None
    assert head.finished


def test_numbers_never_come_again(store: Store, path: Path) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch()))
    do(
        store,
        lambda writer: writer.add_outcomes(1, [ended(number, 0)], [FinishedBatch(number, False, False)], 5.0),
    )
    assert do(store, lambda writer: writer.drop_outcomes(number, 10)) == 1
    do(store, lambda writer: writer.drop_batch(number, new_batch().prefix))
    store.close()
    second = Store(path, durable=False)
    try:
        again = do(second, lambda writer: writer.add_batch(new_batch()))
        last = second.read.last_seq()
        assert do(second, lambda writer: writer.skip_numbers(7)) == last + 7
        assert second.read.last_seq() == last + 7
    finally:
        second.close()
    assert (again, last) == (2, 1)


def test_functions(store: Store) -> None:
    def add(owner: str, public: bool = False, code: bytes | Blob = b"code") -> bytes:
        row = new_function(
            owner, b"d" * 32, FunctionDescription("f", "text", {"a": [1]}), FunctionSharing(public), 4
        )
        return bytes(do(store, lambda writer: writer.add_function(row, code)))

    first = add("alice")
    assert add("alice") == first
    assert len({first, add("alice", public=True), add("bob")}) == 3
    row = store.read.function(first)
    assert row is not None
    assert (row.owner, row.name, row.description, row.metadata, row.public) == (
        "alice",
        "f",
        "text",
        {"a": [1]},
        False,
    )
    assert store.read.function_code(first) == b"code"
    assert store.read.function_by_digest("alice", b"x" * 32) is None
    do(store, lambda writer: writer.delete_function(first))
    assert store.read.function(first) is None
    assert add("alice") == first
    assert store.read.function(first) == row
    large = add("carol", code=Blob("e" * 32, 9))
    assert store.read.function_code(large) == Blob("e" * 32, 9)
    assert store.read.blob_in_use("e" * 32)


def test_pools_belong_to_who_made_them(store: Store) -> None:
    do(store, lambda writer: writer.add_pool(POOL, "alice", b"spec", 1.0))
    do(store, lambda writer: writer.add_pool(POOL, "bob", b"his", 1.0))
    assert store.read.pools() == [PoolRow(POOL, "alice", b"spec")]
    do(store, lambda writer: writer.drop_pool(POOL))
    assert store.read.pools() == []


def test_what_expires(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch()))
    do(
        store,
        lambda writer: writer.add_outcomes(
            1, [ended(number, 0)], [FinishedBatch(number, False, False)], 50.0
        ),
    )
    assert store.read.expired_batch(60.0, 40.0) is None
    assert store.read.expired_batch(60.0, 55.0) == (number, new_batch().prefix)
    do(store, lambda writer: writer.acknowledge([(GROUP, 1)]))
    assert store.read.expired_batch(60.0, 40.0) == (number, new_batch().prefix)
    assert store.read.expired_batch(50.0, 40.0) is None


def test_a_time_that_is_none_does_not_keep_others_from_being_stored(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch(count=3)))
    outcomes = [
        ended(number, 0)._replace(began=math.nan),
        ended(number, 1)._replace(ended=math.inf),
        ended(number, 2),
    ]
    do(store, lambda writer: writer.add_outcomes(1, outcomes, [], 5.0))
    found = [(result.began, result.ended) for result in store.read.outcomes(GROUP, 0, 9)]
    assert found == [(0.0, 0.0), (0.0, 0.0), (1.0, 2.0)]
