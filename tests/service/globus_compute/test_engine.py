"""What a stock endpoint is given, and what follows when it is gone. The broker is a table of queues."""

from __future__ import annotations

import asyncio
import time
import uuid
from types import SimpleNamespace
from typing import Any, cast

import pytest

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.protocol.frames import VALUE, Reason
from compute_executor.service.globus_compute import heartbeats, names
from compute_executor.service.globus_compute.broker_link import Delivery, QueueDepth
from compute_executor.service.globus_compute.engine import BrokerEngine
from compute_executor.service.globus_compute.rows import UserEndpointRow
from compute_executor.service.globus_compute.user_endpoints import UserEndpoint
from tests.service.fixture import live

ENDPOINT, USER_ENDPOINT = uuid.uuid4(), uuid.uuid4()
QUEUE = names.task_queue(USER_ENDPOINT)


class Around:
    """What an engine speaks to: 10,000 tasks of one batch that wait for one user endpoint of two workers."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        row = UserEndpointRow(
            USER_ENDPOINT, ENDPOINT, "o", "o", {}, {}, {}, state or {"total_workers": 2}, 0.0
        )
        self.one = UserEndpoint(row)
        self.one.declared = True
        self.waiting = [Assignment(5, position, 1, 7, b"", None) for position in range(10_000)]
        self.queue: list[str] = []
        self.returned_tasks: list[int] = []
        self.lost_tasks: list[int] = []
        self.broken_pools: list[str] = []
        self.consumers = 0
        self.open, self.blocked = True, False
        self.engine = BrokerEngine(
            **cast(
                Any,
                {
                    "events": self,
                    "dispatch": SimpleNamespace(open_in=lambda _pool: 1),
                    "committer": self,
                    "endpoints": SimpleNamespace(heard=lambda *_: True, online=lambda _: False),
                    "users": self,
                    "tasks": SimpleNamespace(name=lambda task: str(task[1]), message=self._message),
                    "inbox": SimpleNamespace(tell=lambda *_: None, report=lambda said: said, empty=True),
                },
            )
        )
        self.engine._giving.link = cast(Any, self)

    async def look_after(self) -> None:
        await self.engine._care.look_after(self.one, cast(Any, self), cast(Any, None))

    # the users
    detailed = None

    def get(self, _pool: bytes) -> UserEndpoint:
        return self.one

    def heard(self, one: UserEndpoint, state: dict[str, Any]) -> None:
        one.row = one.row._replace(state=state)

    # the committer
    def soon(self, _write: Any, done: Any) -> None:
        done(None, None)

    # the tasks
    @staticmethod
    def _message(task: Assignment) -> tuple[bytes, dict[str, Any]]:
        return b"", {"task_uuid": str(task.position)}

    # the events
    def take(self, _pool: bytes, limit: int) -> list[Assignment]:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    def returned(self, _pool: bytes, tasks: list[tuple[int, int, int]]) -> None:
        self.returned_tasks += [task[1] for task in tasks]

    def lost(self, _pool: bytes, _batch: int, position: int, _attempt: int, _reason: Reason) -> None:
        self.lost_tasks.append(position)

    def broken(self, _pool: bytes, message: str) -> None:
        self.broken_pools.append(message)

    # the link
    def publish(self, _exchange: str, key: str, _body: bytes, properties: Any) -> asyncio.Future[None]:
        assert key == QUEUE
        self.queue.append(properties.headers["task_uuid"])
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def look(self, queue: str) -> QueueDepth:
        return QueueDepth(len(self.queue), self.consumers) if queue == QUEUE else QueueDepth(0, 1)

    async def peek(self, _queue: str) -> list[dict[str, Any]] | None:
        return None if self.consumers else [{"task_uuid": one} for one in self.queue]

    async def purge(self, _queue: str) -> None:
        self.queue.clear()

    # what a test does
    def reports(self, **state: Any) -> None:
        """The user endpoint sends a heartbeat."""
        said = SimpleNamespace(endpoint_id=USER_ENDPOINT, state=state)
        self.engine.heartbeat(cast(Delivery, _Said(said)))

    def takes(self, count: int) -> list[str]:
        """The user endpoint takes so many from its queue, for good."""
        taken, self.queue = self.queue[:count], self.queue[count:]
        return taken

    def ends(self, *positions: int, seconds: float = 0.1) -> None:
        self.engine.ended(
            b"", [TaskEnded(5, position, 1, VALUE, b"", 50.0, 50.0 + seconds) for position in positions]
        )

    async def settled(self) -> None:
        """Until nothing more is published."""
        for _ in range(1000):
            before = len(self.queue)
            await asyncio.sleep(0)
            if before == len(self.queue) and not self.one.in_flight and not self.engine._failing:
                return


class _Said(SimpleNamespace):
    """A heartbeat that is read already."""

    def __init__(self, said: Any) -> None:
        super().__init__(endpoint_id=said.endpoint_id, state=said.state, done=lambda: None)


RUNNING: dict[str, Any] = {
    "active": True,
    "heartbeat_period": 5,
    "start_unix": 1,
    "posix_pid": 1,
    "total_workers": 2,
}


@live
async def test_an_endpoint_is_given_what_keeps_its_workers_busy() -> None:
    around = Around()
    around.reports(**RUNNING)
    await around.settled()
    given = len(around.queue)
    assert 20 <= given <= 100
    around.ends(*range(given), seconds=0.0)
    await around.settled()
    assert len(around.queue) - given > 1000


@live
async def test_a_task_that_ends_makes_room_for_another() -> None:
    around = Around()
    around.reports(**RUNNING)
    await around.settled()
    given = len(around.queue)
    around.ends(*range(10), seconds=0.1)
    await around.settled()
    assert given < len(around.queue) <= given + 42


@live
async def test_what_a_killed_endpoint_had_taken_does_not_keep_the_next_from_working() -> None:
    around = Around()
    around.reports(**RUNNING)
    await around.settled()
    given = len(around.queue)
    around.takes(given)
    around.one.watch.parent_restarted()
    await around.look_after()
    around.reports(**{**RUNNING, "posix_pid": 2})
    await around.settled()
    assert len(around.queue) == given
    assert len(around.one.watch.suspects) == given


@live
async def test_after_a_second_kill_what_was_taken_is_lost_and_not_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The endpoint refuses to start what it killed, before anybody has looked at the queue."""
    around = Around()
    around.reports(**RUNNING)
    await around.settled()
    taken = [int(one) for one in around.takes(7)]
    waiting = [int(one) for one in around.queue]
    around.one.watch.parent_restarted()
    around.reports(error="it cannot start", heartbeat_period=3)
    await around.settled()
    assert around.returned_tasks == waiting
    assert len(around.broken_pools) == 1
    assert around.queue == []
    assert around.lost_tasks == []
    later = time.monotonic() + heartbeats.MISSED * 5 + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    around.engine._care.judge(around.one, True)
    assert around.lost_tasks == taken
    assert around.one.given == {}


@live
async def test_a_refusal_while_another_consumes_takes_nothing_back() -> None:
    around = Around()
    around.reports(**RUNNING)
    await around.settled()
    around.consumers = 1
    around.reports(error="it cannot start", heartbeat_period=3)
    await around.settled()
    assert around.returned_tasks == []
    assert around.queue


@live
async def test_what_an_idle_endpoint_has_forgotten_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its broker was killed before it had confirmed the results, and it does not send them again."""
    around = Around()
    around.waiting = around.waiting[:5]
    idle = {**RUNNING, "total_tasks": 5, "outstanding_tasks": 0}
    around.reports(**{**idle, "outstanding_tasks": 5})
    await around.settled()
    around.takes(5)
    around.consumers = 1
    around.ends(0, 1)
    around.reports(**idle)
    await around.look_after()
    assert around.lost_tasks == []
    later = time.monotonic() + heartbeats.MISSED * 5 + heartbeats.ALONE
    monkeypatch.setattr(time, "monotonic", lambda: later)
    await around.look_after()
    assert around.lost_tasks == [2, 3, 4]
    assert around.one.given == {}


@live
@pytest.mark.parametrize("state", [{}, {"total_tasks": 5, "outstanding_tasks": 1}])
async def test_who_is_busy_or_does_not_count_has_forgotten_nothing(
    state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    around = Around()
    around.reports(**RUNNING)
    await around.settled()
    around.takes(len(around.queue))
    around.consumers = 1
    around.reports(**RUNNING, **state)
    await around.settled()
    later = time.monotonic() + 1000
    monkeypatch.setattr(time, "monotonic", lambda: later)
    await around.look_after()
    assert around.lost_tasks == []
