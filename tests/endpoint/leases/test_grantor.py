"""The grantor's side: what a holder is believed, and what becomes of its reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.bodies import BodyExchange
from compute_executor.endpoint.leases.grantor import GrantedLeases, GrantorEvents, GrantorSession, reason_of
from compute_executor.endpoint.leases.send_list import SendList
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import LOST, VALUE, Blob, Reason

NAME = "a" * 32


class Sent(SendList):
    """Frames that would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Any] = []

    def put(self, frame: Any) -> None:
        self.frames.append(frame)

    def last(self, kind: type) -> Any:
        return [frame for frame in self.frames if isinstance(frame, kind)][-1]


class Told:
    """Who is told: remembers it. ``stored``: how many outcomes count as stored."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.came = self.stored = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, arguments[-1]))

    def ended(self, _: GrantorSession, outcomes: list[TaskEnded]) -> None:
        self.came += len(outcomes)
        self.calls.append(("ended", outcomes))

    def progress(self) -> tuple[int, int]:
        return self.came, self.stored

    def of(self, name: str) -> list[Any]:
        return [value for said, value in self.calls if said == name and value]


class Talk:
    """A session with everything around it."""

    def __init__(self, folder: Path, granted: GrantedLeases | None = None, **more: Any) -> None:
        self.granted = granted or GrantedLeases()
        self.told, self.sent = Told(), Sent()
        bodies = BodyExchange(folder, self.sent)
        events = cast(GrantorEvents, self.told)
        self.session = GrantorSession(
            self.granted, events, self.sent, bodies, code=lambda n: b"code%d" % n, **more
        )

    def hears(self, frame: Any) -> None:
        self.session.received(frames.encode(frame))

    def settled(self, limit: int) -> None:
        self.session.begin()
        self.hears(frames.Settled())
        self.hears(frames.CreditLimit(limit))

    def give(self, *tasks: Assignment) -> None:
        self.session.reserve(len(tasks))
        self.session.send(list(tasks))


def task(position: int, body: bytes | Blob = b"body", attempt: int = 1) -> Assignment:
    return Assignment(7, position, attempt, 3, body)


def ended(position: int, body: bytes | Blob = b"value", attempt: int = 1, status: int = VALUE) -> TaskEnded:
    return TaskEnded(7, position, attempt, status, body, 1.0, 2.0)


def test_nothing_is_given_before_both_agree_and_no_more_than_there_is_credit(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.session.begin()
    talk.hears(frames.CreditLimit(5))
    assert talk.session.room() == 0
    talk.hears(frames.Settled())
    assert talk.session.room() == 5
    talk.give(task(0), task(1))
    talk.hears(frames.CreditLimit(5))
    assert talk.session.room() == 3, "a repetition does no harm"
    assert talk.sent.last(frames.FunctionCodes).functions == [(3, b"code3")]
    talk.give(task(2))
    assert len([frame for frame in talk.sent.frames if isinstance(frame, frames.FunctionCodes)]) == 1
    talk.session.end()
    assert talk.session.room() == 0
    assert talk.granted.keys() == [(7, 0, 1), (7, 1, 1), (7, 2, 1)], "the end of a connection ends nothing"


def test_a_new_connection_begins_with_what_is_believed(tmp_path: Path) -> None:
    first = Talk(tmp_path)
    first.settled(9)
    first.give(task(0), task(1))
    again = Talk(tmp_path, first.granted)
    again.session.begin()
    assert again.sent.last(frames.Leased).tasks == [(7, 0, 1), (7, 1, 1)]
    again.hears(frames.TasksReturned([(7, 1, 1)]))
    assert again.told.of("returned") == [[(7, 1, 1)]]
    assert again.granted.keys() == [(7, 0, 1)]


def test_it_is_believed_about_what_it_holds_and_nothing_else(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.settled(9)
    talk.give(task(0, attempt=2))
    talk.hears(frames.TasksBegan([(7, 0, 1, 5.0), (8, 0, 2, 5.0), (7, 0, 2, 6.0)]))
    assert talk.told.of("began") == [[(7, 0, 2, 6.0)]]
    talk.hears(frames.Report(1, [ended(0, attempt=1), ended(5), ended(0, attempt=2)]))
    talk.hears(frames.TasksReturned([(7, 0, 2), (7, 9, 1)]))
    assert talk.told.of("ended") == [[ended(0, attempt=2)]]
    assert talk.told.of("returned") == []
    assert talk.granted.keys() == []


def test_reports_are_confirmed_in_order_when_all_of_them_is_stored(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.settled(9)
    talk.give(task(0), task(1), task(2))
    talk.hears(frames.Report(1, [ended(0), ended(1)]))
    talk.hears(frames.Report(2, [ended(2)]))
    talk.session.stored(1)
    assert not any(isinstance(frame, frames.Stored) for frame in talk.sent.frames)
    talk.session.stored(2)
    assert talk.sent.last(frames.Stored).report == 1
    talk.session.stored(3)
    assert talk.sent.last(frames.Stored).report == 2
    talk.told.stored = 3
    talk.hears(frames.Report(3, [ended(2)]))
    assert talk.sent.last(frames.Stored).report == 3, "what is reported again is stored already"


def test_a_large_result_is_passed_on_when_its_body_is_here(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.settled(9)
    talk.give(task(0), task(1))
    talk.hears(frames.Report(1, [ended(0, Blob(NAME, 5)), ended(1)]))
    assert talk.told.of("ended") == [[ended(1)]]
    talk.session.stored(1)
    assert not any(isinstance(frame, frames.Stored) for frame in talk.sent.frames)
    assert talk.sent.last(frames.BodyWanted).name == NAME
    talk.hears(frames.BodyPart(NAME, 0, b"12345"))
    assert talk.told.of("ended")[-1] == [ended(0, Blob(NAME, 5))]
    assert (tmp_path / NAME).read_bytes() == b"12345"
    talk.session.stored(2)
    assert talk.sent.last(frames.Stored).report == 1


def test_a_body_that_is_gone_is_a_loss_by_name(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.settled(9)
    talk.give(task(0))
    talk.hears(frames.Report(1, [ended(0, Blob(NAME, 5))]))
    talk.hears(frames.BodyPart(NAME, 0, b"", "No such file or directory"))
    ((lost,),) = talk.told.of("ended")
    assert lost.status == LOST
    assert "5 bytes" in reason_of(lost).message
    assert "No such file" in reason_of(lost).message


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    talk = Talk(tmp_path, may_keep=lambda name: name != NAME)
    talk.settled(9)
    talk.give(task(0))
    for data in (b"", b"\xc1", msgspec.msgpack.encode([99, 1])):
        with pytest.raises(InvalidRequest):
            talk.session.received(data)
    with pytest.raises(InvalidRequest, match="no endpoint reports"):
        talk.hears(frames.Report(1, [ended(0, status=77)]))
    with pytest.raises(InvalidRequest, match="not the endpoint's"):
        talk.hears(frames.Report(1, [ended(0, Blob(NAME, 5))]))


def test_it_hands_out_only_bodies_that_it_has_named(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.settled(9)
    talk.hears(frames.BodyWanted(NAME, 0))
    assert talk.sent.last(frames.BodyPart).trouble == "there is no such body for you"


def test_how_many_wait_is_told_when_that_changes_much(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    for count in (0, 0, 1, 100, 120, 60, 10, 0):
        talk.session.send_queue_length(count)
    told = [frame.count for frame in talk.sent.frames if isinstance(frame, frames.TasksQueued)]
    assert told == [0, 1, 100, 10, 0]


def test_a_reason_that_cannot_be_read() -> None:
    assert reason_of(ended(0, frames.encode(Reason("signal")), status=LOST)).message == "signal"
    assert "does not say" in reason_of(ended(0, b"\xc1", status=LOST)).message


def test_what_a_batch_shares_is_named_with_its_tasks_and_dropped_when_it_is_deleted(tmp_path: Path) -> None:
    shared, other = Blob("b" * 32, 9), Blob("c" * 32, 9)
    talk = Talk(tmp_path, shared=lambda batch: [shared] if batch == 7 else [])
    talk.settled(9)
    talk.give(task(0), task(1)._replace(batch=8))
    assert talk.sent.last(frames.Tasks).shared == [(7, [shared])]
    (tmp_path / shared.name).write_bytes(b"content")
    talk.hears(frames.BodyWanted(shared.name, 0))
    assert talk.sent._files, "it was named, and is handed out"
    talk.session.shared_gone([other.name])
    talk.session.shared_gone([shared.name, other.name])
    talk.session.shared_gone([shared.name])
    dropped = [frame.names for frame in talk.sent.frames if isinstance(frame, frames.SharedDropped)]
    assert dropped == [[shared.name]], "once, and nothing that it was not told of"


def test_shared_values_of_an_earlier_connection_are_compared_with_what_there_is(tmp_path: Path) -> None:
    there, gone = "b" * 32, "c" * 32
    (tmp_path / there).write_bytes(b"content")
    talk = Talk(tmp_path)
    talk.session.begin()
    talk.hears(frames.SharedHeld([there, gone, "../x"]))
    assert talk.sent.last(frames.SharedDropped).names == [gone, "../x"]
    talk.session.shared_gone([there])
    assert talk.sent.last(frames.SharedDropped).names == [there]
