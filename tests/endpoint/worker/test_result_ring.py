"""Results through shared memory."""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute_executor import system
from compute_executor.endpoint.worker import result_ring
from compute_executor.endpoint.worker.result_ring import ResultRing, ResultRingReader


@pytest.fixture(scope="module", autouse=True)
def small_ones() -> Iterator[None]:
    """Outboxes of 1 MiB, so that laps are short. There are no workers here, whose own would be larger."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result_ring, "CAPACITY", 1 << 20)
        patch.setattr(result_ring, "SIZE", 64 + (1 << 20))
        yield


def pair() -> tuple[ResultRing, ResultRingReader]:
    file = os.memfd_create("outbox")
    system.allocate(file, result_ring.SIZE)
    try:
        return ResultRing(file), ResultRingReader(file)
    finally:
        os.close(file)


def read(writer: ResultRing, reader: ResultRingReader) -> list[result_ring.Outcome]:
    """All there is, as if it were stored at once."""
    got = reader.read(writer.tail)
    reader.release(reader.position)
    return got


def outcome(position: int, body: bytes, blob: int = 0) -> result_ring.Outcome:
    return (2**60, position, 3, 1, blob, 1.5, 2.5, body)


def test_results_come_out_as_they_went_in() -> None:
    writer, reader = pair()
    sent = [outcome(1, b"one"), outcome(2, b""), outcome(3, b"name 5", blob=1)]
    for one in sent:
        assert writer.put(one)
    assert reader.written() == writer.tail
    assert reader.read(writer.tail) == sent
    assert reader.read(writer.tail) == []


def test_only_what_was_announced_is_read() -> None:
    writer, reader = pair()
    writer.put(outcome(1, b"one"))
    told = writer.tail
    writer.put(outcome(2, b"two"))
    assert reader.read(told) == [outcome(1, b"one")]
    assert reader.read(writer.tail) == [outcome(2, b"two")]


def test_a_full_outbox_refuses_until_it_is_stored() -> None:
    writer, reader = pair()
    count = 0
    while writer.put(outcome(count, bytes(65_000))):
        count += 1
    assert count == result_ring.CAPACITY // (65_000 + result_ring.HEAD)
    assert len(reader.read(writer.tail)) == count
    assert not writer.put(outcome(count, bytes(65_000))), "what was read may not be stored"
    reader.release(reader.position)
    assert writer.put(outcome(count, bytes(65_000)))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 200_000), min_size=20, max_size=100), st.integers(1, 5))
def test_any_sizes_go_round_and_round(sizes: Any, read_every: Any) -> None:
    writer, reader = pair()
    got = []
    for position, size in enumerate(sizes):
        while not writer.put(outcome(position, bytes(size))):
            got += read(writer, reader)
        if position % read_every == 0:
            got += read(writer, reader)
    got += read(writer, reader)
    assert [(one[1], len(one[7])) for one in got] == list(enumerate(sizes))


# -- what the next service reads --


def written(*outcomes: result_ring.Outcome, kept: int = 0, before: int = 0) -> bytearray:
    """The bytes of an outbox with these, of which the first ``kept`` are stored; after so many large ones."""
    file = os.memfd_create("outbox")
    try:
        system.allocate(file, result_ring.SIZE)
        writer, reader = ResultRing(file), ResultRingReader(file)
        for position in range(before):
            assert writer.put(outcome(position, bytes(60_000)))
            read(writer, reader)
        for number, one in enumerate(outcomes):
            assert writer.put(one)
            reader.read(writer.tail)
            if number < kept:
                reader.release(reader.position)
        return bytearray(os.pread(file, result_ring.SIZE, 0))
    finally:
        os.close(file)


SOME = [outcome(position, b"body %d" % position) for position in range(5)]


def test_the_next_service_reads_what_may_not_be_stored() -> None:
    assert list(result_ring.intact(written(*SOME, kept=2))) == SOME[2:]  # type: ignore[arg-type]


def test_results_of_two_laps() -> None:
    many = [outcome(position, bytes(60_000)) for position in range(10)]
    assert list(result_ring.intact(written(*many, before=12))) == many  # type: ignore[arg-type]


def test_a_record_whose_tail_was_not_written_is_none() -> None:
    data = written(*SOME)
    size = result_ring.HEAD + len(SOME[-1][-1])
    tail = struct.pack("=Q", struct.unpack_from("=Q", data, 8)[0] - size)
    data[8:16] = tail
    assert list(result_ring.intact(data)) == SOME[:-1]  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [4096, 1 << 16])
def test_a_page_of_an_earlier_lap_is_no_result(size: Any) -> None:
    """As after a loss of power: the tail is on the disk, a page of the second lap is not. Records of both laps lie
    alike, so that the page holds a whole one or the first part of one."""
    one, other = (outcome(1, body * (size - result_ring.HEAD)) for body in (b"1", b"2"))
    lap = result_ring.CAPACITY // size
    old, new = written(one), written(*[other] * (lap + 2), kept=lap - 1)
    assert list(result_ring.intact(bytes(new))) == [other] * 3
    new[64 : 64 + 4096] = old[64 : 64 + 4096]
    assert list(result_ring.intact(bytes(new))) == [other]


def test_the_worker_is_named() -> None:
    file = os.memfd_create("outbox")
    try:
        system.allocate(file, result_ring.SIZE)
        reader = ResultRingReader(file)
        reader.used_by(12, 34)
        assert result_ring.user(os.pread(file, 64, 0)) == (12, 34)
        reader.close()
    finally:
        os.close(file)
    assert result_ring.user(b"") == result_ring.user(bytes(64)) == (0, 0)


@given(st.binary(max_size=300))
def test_what_is_no_outbox_holds_nothing(data: Any) -> None:
    assert list(result_ring.intact(data)) == []
    assert list(result_ring.intact(data.ljust(result_ring.SIZE, data[:1] or b"x"))) == []


@given(st.integers(0, (1 << 20) + 63))
def test_one_that_is_cut_short_holds_nothing(length: Any) -> None:
    assert list(result_ring.intact(bytes(written(*SOME))[:length])) == []


@functools.cache
def two_laps() -> bytes:
    return bytes(written(*LAPS, kept=1, before=15))


LAPS = [outcome(position, bytes([position]) * 50_000) for position in range(12)]


@settings(max_examples=200)
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=200), st.booleans())
def test_damage_never_makes_a_result(where: Any, damage: Any, among_words: Any) -> None:
    """Whatever is overwritten: what is read was written so, in order, without a gap before it."""
    data = bytearray(two_laps())
    at = where % 64 if among_words else where * (result_ring.SIZE // 2000)
    damage = damage[: result_ring.SIZE - at]
    data[at : at + len(damage)] = damage
    got = list(result_ring.intact(bytes(data)))
    known = {one: place for place, one in enumerate([*(outcome(n, bytes(60_000)) for n in range(15)), *LAPS])}
    places = [known.get(one) for one in got]
    assert None not in places
    assert places == list(range(places[0], places[0] + len(places))) if places else True  # type: ignore[arg-type, operator]


@settings(max_examples=200)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4), st.binary(max_size=400))
def test_garbage_with_the_words_of_an_outbox_is_read_without_harm(words: Any, rest: Any) -> None:
    data = struct.pack("=5Q", result_ring.FORMAT, *words).ljust(64, b"\0") + rest
    assert list(result_ring.intact(data.ljust(result_ring.SIZE, b"\xff"))) == []
    tail, kept = words[0] % (1 << 21), words[1] % (1 << 21)
    data = struct.pack("=3Q", result_ring.FORMAT, tail, kept).ljust(64, b"\0") + rest
    assert list(result_ring.intact(data.ljust(result_ring.SIZE, b"\0"))) == []


@pytest.mark.parametrize("tail", [2**64 - 1, result_ring.CAPACITY + 1, 40])
def test_a_ring_that_was_written_over_is_not_read(tmp_path: Path, tail: int) -> None:
    with open(tmp_path / "ring", "wb+") as file:
        file.truncate(result_ring.SIZE)
        reader = result_ring.ResultRingReader(file.fileno())
        ring = result_ring.ResultRing(file.fileno())
        assert ring.put((1, 2, 3, 0, 0, 1.0, 2.0, b"x" * 100))
        with pytest.raises(ValueError, match="result"):
            reader.read(tail)
        reader.close()
