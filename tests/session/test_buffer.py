"""The buffer as a value: when it is due, what it gives, what can still be taken out."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from compute_executor.batch import Call, Function, Target
from compute_executor.protocol.frames import Blob, Options
from compute_executor.session.buffer import Buffer

FUNCTION = Function(b"d" * 32, "f", b"code")
TARGET = Target(b"", None, Options())
OTHER = Target(b"e" * 16, None, Options())


def make(target: Target = TARGET, size: int = 10) -> Call[Any]:
    return Call(None, FUNCTION, b"x" * size, target)  # type: ignore[arg-type]


def filled(count: int, batch_size: int = 4, byte_limit: int = 1000, size: int = 10) -> Buffer:
    buffer = Buffer(batch_size, 0.005, byte_limit)
    for _ in range(count):
        buffer.add(make(size=size))
    return buffer


def test_nothing_is_never_due() -> None:
    buffer = filled(0)

    assert not buffer.due(1.0, busy=False)
    assert buffer.take() is None
    assert buffer.deadline() is None


def test_while_the_service_owes_nothing_one_call_goes_at_once() -> None:
    assert filled(1).due(1.0, busy=False)


def test_while_it_owes_an_answer_calls_wait_for_the_interval() -> None:
    buffer = filled(1)

    assert not buffer.due(1.0, busy=True)
    assert buffer.deadline() == 1.005
    assert not buffer.due(1.004, busy=True)
    assert buffer.due(1.005, busy=True)


def test_a_full_batch_does_not_wait() -> None:
    assert not filled(3).due(1.0, busy=True)
    assert filled(4).due(1.0, busy=True)


def test_many_bytes_do_not_wait() -> None:
    assert not filled(2, byte_limit=30).due(1.0, busy=True)
    assert filled(3, byte_limit=30).due(1.0, busy=True)


def test_a_blob_weighs_nothing() -> None:
    buffer = Buffer(4, 0.005, 30)
    buffer.add(Call(None, FUNCTION, Blob("0" * 32, 10**9), TARGET))  # type: ignore[arg-type]

    assert buffer.bytes == 0
    assert not buffer.due(1.0, busy=True)


def test_the_interval_begins_anew_when_all_has_gone() -> None:
    buffer = filled(1)
    buffer.due(1.0, busy=True)
    buffer.take()
    buffer.add(make())

    assert buffer.deadline() is None
    assert not buffer.due(2.0, busy=True)
    assert buffer.deadline() == 2.005


def test_what_is_left_over_is_still_due() -> None:
    buffer = filled(5)
    buffer.due(1.0, busy=True)
    buffer.take()

    assert buffer.count == 1
    assert buffer.due(1.005, busy=True)


def test_batches_are_cut_by_count_and_by_bytes() -> None:
    buffer = filled(5, batch_size=4)
    sizes = []
    while (taken := buffer.take()) is not None:
        sizes.append(len(taken[1]))
    assert sizes == [4, 1]

    buffer = filled(5, batch_size=4, byte_limit=25)
    sizes = []
    while (taken := buffer.take()) is not None:
        sizes.append(len(taken[1]))
    assert sizes == [2, 2, 1]


def test_one_call_above_the_limit_goes_alone() -> None:
    buffer = Buffer(4, 0.005, 30)
    calls = [make(size=size) for size in (10, 100, 10)]
    for call in calls:
        buffer.add(call)

    assert [buffer.take(), buffer.take(), buffer.take()] == [(TARGET, [call]) for call in calls]


def test_lanes_do_not_mix() -> None:
    buffer = Buffer(4, 0.005, 1000)
    calls = [make(target) for target in (TARGET, OTHER, TARGET)]
    for call in calls:
        buffer.add(call)

    assert buffer.take() == (TARGET, [calls[0], calls[2]])
    assert buffer.take() == (OTHER, [calls[1]])
    assert buffer.take() is None


def test_a_dropped_call_is_not_taken() -> None:
    buffer = Buffer(4, 0.005, 1000)
    calls = [make() for _ in range(3)]
    for call in calls:
        buffer.add(call)

    assert buffer.drop(calls[1])
    assert not buffer.drop(calls[1])
    assert buffer.count == 2
    assert buffer.calls() == [calls[0], calls[2]]
    assert buffer.take() == (TARGET, [calls[0], calls[2]])


def test_a_buffer_of_dropped_calls_is_empty() -> None:
    buffer = filled(0)
    call = make()
    buffer.add(call)
    buffer.due(1.0, busy=True)
    buffer.drop(call)

    assert not buffer.due(9.0, busy=False)
    assert buffer.deadline() is None
    assert buffer.take() is None


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 6), st.integers(1, 100))
def test_every_call_leaves_once_and_in_order(sizes: list[int], batch_size: int, byte_limit: int) -> None:
    buffer = Buffer(batch_size, 0.005, byte_limit)
    calls = [make(size=size) for size in sizes]
    for call in calls:
        buffer.add(call)

    left: list[Call[Any]] = []
    while (taken := buffer.take()) is not None:
        batch = taken[1]
        assert 1 <= len(batch) <= batch_size
        assert len(batch) == 1 or sum(call.size for call in batch) <= byte_limit
        left += batch

    assert left == calls
    assert (buffer.count, buffer.bytes) == (0, 0)


class Model(RuleBasedStateMachine):
    """Beside a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = Buffer(3, 1.0, 60)
        self.waiting: list[Call[Any]] = []
        self.now = 0.0

    @rule(size=st.integers(0, 40), where=st.sampled_from([TARGET, OTHER]))
    def add(self, size: int, where: Target) -> None:
        call = make(where, size)
        self.buffer.add(call)
        self.waiting.append(call)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.waiting))
        assert self.buffer.drop(call)
        self.waiting.remove(call)

    @rule()
    def take(self) -> None:
        taken = self.buffer.take()
        if taken is None:
            assert not self.waiting
            return
        target, calls = taken
        assert calls == [call for call in self.waiting if call.target is target][: len(calls)]
        for call in calls:
            self.waiting.remove(call)

    @rule(step=st.floats(0, 2), busy=st.booleans())
    def time_passes(self, step: float, busy: bool) -> None:
        self.now += step
        due = self.buffer.due(self.now, busy)
        if not self.waiting:
            assert not due
        elif not busy or len(self.waiting) >= 3:
            assert due

    @invariant()
    def counts_agree(self) -> None:
        assert self.buffer.count == len(self.waiting)
        assert self.buffer.bytes == sum(call.size for call in self.waiting)
        assert set(map(id, self.buffer.calls())) == set(map(id, self.waiting))


TestModel = Model.TestCase
