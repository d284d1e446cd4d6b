"""The grantor's side: what a holder is believed, and what becomes of its reports."""

from __future__ import annotations

import asyncio
import contextlib
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from compute_executor.endpoint.leases import bodies, frames, grantor
from compute_executor.endpoint.leases.bodies import BodyExchange
from compute_executor.endpoint.leases.grantor import (
    MOST_HELD,
    MOST_INLINE,
    STATE_BYTES,
    GrantedLeases,
    GrantorEvents,
    GrantorSession,
    reason_of,
)
from compute_executor.endpoint.leases.send_list import ROOM, FileSource, SendList
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import LOST, VALUE, Blob, Reason, Written
from tests.service.fixture import live

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


# -- a holder that lies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [math.nan, math.inf, -1.0, 1e300])
def test_times_that_are_none_are_not_passed_on(tmp_path: Path, time: float) -> None:
    talk = Talk(tmp_path)
    talk.settled(9)
    talk.give(task(0), task(1))
    talk.hears(frames.TasksBegan([(7, 0, 1, time), (7, 1, 1, 5.0)]))
    assert talk.told.of("began") == [[(7, 0, 1, 0.0), (7, 1, 1, 5.0)]]
    talk.hears(frames.Report(1, [ended(0)._replace(began=time), ended(1)._replace(ended=time)]))
    assert talk.told.of("ended") == [[ended(0)._replace(began=0.0), ended(1)._replace(ended=0.0)]]


@pytest.mark.parametrize(
    "changed",
    [
        {"worker": 1 << 63},
        {"worker": -1},
        {"body": b"x" * (MOST_INLINE + 1)},
        {"output": Written(out=b"x" * MOST_INLINE, err=b"xx")},
    ],
)
def test_an_outcome_that_nobody_could_store_or_read_ends_the_connection(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    talk = Talk(tmp_path)
    talk.settled(9)
    talk.give(task(0))
    with pytest.raises(InvalidRequest):
        talk.hears(frames.Report(1, [ended(0)._replace(**changed)]))
    assert talk.told.of("ended") == []
    assert talk.granted.leased


def test_what_a_task_writes_is_bounded(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.settled(9)
    talk.give(task(0))
    with pytest.raises(InvalidRequest, match="bytes of one task"):
        talk.hears(frames.TaskWritten([(7, 0, Written(out=b"x" * (MOST_INLINE + 1)))]))


def test_a_task_that_is_told_again_while_its_result_comes_is_counted_once(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.settled(9)
    talk.give(task(0), task(1))
    said = ended(0, Blob(NAME, 5))
    talk.hears(frames.Report(1, [said, said._replace(body=Blob("b" * 32, 5))]))
    for number in range(2, 50):
        talk.hears(frames.Report(number, [said]))
    wanted = [frame for frame in talk.sent.frames if isinstance(frame, frames.BodyWanted)]
    assert [one.name for one in wanted] == [NAME]
    assert len(talk.session._reports) == 1
    talk.hears(frames.BodyPart(NAME, 0, b"12345"))
    assert talk.told.of("ended") == [[said]]
    assert not [frame for frame in talk.sent.frames if isinstance(frame, frames.Stored)]
    talk.session.stored(1)
    assert talk.sent.last(frames.Stored).report == 49, "those that told nothing new are done with it"


def test_few_bodies_are_received_at_once_however_many_are_told(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.settled(100)
    talk.give(*map(task, range(50)))
    names = [f"{number:032x}" for number in range(50)]
    talk.hears(frames.Report(1, [ended(at, Blob(name, 2)) for at, name in enumerate(names)]))
    assert len(list(tmp_path.iterdir())) == bodies.MOST_AT_ONCE
    for name in names:
        assert len(list(tmp_path.glob("*.part"))) <= bodies.MOST_AT_ONCE
        talk.hears(frames.BodyPart(name, 0, b"ab"))
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(talk.told.of("ended")) == 50


@pytest.mark.parametrize("size", [-1, 101, 1 << 63])
def test_a_body_is_as_large_as_one_may_be(tmp_path: Path, size: int) -> None:
    told: list[Any] = []
    BodyExchange(tmp_path, Sent(), largest=100).fetch(Blob(NAME, size), told.append)
    assert "more than the 100" in told[0].text
    assert list(tmp_path.iterdir()) == []


def test_it_is_given_no_more_than_some_times_what_one_of_ours_takes(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.settled(1 << 53)
    assert talk.session.room() == MOST_HELD
    talk.session.reserve(MOST_HELD - 1)
    assert talk.session.room() == 1
    talk.session.reserve(-(MOST_HELD - 1))
    talk.give(task(0))
    assert talk.session.room() == MOST_HELD - 1


@pytest.mark.parametrize("asked", [frames.BodyWanted("x" * 1_000_000, 0), frames.Report(1, [])])
def test_who_reads_nothing_cannot_have_answers_pile_up(
    tmp_path: Path, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grantor, "MOST_UNREAD", 3_000_000)
    send = SendList()
    told = Told()
    session = GrantorSession(
        GrantedLeases(), cast(GrantorEvents, told), send, BodyExchange(tmp_path, send), code=lambda _: b""
    )
    with contextlib.suppress(InvalidRequest):
        for _ in range(50_000):
            session.received(frames.encode(asked))
    assert send.size < 6_000_000
    with pytest.raises(InvalidRequest, match="does not read"):
        session.received(frames.encode(asked))


@live
async def test_one_that_reads_again_is_given_tasks_again(tmp_path: Path) -> None:
    send, told = SendList(), Told()
    session = GrantorSession(
        GrantedLeases(), cast(GrantorEvents, told), send, BodyExchange(tmp_path, send), code=lambda _: b""
    )
    for frame in (frames.Settled(), frames.CreditLimit(10)):
        session.received(frames.encode(frame))
    while send.size <= ROOM:
        session.recall(1, [(7, at) for at in range(100_000)])
    send.put_file(FileSource(NAME, tmp_path / NAME, 0))
    assert session.room() == 0
    told.calls.clear()
    sent: list[bytes] = []

    async def write(data: bytes) -> None:
        sent.append(data)

    writing = asyncio.ensure_future(send.write_to(write))
    await send.written()
    writing.cancel()
    assert send.size == 0
    assert session.room() == 10
    assert [name for name, _ in told.calls] == ["has_credit"]


@pytest.mark.parametrize(
    "document",
    [
        {"a": msgspec.msgpack.Ext(5, b"x")},
        {"a": {1: 2}},
        {"a": math.nan},
        {"a": 1 << 63},
        {"a": "x" * STATE_BYTES},
    ],
)
def test_a_state_that_lists_could_not_show_ends_the_connection(tmp_path: Path, document: Any) -> None:
    talk = Talk(tmp_path)
    with pytest.raises(InvalidRequest):
        talk.hears(frames.HolderState(document))
    assert talk.told.of("state") == []


def test_only_so_many_values_of_earlier_connections_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grantor, "SHARED_NAMES", 2)
    names = [f"{number:032x}" for number in range(4)]
    for name in names:
        (tmp_path / name).touch()
    talk = Talk(tmp_path)
    talk.hears(frames.SharedHeld(names))
    assert talk.sent.last(frames.SharedDropped).names == names[2:]
    talk.hears(frames.SharedHeld(names[2:]))
    assert talk.sent.last(frames.SharedDropped).names == names[2:]


def test_trouble_with_the_disk_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[Any] = []
    loop = SimpleNamespace(call_later=lambda *call: later.append(call))
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    talk = Talk(tmp_path / "nowhere")
    talk.settled(9)
    talk.give(task(0), task(1))
    talk.hears(frames.Report(1, [ended(at, Blob(f"{at:032x}", 5)) for at in range(2)]))
    assert len(later) == 2
    assert caplog.text.count("cannot be written") == 1
