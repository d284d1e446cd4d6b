"""The walltime of tasks."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.pool import worker_handle
from compute_executor.endpoint.pool.scheduling_policy import Assignment, DurationEstimates
from compute_executor.endpoint.worker import messages
from compute_executor.endpoint.worker.begun_log import BegunLog
from compute_executor.errors import ServiceUnavailable
from compute_executor.protocol.frames import TIMEOUT
from tests.endpoint.conftest import Lab, Script
from tests.endpoint.tasks import gone, nothing


def spawn_and_wait(path: str) -> None:
    """Start a child that waits, note its process id, and wait too."""
    import time

    child = subprocess.Popen(["sleep", "60"])
    with open(path + ".part", "w") as file:
        file.write(str(child.pid))
    __import__("os").rename(path + ".part", path)
    time.sleep(60)


def test_a_task_over_its_walltime_is_stopped_with_its_children(lab: Lab, tmp_path: Path) -> None:
    note = tmp_path / "pid"

    async def scenario(script: Script) -> None:
        await script.run(nothing)
        position = script.submit(spawn_and_wait, str(note), walltime=3.0)  # time for it to start its child
        behind = script.submit(nothing)
        began = time.monotonic()
        script.wake()
        reason = await script.result(position)
        assert time.monotonic() - began > 2.9
        assert script.ends[position].status == TIMEOUT
        assert "after 3 s" in reason.message
        assert position in script.begun
        assert not script.losses
        gone([int(note.read_text())])
        assert script.given_back == [behind]
        assert script.kept == {1}, "what the engine has made itself is in no outbox"

    lab(scenario)


def test_a_task_within_its_walltime_is_left_alone(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        positions = [script.submit(len, "ab", walltime=0.3) for _ in range(3)]
        script.wake()
        for position in positions:
            assert await script.result(position) == 2
        pids = script.pids()
        long = script.submit(
            time.sleep, 0.5
        )  # over the time of the tasks before, which are not running any more
        script.wake()
        await script.result(long)
        assert script.pids() == pids

    lab(scenario)


# -- without a process --


class Still:
    """In place of a process: takes everything, says nothing."""

    def __init__(self, *_: Any) -> None:
        self.pid = 1
        self.sent: list[Any] = []
        self.text = b""
        self.while_it_is_looked_at: Callable[[], object] = lambda: None

    def assign(self, setup: Any, owner: Any) -> None:
        pass

    def send_tasks(self, datagram: Any) -> Any:
        return True

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.sent.append((kind, payload))

    def has_output(self) -> bool:
        return True

    def output_ends(self) -> tuple[int, ...]:
        self.while_it_is_looked_at()
        return len(self.text), 0, 0

    def outputs(self, ends: list[tuple[int, ...]]) -> list[Any]:
        return [((out, self.text[:out]), (0, b""), (0, b"")) for out, _, _ in ends]


class Pool:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.back: list[Any] = []
        self.written: list[Any] = []
        self.codes: list[Any] = []

    def handed_back(self, tasks: Any) -> None:
        self.back += tasks

    def code(self, _: int) -> Any:
        code = self.codes.pop(0)
        if isinstance(code, Exception):
            raise code
        return code

    def output(self, key: Any, part: Any) -> None:
        self.written.append((key, part.out))


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(worker_handle, "WorkerProcess", Still)
    return worker_handle.WorkerHandle(Pool(), BegunLog(str(tmp_path / "a.ring")), None, "", b"")  # type: ignore[arg-type]


def test_a_worker_that_hands_back_is_stuck_while_it_has_something_left(handle: Any) -> None:
    tasks = [Assignment(1, position, 1, 1, b"") for position in range(3)]
    handle.give(tasks, DurationEstimates())
    handle.received(messages.RETURNED, messages.pack_keys([task[:3] for task in tasks[1:]]))
    assert handle._events.back == tasks[1:]
    assert handle.occupied


def test_a_worker_whose_long_task_ends_while_it_hands_back_is_free(handle: Any) -> None:
    tasks = [Assignment(1, position, 1, 1, b"") for position in range(3)]
    handle.give(tasks, DurationEstimates())
    handle.remove(tasks[0][:3])  # its result came before the frame that hands back the others
    handle.received(messages.RETURNED, messages.pack_keys([task[:3] for task in tasks[1:]]))
    assert not handle.occupied
    assert handle.has_room()


def test_what_the_next_task_has_written_is_not_taken_for_this_ones(handle: Any) -> None:
    first, second = (Assignment(1, position, 1, 1, b"") for position in range(2))
    handle.give([first, second], DurationEstimates())
    process, log = handle.process, handle.begun_log

    def next_task() -> None:
        log.mark(1, 1, 1)
        process.text += b"two"

    log.mark(1, 0, 1)
    process.text = b"one"
    handle.look_at_output()
    process.while_it_is_looked_at = next_task
    handle.look_at_output()
    assert handle._events.written == []
    process.while_it_is_looked_at = lambda: None
    for _ in range(3):
        handle.look_at_output()  # what the first has written may be in it
    assert handle._events.written == []
    handle.remove(first[:3])
    for _ in range(2):
        handle.look_at_output()
    assert [key for key, _ in handle._events.written] == [second[:3]]


def test_a_function_that_cannot_be_read_is_sent_when_it_can(
    handle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_handle, "CODE_EVERY", 0.0)
    handle._events.codes = [ServiceUnavailable("the database cannot be read now"), b"code"]

    async def scenario() -> None:
        handle.received(messages.FUNCTION, messages.NUMBER.pack(7))
        assert handle.process.sent == []
        while not handle.process.sent:
            await asyncio.sleep(0)

    asyncio.run(scenario())
    ((kind, payload),) = handle.process.sent
    assert kind == messages.CODE
    assert payload.endswith(b"code")
