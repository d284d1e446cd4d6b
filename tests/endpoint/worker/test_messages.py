"""Bytes between engine and worker."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.endpoint.worker import messages
from compute_executor.protocol import frames

U64, U32, U8 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 255)


@given(st.lists(st.tuples(U64, U32, U32, U32, U8, st.binary(max_size=100))))
def test_task_records_come_out_as_they_went_in(tasks: Any) -> None:
    assert messages.unpack_tasks(b"".join(map(messages.pack_task, tasks))) == tasks


@given(st.lists(st.tuples(U64, U32, U32)))
def test_keys_come_out_as_they_went_in(keys: Any) -> None:
    assert messages.unpack_keys(messages.pack_keys(keys)) == keys


@given(st.lists(st.binary(max_size=100)))
def test_parts_come_out_as_they_went_in(parts: Any) -> None:
    assert messages.unpack_parts(messages.pack_parts(parts)) == parts


@given(
    st.lists(st.tuples(U8, st.binary(max_size=50)), max_size=10), st.lists(st.integers(1, 40), max_size=20)
)
def test_frames_survive_any_cutting_of_the_stream(sent: Any, cuts: Any) -> None:
    data = b"".join(messages.frame(kind, payload) for kind, payload in sent)
    reader = messages.FrameReader()
    got: list[Any] = []
    for cut in [*cuts, len(data)]:
        got += reader.feed(data[:cut])
        data = data[cut:]
    assert got == sent


def test_a_reader_that_was_left_in_the_middle_goes_on_behind_it() -> None:
    reader = messages.FrameReader()
    for kind, payload in reader.feed(messages.frame(1, b"a") + messages.frame(2, b"b")):
        assert (kind, payload) == (1, b"a")
        break
    assert list(reader.feed(b"")) == [(2, b"b")]


def test_workers_and_service_mean_the_same_by_a_status() -> None:
    assert (messages.VALUE, messages.EXCEPTION) == (frames.VALUE, frames.EXCEPTION)


def test_no_record_looks_like_the_end() -> None:
    assert len(messages.EXIT) < messages.TASK.size
