"""Against the real embedded service, with and without its stream: the same outcomes by HTTP."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from compute_executor.batch import CallBatch, Target
from compute_executor.errors import NotFound, ServiceUnavailable, WorkerLost
from compute_executor.executor import Executor
from compute_executor.future import ComputeFuture
from compute_executor.local.locks import living
from compute_executor.local.state import state_folder
from compute_executor.protocol.frames import LOST, Options, Reason, Result
from compute_executor.protocol.ids import new_prefix
from compute_executor.session.stream import http_fallback, loop
from compute_executor.session.stream.protocol import StreamProtocol
from compute_executor.session.stream.websocket import WebSocketStream, connect
from tests.login import api_at
from tests.sdk.conftest import Reply, ScriptedService

PATIENCE = 30.0
REASON = msgspec.msgpack.encode(Reason("its worker died", -9, True, 1))


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    scripted = ScriptedService()
    yield scripted
    scripted.close()


@pytest.fixture
def no_stream(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The stream cannot be opened while the list is not empty."""
    blocked = [True]

    def refuse(*args: Any) -> WebSocketStream:
        if blocked:
            raise ServiceUnavailable("a proxy does not like WebSockets")
        return connect(*args)

    monkeypatch.setattr(loop, "connect", refuse)
    return blocked


def test_everything_by_http(no_stream: list[bool]) -> None:
    with Executor(max_workers=2) as executor:
        futures = [executor.submit(pow, n, 2) for n in range(300)]
        failing = executor.submit(divmod, 1, 0)

        assert [future.result(PATIENCE) for future in futures] == [n * n for n in range(300)]
        with pytest.raises(ZeroDivisionError):
            failing.result(PATIENCE)
        assert executor.submit(len, b"x" * 200_000).result(PATIENCE) == 200_000


def test_much_is_asked_about_in_parts(service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_fallback, "MAX_POLL", 2)
    prefix = new_prefix()
    lost = [
        msgspec.msgpack.encode([Result(0, prefix, position, LOST, REASON) for position in positions])
        for positions in ([0, 1], [2])
    ]
    service.on("POST /v2/batch_status", *(Reply(200, body=body) for body in lost))
    target = Target(b"", None, Options())
    futures: list[ComputeFuture[Any]] = [ComputeFuture() for _ in range(3)]
    talk = StreamProtocol(b"g" * 16, None, None, lambda _: None)
    talk.adopt(b"g" * 16, [CallBatch(target, [], list(futures), prefix)])
    http_fallback.exchange(talk, api_at(service.url), [])
    assert [msgspec.msgpack.decode(seen.body) for seen in service.seen] == [
        [[prefix, [0, 1]]],
        [[prefix, [2]]],
    ]
    assert [type(future.exception(0)) for future in futures] == [WorkerLost] * 3


def test_back_to_the_stream(no_stream: list[bool]) -> None:
    with Executor(max_workers=2) as executor:
        assert executor.submit(abs, -1).result(PATIENCE) == 1
        assert "stream: not connected" in repr(executor)
        no_stream.clear()
        assert executor.submit(abs, -2).result(PATIENCE) == 2
        assert executor.submit(time.sleep, 0).result(PATIENCE) is None
        assert "stream: connected" in repr(executor)


def test_a_refusal_by_http(no_stream: list[bool]) -> None:
    with Executor(max_workers=2) as executor:
        unknown = executor.submit_to_registered_function("00000000-0000-4000-8000-000000000000")
        fine = executor.submit(abs, -1)

        with pytest.raises(NotFound):
            unknown.result(PATIENCE)
        assert fine.result(PATIENCE) == 1


def test_cancelling_in_a_callback() -> None:
    with Executor(max_workers=1) as executor:
        begun, first = threading.Event(), executor.submit(time.sleep, 0.05)
        waiting = executor.submit(time.sleep, 0)
        answers: list[bool] = []

        def cancel(_: Any) -> None:
            answers.append(late.cancel())
            begun.set()

        blocker = executor.submit(time.sleep, 0.5)
        late = executor.submit(time.sleep, 0)
        first.add_done_callback(cancel)
        assert begun.wait(PATIENCE)
        assert answers == [late.cancelled()]
        waiting.result(PATIENCE)
        blocker.result(PATIENCE)


def test_a_group_is_found_again() -> None:
    with Executor(max_workers=2) as executor:
        assert list(executor.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
        assert executor.submit(divmod, 1, 0).exception(PATIENCE) is not None
        group = executor.task_group_id
    with Executor() as other:
        futures = other.reload_tasks(group)
        outcomes = sorted(repr(future.exception(PATIENCE) or future.result()) for future in futures)
        assert outcomes == [
            "1",
            "2",
            "3",
            "4",
            "5",
            "ZeroDivisionError('integer division or modulo by zero')",
        ]
        assert other.task_group_id == group
        with pytest.raises(NotFound, match="there is no task group"):
            other.reload_tasks("00000000-0000-4000-8000-000000000000")
        with pytest.raises(ValueError, match="is no task group id"):
            other.reload_tasks("no id")


def kill_the_service() -> None:
    service = living(state_folder())
    assert service is not None
    os.kill(service.pid, signal.SIGKILL)


@pytest.mark.slow
def test_side_requests_wait_out_a_service_that_was_killed() -> None:
    """It is killed while its connections are kept open, and is started again by the next request."""
    with Executor(max_workers=1) as executor:
        assert executor.submit(abs, -1).result(PATIENCE) == 1
        function_id = executor.register_function(pow)
        group = executor.task_group_id
        kill_the_service()
        assert executor.register_function(pow) == function_id
        kill_the_service()
        with Executor() as other:
            assert [future.result(PATIENCE) for future in other.reload_tasks(group)] == [1]
        kill_the_service()
        assert executor.submit(len, b"x" * 200_000).result(PATIENCE) == 200_000


def test_what_is_open_here_is_not_reloaded() -> None:
    with Executor(max_workers=2) as executor:
        future = executor.submit(time.sleep, 1)
        executor.submit(abs, 1).result(PATIENCE)
        assert future.task_id not in {other.task_id for other in executor.reload_tasks()}
        future.result(PATIENCE)


def test_a_registered_function_runs_by_its_id() -> None:
    data = b"x" * 100_000
    with Executor(max_workers=1) as executor:
        small = executor.register_function(pow)
        assert executor.register_function(pow) == small
        large = executor.register_function(lambda n: len(data) + n, description="large")

        assert executor.submit_to_registered_function(small, (2, 5)).result(PATIENCE) == 32
        assert executor.submit_to_registered_function(large, [1]).result(PATIENCE) == 100_001
        keyword = executor.submit_to_registered_function(small, (2,), {"exp": 3})
        assert keyword.result(PATIENCE) == 8
