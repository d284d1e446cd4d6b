"""Results from the broker: stored before they are acknowledged, and nothing that comes can do harm."""

from __future__ import annotations

import asyncio
import json
import uuid
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.errors import ServiceUnavailable
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, task_uuid
from compute_executor.service.globus_compute import inbox as module
from compute_executor.service.globus_compute import names
from compute_executor.service.globus_compute.broker_link import Delivery
from compute_executor.service.globus_compute.inbox import ResultInbox
from tests.service.fixture import live, turn

PREFIX, FOREIGN = new_prefix(), new_prefix()
POOL = uuid.uuid4()
KEY = names.routing_key(POOL, names.RESULTS)


class Around:
    """What an Inbox speaks to: one open batch of ten tasks on one user endpoint; nothing is stored until it may."""

    def __init__(self) -> None:
        self.ended_tasks: list[TaskEnded] = []
        self.told: list[tuple[bytes, list[tuple[int, int]]]] = []
        self.details: list[dict[str, Any]] = []
        self.acknowledged: list[int] = []
        self.stored: asyncio.Future[None] | None = None
        self.trouble: Exception | None = None
        self.batch = SimpleNamespace(number=5, count=10, pool=POOL.bytes, attempt=lambda _position: 2)
        self.user = SimpleNamespace(row=SimpleNamespace(id=POOL))
        self.inbox = ResultInbox(*cast(Any, (self, self, self, self, self)))
        self.inbox.tell(
            lambda pool, ended: self.told.append((pool, [(one.batch, one.position) for one in ended])),
            lambda _one, details: self.details.append(details),
        )

    def ended(self, pool: bytes, outcomes: list[TaskEnded]) -> None:
        assert pool == POOL.bytes
        self.ended_tasks += outcomes

    def by_prefix(self, prefix: bytes) -> Any:
        return self.batch if prefix == PREFIX else None

    def all_stored(self) -> asyncio.Future[None]:
        if self.stored is None:
            self.stored = asyncio.get_running_loop().create_future()
            self.stored.set_result(None)
        return self.stored

    async def keep(self, body: frames.Body) -> frames.Body:
        if self.trouble is not None:
            raise self.trouble
        return body

    def get(self, pool: bytes) -> Any:
        return self.user if pool == POOL.bytes else None

    def came(self, *bodies: bytes, key: str = KEY) -> None:
        for number, body in enumerate(bodies):
            self.inbox.came(Delivery(body, key, lambda number=number: self.acknowledged.append(number)))  # type: ignore[misc]

    async def quiet(self) -> None:
        while not self.inbox.empty:
            await asyncio.sleep(0)


def result(position: int = 3, prefix: bytes = PREFIX, **data: Any) -> bytes:
    document = {"task_id": task_uuid(prefix, position), "data": "00\ngAROLg==\n", **data}
    return b"\x01" + json.dumps({"message_type": "result", "data": document}).encode()


@live
async def test_a_result_is_told_with_the_attempt_that_counts() -> None:
    around = Around()
    around.came(result(details={"python_version": "3"}))
    await around.quiet()
    (one,) = around.ended_tasks
    assert one[:5] == (5, 3, 2, frames.VALUE, b"\x80\x04N.")
    assert around.told == [(POOL.bytes, [(5, 3)])]
    assert around.details == [{"python_version": "3"}]


@live
async def test_nothing_is_acknowledged_before_it_is_stored() -> None:
    around = Around()
    around.stored = asyncio.get_running_loop().create_future()
    around.came(result(1), result(2))
    await turn()
    assert len(around.ended_tasks) == 2
    assert around.acknowledged == []
    around.stored.set_result(None)
    await around.quiet()
    assert around.acknowledged == [1]  # the last one: it stands for all before it


@live
async def test_what_comes_meanwhile_is_next() -> None:
    around = Around()
    around.stored = asyncio.get_running_loop().create_future()
    around.came(result(1))
    await turn()
    around.came(result(2))
    around.stored.set_result(None)
    await around.quiet()
    assert [one.position for one in around.ended_tasks] == [1, 2]
    assert around.acknowledged == [0, 0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x02{}",
        b"\x01",
        b"\x01{",
        b"\x01[]",
        b"\x01\xff\xfe",
        b'\x01{"message_type": "task", "data": {}}',
        b'\x01{"message_type": "result", "data": {"task_id": "x", "data": ""}}',
        b'\x01{"message_type": "result", "data": {"data": ""}}',
        result()[:-1],
    ],
)
@live
async def test_what_cannot_be_read_is_dropped_and_does_not_come_again(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    around = Around()
    around.came(body, result(7))
    await around.quiet()
    assert [one.position for one in around.ended_tasks] == [7]
    assert around.acknowledged == [1]
    assert "a result is dropped" in caplog.text


@pytest.mark.parametrize("body", [result(3, FOREIGN), result(10)])
@live
async def test_a_task_that_has_ended_or_never_was_is_counted_only(body: bytes) -> None:
    around = Around()
    around.came(body)
    await around.quiet()
    assert around.ended_tasks == []
    assert around.inbox.dropped == 1
    assert around.acknowledged == [0]


@pytest.mark.parametrize(
    "key",
    [names.routing_key(uuid.uuid4(), names.RESULTS), "", "x" * 1000],
    ids=["of another", "none", "long"],
)
@live
async def test_nobody_ends_the_tasks_of_another(key: str, caplog: pytest.LogCaptureFixture) -> None:
    around = Around()
    around.came(result(), key=key)
    await around.quiet()
    assert around.ended_tasks == []
    assert around.acknowledged == [0]
    assert "the task is not there" in caplog.text
    assert "x" * 101 not in caplog.text


@live
async def test_a_user_endpoint_that_is_forgotten_ends_nothing() -> None:
    around = Around()
    around.batch.pool = b"?" * 16
    around.came(result())
    await around.quiet()
    assert around.ended_tasks == []


@live
async def test_what_cannot_be_stored_now_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    around, pauses = Around(), []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        assert around.acknowledged == []
        around.trouble = None

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": pause}))
    around.trouble = ServiceUnavailable("the disk is full")
    around.came(result(1), result(2))
    await around.quiet()
    assert [one.position for one in around.ended_tasks] == [1, 2]
    assert pauses == [1.0]


@live
async def test_the_end_leaves_what_is_not_stored_to_the_next() -> None:
    around = Around()
    await around.inbox.close()
    around.stored = asyncio.get_running_loop().create_future()
    around.came(result())
    await turn()
    await around.inbox.close()
    assert around.inbox.empty
    assert around.acknowledged == []


@given(st.binary(max_size=200) | st.integers(0, len(result())).map(lambda end: result()[:end]))
def test_no_bytes_stop_it(body: bytes) -> None:
    around = Around()

    async def feed() -> None:
        around.came(body, result(9))
        await around.quiet()

    asyncio.run(feed())
    assert around.ended_tasks[-1].position == 9
    assert around.acknowledged == [1]


# -- heartbeats -------------------------------------------------------------------------------------------------


def heartbeat(body: bytes, key: str = names.routing_key(POOL, names.HEARTBEATS)) -> Any:
    return Around().inbox.report(Delivery(body, key, print))


def report(endpoint: uuid.UUID = POOL, **data: Any) -> bytes:
    document = {"message_type": "ep_status_report", "data": {"endpoint_id": str(endpoint), **data}}
    return b"\x01" + json.dumps(document).encode()


def test_a_heartbeat_is_of_the_one_that_sent_it() -> None:
    found = heartbeat(report(global_state={"active": True}))
    assert (found.endpoint_id, found.state) == (POOL, {"active": True})


def test_a_heartbeat_in_the_name_of_another_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    assert heartbeat(report(uuid.uuid4())) is None
    assert "a heartbeat is dropped" in caplog.text


@given(st.binary(max_size=100) | st.integers(0, len(report()) - 1).map(lambda end: report()[:end]))
def test_no_bytes_are_a_heartbeat_by_chance(body: bytes) -> None:
    assert heartbeat(body) is None
