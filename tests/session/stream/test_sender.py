"""The sender: batches to frames, and who pays for a refusal."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from compute_executor.batch import Call, CallBatch, Function, Target, with_ids
from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    PayloadTooLarge,
    PoolBroken,
    ServiceUnavailable,
    StorageFull,
    StoreDamaged,
)
from compute_executor.protocol.frames import Options, Refused, Register, Registered, Submit, ToService
from compute_executor.session.stream.sender import Sender

GROUP = b"g" * 16
TARGET = Target(b"e" * 16, b"p" * 16, Options(retries=2))
decode = msgspec.msgpack.Decoder(ToService).decode


class Stub:
    """As much of a future as a sender sees."""

    def __init__(self) -> None:
        self.places: list[tuple[bytes, int]] = []

    def assign(self, prefix: bytes, position: int) -> None:
        self.places.append((prefix, position))


def function(name: str) -> Function:
    code = name.encode()
    return Function(hashlib.sha256(code).digest(), name, code)


def batch(*functions: Function) -> CallBatch:
    calls: list[Call[Any]] = [
        Call(Stub(), one, b"args %d" % position, TARGET)  # type: ignore[arg-type]
        for position, one in enumerate(functions)
    ]
    return with_ids(TARGET, calls)


def frames_of(sender: Sender, one: CallBatch) -> list[Any]:
    return [decode(frame) for frame in sender.frames(one)]


def refuse(sender: Sender, one: CallBatch, error: ComputeError, position: int | None = None) -> Any:
    return sender.refused(Refused(one.prefix, error.document(), position))


def test_functions_are_registered_before_the_batch_that_names_them() -> None:
    f, g = function("f"), function("g")
    one = batch(f, g, f)

    *registers, submit = frames_of(Sender(GROUP), one)

    assert [(frame.digest, frame.name, frame.code) for frame in registers] == [
        (f.digest, "f", b"f"),
        (g.digest, "g", b"g"),
    ]
    assert isinstance(submit, Submit)
    assert submit.functions == [f.digest, g.digest]
    assert msgspec.msgpack.decode(submit.tasks) == [[0, b"args 0"], [1, b"args 1"], [0, b"args 2"]]
    assert (submit.prefix, submit.group, submit.count) == (one.prefix, GROUP, 3)
    assert (submit.endpoint, submit.pool, submit.options) == (TARGET.endpoint, TARGET.pool, TARGET.options)


def test_a_function_is_registered_once_per_connection() -> None:
    sender, f = Sender(GROUP), function("f")
    first = batch(f)
    frames_of(sender, first)

    assert len(frames_of(sender, batch(f))) == 1
    assert sender.reconnected()[0] is first
    assert [type(frame) for frame in frames_of(sender, first)] == [Register, Submit]


def test_a_function_that_is_registered_already_is_only_named() -> None:
    known = Function(b"i" * 16, "known", None)

    (submit,) = frames_of(Sender(GROUP), batch(known))

    assert submit.functions == [b"i" * 16]


def test_what_is_accepted_is_let_go() -> None:
    sender, one = Sender(GROUP), batch(function("f"))
    frames_of(sender, one)

    sender.accepted(one.prefix)
    sender.accepted(one.prefix)

    assert sender.unconfirmed == {}
    assert one.calls == []
    assert sender.reconnected() == []


def test_a_named_culprit_fails_alone() -> None:
    sender, one = Sender(GROUP), batch(*[function("f")] * 4)
    frames_of(sender, one)
    failing_argument, rest = one.calls[1], [one.calls[0], *one.calls[2:]]

    refusal = refuse(sender, one, PayloadTooLarge("big"), 1)

    assert [(failure.call, type(failure.error)) for failure in refusal.failures] == [
        (failing_argument, PayloadTooLarge)
    ]
    assert [again.calls for again in refusal.again] == [rest]
    assert refusal.again[0].prefix != one.prefix
    assert [call.future.places[-1] for call in rest] == [(refusal.again[0].prefix, n) for n in range(3)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [2, 3, 4, 7, 64])
def test_an_unnamed_culprit_is_found_by_halving(size: int) -> None:
    sender = Sender(GROUP)
    one = batch(*[function("f")] * size)
    failing_argument = one.calls[size // 3]
    everyone = list(one.calls)
    todo, failed, accepted = [one], [], []
    while todo:
        part = todo.pop()
        frames_of(sender, part)
        if failing_argument in part.calls:
            refusal = refuse(sender, part, InvalidRequest("one of you"))
            failed += [failure.call for failure in refusal.failures]
            todo += refusal.again
        else:
            accepted += part.calls

    assert failed == [failing_argument]
    assert set(map(id, accepted)) == set(map(id, everyone)) - {id(failing_argument)}


@pytest.mark.parametrize("error", [NotAuthorized("no"), PoolBroken("broken")])
def test_what_concerns_all_fails_all(error: ComputeError) -> None:
    sender, one = Sender(GROUP), batch(*[function("f")] * 3)
    frames_of(sender, one)
    calls = list(one.calls)

    refusal = refuse(sender, one, error)

    assert [failure.call for failure in refusal.failures] == calls
    assert all(type(failure.error) is type(error) for failure in refusal.failures)
    assert refusal.again == []


def test_no_room_now_is_no_refusal_for_ever() -> None:
    sender, one = Sender(GROUP), batch(function("f"), function("f"))
    frames_of(sender, one)

    refusal = refuse(sender, one, ServiceUnavailable("disk full"))

    assert (refusal.failures, refusal.again, refusal.later) == ([], [], one)
    assert str(refusal.error) == "disk full"
    assert sender.unconfirmed == {}


def test_a_refused_function_fails_its_own_calls_with_its_own_error() -> None:
    sender, f, g = Sender(GROUP), function("f"), function("g")
    one = batch(f, g, f)
    frames_of(sender, one)
    calls = list(one.calls)
    sender.registered(Registered(g.digest, b"g" * 16))
    sender.registered(Registered(f.digest, b"", PayloadTooLarge("f is big").document()))

    refusal = refuse(sender, one, NotFound("no function"))

    assert [failure.call for failure in refusal.failures] == [calls[0], calls[2]]
    assert {str(failure.error) for failure in refusal.failures} == {"f is big"}
    assert [again.calls for again in refusal.again] == [[calls[1]]]


def test_an_unknown_function_of_a_batch_without_refused_ones() -> None:
    sender, f, g = Sender(GROUP), function("f"), function("g")
    sender.registered(Registered(f.digest, b"", PayloadTooLarge("f is big").document()))
    one = batch(g)
    frames_of(sender, one)

    refusal = refuse(sender, one, NotFound("no endpoint"))

    assert [str(failure.error) for failure in refusal.failures] == ["no endpoint"]


def test_a_position_outside_of_the_batch_names_nobody() -> None:
    sender, one = Sender(GROUP), batch(*[function("f")] * 2)
    frames_of(sender, one)

    refusal = refuse(sender, one, InvalidRequest("?"), 9)

    assert refusal.failures == []
    assert [len(again.calls) for again in refusal.again] == [1, 1]


def test_a_refusal_of_what_nobody_sent() -> None:
    assert Sender(GROUP).refused(Refused(b"x" * 12, InvalidRequest("?").document())) == ([], [], None, None)


def test_an_error_without_a_name_does_not_send_tasks_in_another_batch() -> None:
    """It is no answer to whether this one is accepted: its tasks could run twice."""
    sender, one = Sender(GROUP), batch(function("f"), function("g"))
    frames_of(sender, one)
    refusal = refuse(sender, one, ComputeError("internal error"))
    assert refusal.later is one
    assert (refusal.again, refusal.failures) == ([], [])


@pytest.mark.parametrize(
    "error", [StoreDamaged("one page"), StorageFull("0 KiB"), ServiceUnavailable("closed")]
)
def test_trouble_of_the_service_does_not_send_tasks_in_another_batch(error: ComputeError) -> None:
    """What it could not commit it may find stored after a restart."""
    sender, one = Sender(GROUP), batch(function("f"), function("g"))
    frames_of(sender, one)
    refusal = refuse(sender, one, error)
    assert refusal.later is one
    assert (refusal.again, refusal.failures) == ([], [])


def test_a_function_that_could_not_be_stored_is_sent_again_with_its_batch() -> None:
    sender, f = Sender(GROUP), function("f")
    one = batch(f, f)
    frames_of(sender, one)
    sender.registered(Registered(f.digest, b"", StoreDamaged("one page").document()))
    refusal = refuse(sender, one, NotFound("no function"))
    assert refusal.later is one
    assert isinstance(refusal.error, StoreDamaged)
