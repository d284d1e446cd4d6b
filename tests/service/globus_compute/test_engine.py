"""What a stock endpoint is given, and what follows when it is gone. The broker is a table of queues."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.errors import QueueMissing
from compute_executor.protocol.frames import VALUE, Reason
from compute_executor.service.globus_compute import heartbeats, names
from compute_executor.service.globus_compute.broker_link import Delivery, QueueDepth, WaitingMessage
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
        self.delivered: set[str] = set()  # to a consumer that did not acknowledge them
        self.missing: set[str] = set()
        self.declared: list[str] = []
        self.inspected = 0
        self.commands = 0
        self.online = False
        self.open, self.blocked = True, False
        self.engine = BrokerEngine(
            **cast(
                Any,
                {
                    "events": self,
                    "dispatch": SimpleNamespace(open_in=lambda _pool: 1),
                    "committer": self,
                    "endpoints": SimpleNamespace(heard=lambda *_: True, find=self._endpoint),
                    "users": self,
                    "tasks": SimpleNamespace(name=lambda task: str(task[1]), message=self._message),
                    "inbox": SimpleNamespace(tell=lambda *_: None, report=lambda said: said, empty=True),
                },
            )
        )
        self.engine._publisher.link = cast(Any, self)

    def _endpoint(self, _id: uuid.UUID) -> Any:
        seen = time.time() if self.online else 0.0
        return SimpleNamespace(id=ENDPOINT, owner="o", multi_user=False, state={}, seen=seen)

    async def reconcile(self) -> None:
        await self.engine._reconciler.reconcile(self.one, cast(Any, self), cast(Any, None))

    # the users
    detailed = None

    def __iter__(self) -> Iterator[UserEndpoint]:
        return iter([self.one])

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
        if key == names.command_queue(ENDPOINT):
            self.commands += 1
        else:
            assert key == QUEUE
            self.queue.append(properties.headers["task_uuid"])
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def inspect(self, queue: str) -> QueueDepth:
        self.inspected += 1
        if queue in self.missing:
            raise QueueMissing(f"no queue {queue}")
        return QueueDepth(len(self.queue), self.consumers) if queue == QUEUE else QueueDepth(0, 1)

    async def drain(self, queue: str) -> list[WaitingMessage] | None:
        assert queue == QUEUE
        if self.consumers:
            return None
        taken, self.queue = self.queue, []
        return [WaitingMessage({"task_uuid": one}, one in self.delivered) for one in taken]

    async def declare(self, queue: str, *_: Any) -> None:
        self.declared.append(queue)
        self.missing.discard(queue)

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
    await around.reconcile()
    around.reports(**{**RUNNING, "posix_pid": 2})
    await around.settled()
    assert len(around.queue) == given
    assert len(around.one.watch.in_doubt) == given


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
    around.engine._reconciler.expire(around.one, True)
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
    await around.reconcile()
    assert around.lost_tasks == []
    later = time.monotonic() + heartbeats.MISSED * 5 + heartbeats.ALONE
    monkeypatch.setattr(time, "monotonic", lambda: later)
    await around.reconcile()
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
    await around.reconcile()
    assert around.lost_tasks == []


# -- a user endpoint that dies ----------------------------------------------------------------------------------


async def dies(around: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue has no consumer any more, and its heartbeats are missed."""
    around.consumers = 0
    around.one.watch.parent_restarted()
    await around.reconcile()
    later = time.monotonic() + heartbeats.MISSED * 5 + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    await around.reconcile()


@live
async def test_a_task_that_was_delivered_to_a_run_that_died_is_lost_and_not_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be what the user endpoint died of. It had not acknowledged it, so the broker keeps it."""
    around = Around()
    around.waiting = around.waiting[:2]
    around.reports(**RUNNING)
    await around.settled()
    around.delivered = set(around.queue)
    await dies(around, monkeypatch)
    assert around.queue == []  # else the next run would get it
    assert around.lost_tasks == [0, 1]
    assert around.returned_tasks == []
    assert around.one.given == {}


@live
async def test_a_task_that_was_never_delivered_runs_after_a_death(monkeypatch: pytest.MonkeyPatch) -> None:
    around = Around()
    around.waiting = around.waiting[:3]
    around.reports(**RUNNING)
    await around.settled()
    around.delivered = {"0"}
    await dies(around, monkeypatch)
    assert around.lost_tasks == [0]
    assert around.returned_tasks == [1, 2]


@live
async def test_a_queue_is_not_drained_while_messages_are_on_their_way_to_it() -> None:
    around = Around()
    around.reports(**RUNNING)
    await around.settled()
    around.one.watch.parent_restarted()
    around.one.in_flight = 1
    before = list(around.queue)
    await around.reconcile()
    assert around.queue == before
    around.one.in_flight = 0
    await around.reconcile()
    assert around.queue == []


@live
async def test_one_that_never_comes_up_ends_its_tasks() -> None:
    around = Around()
    around.online = True
    around.one.watch.commands = heartbeats.UNANSWERED
    around.one.watch.commanded(time.monotonic() - 1000)
    await around.reconcile()
    assert len(around.broken_pools) == 1
    assert "21 times" in around.broken_pools[0]


# -- queues that were deleted -----------------------------------------------------------------------------------


@live
async def test_a_deleted_task_queue_is_declared_again_and_what_was_in_it_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the five tasks the user endpoint has taken two for sure; nobody knows of the others."""
    around = Around()
    around.waiting = around.waiting[:5]
    around.reports(**RUNNING)
    await around.settled()
    around.takes(2)
    around.consumers = 1
    await around.reconcile()
    around.queue.clear()
    around.missing.add(QUEUE)
    await around.reconcile()
    assert around.declared.count(QUEUE) == 1
    later = time.monotonic() + heartbeats.MISSED * 5 + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    around.reports(**RUNNING)  # it runs, but it was not given them
    await around.reconcile()
    assert around.lost_tasks == [2, 3, 4]
    assert list(around.one.given) == [(5, 0), (5, 1)]


@live
async def test_a_queue_that_is_deleted_while_no_user_endpoint_runs_costs_nothing() -> None:
    around = Around()
    around.waiting = around.waiting[:5]
    around.reports(**RUNNING)
    await around.settled()
    around.one.watch.running = False
    around.queue.clear()
    around.missing.add(QUEUE)
    await around.reconcile()
    assert around.returned_tasks == [0, 1, 2, 3, 4]
    assert around.declared.count(QUEUE) == 1


@live
async def test_the_queue_of_one_that_had_nothing_to_do_is_inspected_before_anything_is_sent() -> None:
    """The broker would put the message into the log queue alone, and confirm it."""
    around = Around()
    waiting, around.waiting = around.waiting[:1], []
    around.reports(**RUNNING)
    run(around)
    await asyncio.sleep(0.01)
    around.missing.add(QUEUE)
    around.waiting = waiting
    around.engine.wake(USER_ENDPOINT.bytes)
    assert around.queue == []
    await asyncio.sleep(0.01)
    await around.engine.close()
    assert around.queue == ["0"]
    assert around.missing == set()
    assert around.lost_tasks == []


# -- an endpoint that is off ------------------------------------------------------------------------------------


def run(around: Around) -> None:
    """Start the engine's loop; the test ends it."""

    async def url(_user_endpoint: uuid.UUID) -> str:
        return "amqp://broker"

    around.engine.connect(cast(Any, around), url)
    around.engine._due.set()


@live
async def test_a_task_for_an_endpoint_that_is_off_asks_the_broker_nothing() -> None:
    around = Around()
    run(around)
    for _ in range(100):
        around.engine.wake(USER_ENDPOINT.bytes)
        await asyncio.sleep(0)
    assert around.engine._reconciling is not None
    assert not around.engine._reconciling.done()
    await around.engine.close()
    assert around.inspected == 0


@live
async def test_one_that_does_not_run_yet_is_inspected_now_and_then() -> None:
    around = Around()
    around.online = True
    run(around)
    around.engine.wake(USER_ENDPOINT.bytes)
    await asyncio.sleep(0.6)
    await around.engine.close()
    assert 1 <= around.inspected <= 5


@live
@pytest.mark.parametrize("turns", range(12))
async def test_the_loop_ends_when_it_is_cancelled_together_with_news(turns: int) -> None:
    around = Around()
    around.online = True
    run(around)
    for _ in range(turns):
        await asyncio.sleep(0)
    around.engine.wake(USER_ENDPOINT.bytes)
    await asyncio.wait_for(around.engine.close(), 1)
