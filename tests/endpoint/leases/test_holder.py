"""The holder's side: what it holds, gives back and reports, over connections that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.bodies import BodyExchange, discard
from compute_executor.endpoint.leases.holder import LeaseHolder
from compute_executor.endpoint.pool.engine import Engine
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.frames import LOST, VALUE, Blob, Reason
from tests.endpoint.leases.test_grantor import NAME, Sent, ended, task

POOL = b"pool"


class Connection:
    """What is sent on it."""

    def __init__(self, folder: Path, clock_ahead: float = 0.0) -> None:
        self.sent = Sent()
        self.bodies = BodyExchange(folder, self.sent)
        self.clock_ahead = clock_ahead

    def put(self, frame: object) -> None:
        self.sent.put(frame)

    def all(self, kind: type) -> list[Any]:
        return [frame for frame in self.sent.frames if isinstance(frame, kind)]


class Workers:
    """An engine that takes what there is when it is told to, and gives back what it is told to."""

    def __init__(self) -> None:
        self.untouched: set[tuple[int, int]] = set()
        self.stopped: list[tuple[int, int]] = []

    def wake(self, pool: bytes) -> None: ...

    def withdraw(self, pool: bytes, tasks: Any) -> set[tuple[int, int]]:
        back = self.untouched & set(tasks)
        self.untouched -= back
        return back

    def stop_tasks(self, pool: bytes, tasks: Any) -> set[tuple[int, int]]:
        self.stopped += tasks
        return set(tasks)


class Before:
    """What an earlier process has left."""

    def __init__(self, **outcomes: TaskEnded) -> None:
        self.outcomes = {(7, int(name[1:]), 1): one for name, one in outcomes.items()}
        self.is_settled = False

    def outcome(self, key: Key) -> TaskEnded | None:
        return self.outcomes.get(key)

    def settled(self) -> None:
        self.is_settled = True


class Taking:
    """A holder with two workers and a connection. ``stored``: outcomes that it was told are stored."""

    def __init__(self, folder: Path, *, leased: list[Key] | None = None, **more: Any) -> None:
        self.folder = folder
        self.stored: list[TaskEnded] = []
        self.engine = Workers()
        self.holder = LeaseHolder(POOL, lambda: 2, stored=self.stored.extend, **more)
        self.holder.engine = cast(Engine, self.engine)
        self.connect(leased or [])

    def connect(self, leased: list[Key], clock_ahead: float = 0.0) -> None:
        self.connection = Connection(self.folder, clock_ahead)
        self.holder.connected(self.connection)
        self.holder.received(frames.Leased(leased))

    def get(self, *tasks: Assignment, shared: list[tuple[int, list[Blob]]] | None = None) -> None:
        self.holder.received(frames.FunctionCodes([(3, b"code")]))
        self.holder.received(frames.Tasks(list(tasks), shared or []))

    async def end(self, *outcomes: TaskEnded) -> None:
        self.holder.ended(POOL, list(outcomes))
        await asyncio.sleep(0)


def play(scene: Callable[[], Any]) -> None:
    async def run() -> None:
        await scene()

    asyncio.run(run())


def test_tasks_are_run_and_reported_until_they_are_stored(tmp_path: Path) -> None:
    async def scene() -> None:
        taking = Taking(tmp_path)
        assert taking.connection.all(frames.Settled)
        assert taking.connection.all(frames.CreditLimit)[0].limit == 4
        taking.get(task(0), task(1))
        taken = taking.holder.take(POOL, 9)
        assert [one.position for one in taken] == [0, 1]
        assert taking.holder.function_code(taken[0].function) == b"code"
        await taking.end(ended(0))
        (report,) = taking.connection.all(frames.Report)
        assert (report.number, report.outcomes) == (1, [ended(0)])
        assert taking.holder.unstored == 1
        taking.connect([(7, 0, 1), (7, 1, 1)])
        assert [one.number for one in taking.connection.all(frames.Report)] == [1], "sent again"
        taking.holder.received(frames.Stored(1))
        assert taking.stored == [ended(0)]
        assert (taking.holder.open, taking.holder.running) == (1, 1)

    play(scene)


def test_what_ends_without_a_connection_is_reported_on_the_next(tmp_path: Path) -> None:
    async def scene() -> None:
        taking = Taking(tmp_path)
        taking.get(task(0))
        taking.holder.take(POOL, 1)
        taking.holder.disconnected()
        await taking.end(ended(0))
        assert not taking.connection.all(frames.Report)
        taking.connect([(7, 0, 1)])
        assert [one.outcomes for one in taking.connection.all(frames.Report)] == [[ended(0)]]
        assert not taking.connection.all(frames.TasksReturned)

    play(scene)


def test_what_it_does_not_know_has_not_begun_or_is_told_by_what_was_left(tmp_path: Path) -> None:
    async def scene() -> None:
        lost = ended(1, frames.encode(Reason("the endpoint ended")), status=LOST)
        before = Before(_0=ended(0), _1=lost)
        taking = Taking(tmp_path, leased=[(7, 0, 1), (7, 1, 1), (7, 2, 1)], leftovers=before)
        (report,) = taking.connection.all(frames.Report)
        assert report.outcomes == [ended(0), lost]
        assert [one.tasks for one in taking.connection.all(frames.TasksReturned)] == [[(7, 2, 1)]]
        assert not before.is_settled, "killed again now, it must be found again"
        taking.holder.received(frames.Stored(report.number))
        assert before.is_settled

    play(scene)


def test_what_is_leased_to_it_no_more_is_dropped(tmp_path: Path) -> None:
    async def scene() -> None:
        taking = Taking(tmp_path)
        taking.get(task(0), task(1))
        taking.holder.take(POOL, 1)
        taking.connect([])
        assert taking.engine.stopped == [(7, 0), (7, 1)]
        assert taking.holder.take(POOL, 9) == [], "the one that waited is not run"

    play(scene)


def test_a_recall_gives_back_what_has_not_begun(tmp_path: Path) -> None:
    async def scene() -> None:
        taking = Taking(tmp_path)
        taking.get(task(0), task(1), task(2))
        taking.holder.take(POOL, 2)
        taking.engine.untouched = {(7, 1)}
        taking.holder.received(frames.Recall(5, [(7, 0), (7, 1), (7, 2)]))
        back = [key for frame in taking.connection.all(frames.TasksReturned) for key in frame.tasks]
        assert sorted(back) == [(7, 1, 1), (7, 2, 1)]
        assert taking.connection.all(frames.Recalled)[0].request == 5
        assert taking.holder.open == 1

    play(scene)


def test_stopping_ends_workers_of_what_runs_only(tmp_path: Path) -> None:
    async def scene() -> None:
        taking = Taking(tmp_path)
        taking.get(task(0), task(1))
        taking.holder.take(POOL, 1)
        taking.holder.received(frames.StopTasks([(7, 0), (7, 1)]))
        assert [one.tasks for one in taking.connection.all(frames.TasksReturned)] == [[(7, 1, 1)]]
        assert (7, 0) in taking.engine.stopped

    play(scene)


def test_a_draining_holder_wants_nothing_and_gives_back_the_rest(tmp_path: Path) -> None:
    async def scene() -> None:
        taking = Taking(tmp_path)
        taking.get(task(0), task(1))
        taking.holder.take(POOL, 1)
        taking.holder.drain()
        assert taking.holder.target() == 0
        assert [one.tasks for one in taking.connection.all(frames.TasksReturned)] == [[(7, 1, 1)]]
        assert not taking.holder.idle
        await taking.end(ended(0))
        taking.holder.received(frames.Stored(1))
        assert taking.holder.idle

    play(scene)


def test_times_are_told_by_the_grantors_clock(tmp_path: Path) -> None:
    async def scene() -> None:
        taking = Taking(tmp_path)
        taking.connect([], clock_ahead=3600.0)
        taking.get(task(0))
        taking.holder.take(POOL, 1)
        taking.holder.began(POOL, [(7, 0, 1, 5000.0)])
        assert taking.connection.all(frames.TasksBegan)[0].tasks == [(7, 0, 1, 1400.0)]
        await taking.end(TaskEnded(7, 0, 1, VALUE, b"v", 5000.0, 5001.0))
        (outcome,) = taking.connection.all(frames.Report)[0].outcomes
        assert (outcome.began, outcome.ended) == (1400.0, 1401.0)

    play(scene)


def test_a_body_that_finds_no_room_gives_its_task_back_and_nothing_more_is_wanted_for_a_while(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        taking = Taking(tmp_path)
        (tmp_path / f"{NAME}.part").mkdir()  # it cannot be written
        taking.get(task(0, Blob(NAME, 70_000)), task(1))
        assert [one.tasks for one in taking.connection.all(frames.TasksReturned)] == [[(7, 0, 1)]]
        assert taking.holder.target() == 0
        assert [one.position for one in taking.holder.take(POOL, 9)] == [1], "small ones go on"

    play(scene)


class Bodies:
    """A grantor's folder, from which a holder asks for bodies; what has come lies in the holder's."""

    def __init__(self, taking: Taking) -> None:
        self.taking = taking

    def wanted(self) -> list[str]:
        return [frame.name for frame in self.taking.connection.all(frames.BodyWanted)]

    def come(self, name: str) -> None:
        self.taking.holder.received(frames.BodyPart(name, 0, b"x" * SIZE))

    def here(self) -> list[str]:
        return sorted(path.name for path in self.taking.folder.iterdir())


SIZE = 70_000
OTHER, SHARED = "b" * 32, "c" * 32


def keeping(folder: Path, room: int = 0) -> tuple[Taking, Bodies]:
    """A holder that deletes what it is told to."""
    taking = Taking(folder, room=room, discard=lambda names: discard(folder, names))
    return taking, Bodies(taking)


def test_an_argument_goes_with_its_task(tmp_path: Path) -> None:
    async def scene() -> None:
        taking, bodies = keeping(tmp_path)
        taking.get(task(0, Blob(NAME, SIZE)), task(1, Blob(NAME, SIZE)), task(2, Blob(OTHER, SIZE)))
        assert bodies.wanted() == [NAME, OTHER]
        assert taking.holder.take(POOL, 9) == []
        bodies.come(NAME)
        assert [one.position for one in taking.holder.take(POOL, 9)] == [0, 1]
        await taking.end(ended(0))
        assert bodies.here() == [NAME, f"{OTHER}.part"], "another task needs it"
        await taking.end(ended(1))
        taking.holder.received(frames.Recall(5, [(7, 2)]))
        bodies.come(OTHER)
        assert bodies.here() == [], "the task has gone before its argument came"

    play(scene)


def test_what_tasks_share_is_asked_for_once_and_kept_until_it_is_dropped(tmp_path: Path) -> None:
    async def scene() -> None:
        taking, bodies = keeping(tmp_path, room=SIZE)
        shared = [(7, [Blob(SHARED, SIZE)])]
        for position in range(3):
            taking.get(task(position), shared=shared)
        assert bodies.wanted() == [SHARED]
        assert taking.holder.take(POOL, 9) == []
        assert list(taking.holder.shared_by(7)) == [Blob(SHARED, SIZE)]
        bodies.come(SHARED)
        assert len(taking.holder.take(POOL, 9)) == 3
        await taking.end(*(ended(position) for position in range(3)))
        assert bodies.here() == [SHARED], "a later task may need it"
        taking.get(task(3), shared=shared)
        assert bodies.wanted() == [SHARED], "and finds it here"
        taking.holder.received(frames.SharedDropped([SHARED]))
        assert bodies.here() == [SHARED], "not yet"
        await taking.end(ended(3))
        taking.holder.take(POOL, 9)
        await taking.end(ended(3))
        assert bodies.here() == []

    play(scene)


def test_shared_values_that_no_task_needs_take_no_more_than_the_room_for_them(tmp_path: Path) -> None:
    async def scene() -> None:
        taking, bodies = keeping(tmp_path, room=SIZE)
        for batch, name in ((7, SHARED), (8, OTHER)):
            taking.get(task(0)._replace(batch=batch), shared=[(batch, [Blob(name, SIZE)])])
            bodies.come(name)
            taking.holder.take(POOL, 9)
            await taking.end(ended(0)._replace(batch=batch))
        assert bodies.here() == [OTHER], "the one that was needed last"
        taking.connect([])
        assert [one.names for one in taking.connection.all(frames.SharedHeld)] == [[OTHER]]
        taking.holder.received(frames.SharedDropped([OTHER, SHARED]))
        assert bodies.here() == []

    play(scene)


def test_a_task_whose_body_was_on_its_way_when_the_connection_ended_is_given_back(tmp_path: Path) -> None:
    async def scene() -> None:
        taking, bodies = keeping(tmp_path)
        taking.get(task(0, Blob(NAME, SIZE)), task(1), shared=[(8, [Blob(SHARED, SIZE)])])
        taking.get(task(2)._replace(batch=8), shared=[(8, [Blob(SHARED, SIZE)])])
        taking.holder.disconnected()
        taking.connection.bodies.close()
        taking.connect([(7, 0, 1), (7, 1, 1), (8, 2, 1)])
        back = [key for frame in taking.connection.all(frames.TasksReturned) for key in frame.tasks]
        assert sorted(back) == [(7, 0, 1), (8, 2, 1)]
        assert bodies.here() == []
        assert [one.position for one in taking.holder.take(POOL, 9)] == [1]

    play(scene)


def test_a_body_that_is_nowhere_ends_its_task(tmp_path: Path) -> None:
    async def scene() -> None:
        taking, _ = keeping(tmp_path)
        taking.get(task(0, Blob(NAME, SIZE)), task(1))
        taking.holder.received(frames.BodyPart(NAME, 0, b"", "No such file or directory"))
        await asyncio.sleep(0)
        (outcome,) = taking.connection.all(frames.Report)[0].outcomes
        assert (outcome.position, outcome.status) == (0, LOST)
        assert b"70000 bytes that it needs did not come: No such file or directory" in outcome.body
        assert [one.position for one in taking.holder.take(POOL, 9)] == [1]

    play(scene)


def test_a_broken_engine_gives_back_what_waits_and_says_why(tmp_path: Path) -> None:
    async def scene() -> None:
        failed: list[str] = []
        taking = Taking(tmp_path, failed=failed.append)
        taking.get(task(0), task(1))
        taking.holder.take(POOL, 1)
        taking.holder.broken(POOL, "no such partition")
        assert [one.tasks for one in taking.connection.all(frames.TasksReturned)] == [[(7, 1, 1)]]
        assert taking.connection.all(frames.WorkersFailed)[-1].message == "no such partition"
        kinds = [type(one) for one in taking.connection.sent.frames]
        assert kinds.index(frames.WorkersFailed) < kinds.index(frames.TasksReturned), "it does not come again"
        assert failed == ["no such partition"]
        taking.connect([(7, 0, 1)])
        assert taking.connection.all(frames.WorkersFailed)[-1].message == "no such partition"
        taking.holder.working()
        assert taking.connection.all(frames.WorkersFailed)[-1].message == ""

    play(scene)
