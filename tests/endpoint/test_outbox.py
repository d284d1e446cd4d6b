"""Results through shared memory."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from compute_executor.endpoint import outbox, system
from compute_executor.endpoint.outbox import Inbox, Outbox


def pair() -> tuple[Outbox, Inbox]:
    file = system.shared_memory(outbox.SIZE)
    try:
        return Outbox(file), Inbox(file)
    finally:
        os.close(file)


def outcome(position: int, body: bytes, blob: int = 0) -> outbox.Outcome:
    return (2**60, position, 3, 1, blob, 1.5, 2.5, body)


def test_results_come_out_as_they_went_in():
    writer, reader = pair()
    sent = [outcome(1, b"one"), outcome(2, b""), outcome(3, b"name 5", blob=1)]
    for one in sent:
        assert writer.put(one)
    assert reader.written() == writer.tail
    assert reader.read(writer.tail) == sent
    assert reader.read(writer.tail) == []


def test_only_what_was_announced_is_read():
    writer, reader = pair()
    writer.put(outcome(1, b"one"))
    told = writer.tail
    writer.put(outcome(2, b"two"))
    assert reader.read(told) == [outcome(1, b"one")]
    assert reader.read(writer.tail) == [outcome(2, b"two")]


def test_a_full_outbox_refuses_until_it_is_read():
    writer, reader = pair()
    count = 0
    while writer.put(outcome(count, bytes(65_000))):
        count += 1
    assert count == outbox.CAPACITY // (65_000 + outbox.RECORD.size)
    assert len(reader.read(writer.tail)) == count
    assert writer.put(outcome(count, bytes(65_000)))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 200_000), min_size=20, max_size=100), st.integers(1, 5))
def test_any_sizes_go_round_and_round(sizes, read_every):
    writer, reader = pair()
    got = []
    for position, size in enumerate(sizes):
        while not writer.put(outcome(position, bytes(size))):
            got += reader.read(writer.tail)
        if position % read_every == 0:
            got += reader.read(writer.tail)
    got += reader.read(writer.tail)
    assert [(one[1], len(one[7])) for one in got] == list(enumerate(sizes))


# -- with real workers --


def test_more_results_than_the_outbox_holds(lab):
    async def scenario(script):
        await script.run(bytes, 1)
        positions = [script.submit(bytes, 60_000) for _ in range(200)]
        script.wake()
        await script.until(lambda: len(script.ends) == 201)
        assert all(script.outcome(position) == bytes(60_000) for position in positions)

    lab(scenario)
