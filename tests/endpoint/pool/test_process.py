"""How worker processes end, and what else can happen to their channels."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from compute_executor import system
from compute_executor.endpoint.pool import process
from compute_executor.endpoint.pool.pool import WorkerPool
from compute_executor.endpoint.pool.worker_handle import WorkerHandle
from compute_executor.endpoint.worker import messages
from compute_executor.serialization import native
from tests.endpoint.conftest import PATIENCE, Lab, Script
from tests.endpoint.tasks import POOL, gone


def die(how: str) -> None:
    """End this process in the named way."""
    import os
    import signal

    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), getattr(signal, how))


DEATHS = [("exit", 3), ("SIGKILL", -9), ("SIGSEGV", -11), ("SIGABRT", -6), ("SIGTERM", -15)]


SERVICE = """
import asyncio, os, sys
from pathlib import Path
from compute_executor.endpoint.pool.engine import ProcessEngine
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.protocol.frames import PoolSpec
from compute_executor.serialization import native

def spawn(path):
    import os, subprocess, time
    child = subprocess.Popen(["sleep", "60"])
    Path(path + ".part").write_text(f"{os.getpid()} {child.pid}")
    os.rename(path + ".part", path)
    while True: time.sleep(1)

class Events:
    def __init__(self): self.todo = [Assignment(1, 0, 1, 0, native.dumps_call((sys.argv[1],), {}))]
    def take(self, pool, limit): return [self.todo.pop()] if self.todo else []
    def function_code(self, number): return native.dumps(spawn)
    def began(self, *_): pass
    def output(self, *_): pass

async def main():
    engine = ProcessEngine(Events(), blob_folder=sys.argv[2], ring_folder=sys.argv[2])
    engine.open(b"p", PoolSpec(2, sys.executable, sys.path, os.getcwd(), dict(os.environ)))
    engine.wake(b"p")
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("uv", [False, True])
@pytest.mark.parametrize(("how", "exit_code"), DEATHS)
def test_a_task_that_kills_its_worker_is_lost_alone(lab: Lab, how: Any, exit_code: Any, uv: Any) -> None:
    def step(how: Any = None) -> None:
        if how:
            die(how)

    async def scenario(script: Script) -> None:
        for _ in range(30):
            await script.run(step)  # short, so that the next ones share chunks
        before = [script.submit(step) for _ in range(20)]
        killer = script.submit(step, how)
        after = [script.submit(step) for _ in range(20)]
        script.wake()
        await script.until(lambda: script.losses)
        assert list(script.losses) == [killer]
        reason = script.losses[killer]
        assert reason.exit_code == exit_code
        assert reason.began
        assert "worker process" in reason.message
        assert set(before) <= set(script.ends), "what was finished is not lost with the worker"
        back, script.given_back = script.given_back, []
        assert set(back) <= set(after)
        again = [script.submit(step) for _ in back]  # what the service does with them
        script.wake()
        await script.until(lambda: set(again) | set(after) - set(back) <= set(script.ends))
        assert list(script.losses) == [killer]

    lab(scenario, uv=uv)


@pytest.mark.slow
def test_ten_deaths_in_a_row_break_nothing(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        for _ in range(10):
            killer = script.submit(die, "SIGKILL")
            script.wake()
            await script.until(lambda killer=killer: killer in script.losses)  # type: ignore[misc]
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_native_crashes_leave_their_traceback_in_the_output(lab: Lab) -> None:
    def crash() -> None:
        import ctypes

        ctypes.string_at(0)

    async def scenario(script: Script) -> None:
        position = script.submit(crash)
        script.wake()
        await script.until(lambda: script.losses)
        assert "SIGSEGV" in script.losses[position].message
        assert b"in crash" in script.texts[position]

    lab(scenario)


def test_endless_recursion_in_native_code_is_a_death_of_that_task(lab: Lab) -> None:
    def recurse() -> None:
        import sys

        class Endless:
            def __repr__(self) -> Any:
                return repr(self)

        sys.setrecursionlimit(1 << 30)
        repr(Endless())

    async def scenario(script: Script) -> None:
        position = script.submit(recurse)
        script.wake()
        await script.until(lambda: script.losses or script.ends)
        assert position in script.losses or position in script.ends  # 3.12 and later raise RecursionError
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_closing_all_descriptors_costs_only_that_task(lab: Lab) -> None:
    def close_all() -> None:
        import os

        os.closerange(0, 10_000)

    async def scenario(script: Script) -> None:
        position = script.submit(close_all)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_a_forked_child_that_stays_does_not_hide_the_death(lab: Lab) -> None:
    def fork() -> None:
        import os
        import signal
        import time

        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    async def scenario(script: Script) -> None:
        began = time.monotonic()
        position = script.submit(fork)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert time.monotonic() - began < 5

    lab(scenario)


def test_workers_and_their_children_die_with_the_service(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    root = str(Path(__file__).parents[3])
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(note), str(tmp_path)], env=os.environ | {"PYTHONPATH": root}
    )
    try:
        deadline = time.monotonic() + 15
        while not note.exists():
            assert time.monotonic() < deadline
            assert service.poll() is None
            time.sleep(0.01)
        pids = [int(pid) for pid in note.read_text().split()]
    finally:
        service.send_signal(signal.SIGKILL)
        service.wait()
    gone(pids)


def test_more_to_say_at_first_than_a_stream_holds(lab: Lab) -> None:
    def prepare(data: Any) -> None:
        import builtins

        builtins.prepared = len(data)  # type: ignore[attr-defined]

    def look() -> Any:
        import builtins

        return builtins.prepared  # type: ignore[attr-defined]

    async def scenario(script: Script) -> None:
        assert await script.run(look) == 5_000_000

    lab(scenario, initializer=native.dumps_call((prepare, (bytes(5_000_000),)), {}))


def test_deaths_are_noticed_without_a_descriptor_for_them(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "death_notice", lambda pid: None)

    async def scenario(script: Script) -> None:
        position = script.submit(os._exit, 4)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert script.losses[position].exit_code == 4
        assert await script.run(len, "ab") == 2

    lab(scenario)


async def ended(script: Script) -> None:
    """Wait for the last worker's end, of which no report tells."""
    deadline = time.monotonic() + PATIENCE
    while script.engine.workers():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_a_worker_that_is_let_go_ends_in_order(lab: Lab, tmp_path: Path) -> None:
    """Its atexit functions run, files are flushed, threads that are no daemons come to their end."""

    def prepare(folder: str) -> int:
        import atexit
        import builtins
        import os
        import threading
        import time

        builtins.kept_open = open(os.path.join(folder, "file"), "w")  # type: ignore[attr-defined]  # noqa: SIM115
        builtins.kept_open.write("flushed")  # type: ignore[attr-defined]

        def thread() -> None:
            time.sleep(0.3)
            with open(os.path.join(folder, "thread"), "w") as file:
                file.write("joined")

        def at_exit() -> None:
            time.sleep(1.0)  # longer than a worker has while its service ends
            with open(os.path.join(folder, "atexit"), "w") as file:
                file.write("run")

        threading.Thread(target=thread).start()
        atexit.register(at_exit)
        return os.getpid()

    async def scenario(script: Script) -> None:
        await script.run(prepare, str(tmp_path))
        script.engine.close_pool(POOL)
        await ended(script)
        found = {name: (tmp_path / name).read_text() for name in ("file", "thread", "atexit")}
        assert found == {"file": "flushed", "thread": "joined", "atexit": "run"}

    lab(scenario)


def test_a_worker_that_does_not_come_to_an_end_is_ended(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "IN_ORDER", 0.2)

    def stay() -> None:
        import signal
        import threading

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Thread(target=threading.Event().wait).start()

    async def scenario(script: Script) -> None:
        await script.run(stay)
        script.engine.close_pool(POOL)
        await ended(script)

    lab(scenario)


def test_a_task_that_writes_into_the_stream_costs_its_worker_only(lab: Lab) -> None:
    def write(garbage: bytes) -> None:
        import os
        import time

        for file in range(100, 110):
            try:
                os.write(file, garbage)
            except OSError:
                continue
        time.sleep(60)

    async def scenario(script: Script) -> None:
        for garbage in (b"\xff" * 64, bytes([99, 0, 0, 0, 0]), bytes([2, 1, 0, 0, 0, 7])):
            position = script.submit(write, garbage)
            script.wake()
            await script.until(lambda position=position: position in script.losses)  # type: ignore[misc]
            assert await script.run(len, "ab") == 2

    lab(scenario)


def test_a_task_that_writes_over_its_results_costs_its_worker_only(lab: Lab) -> None:
    def write() -> None:
        import os

        for file in (103, 104):  # result ring, log records
            os.pwrite(file, b"\xff" * 64, 0)
        os._exit(1)

    async def scenario(script: Script) -> None:
        position = script.submit(write)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_what_a_worker_has_done_while_the_loop_was_busy_is_read_in_turns(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TURN", -1.0)  # over after each frame
    turns, received = [0], []
    take = WorkerHandle.received

    def note(self: WorkerHandle, kind: int, payload: bytes) -> None:
        received.append(turns[0])
        take(self, kind, payload)

    async def scenario(script: Script) -> None:
        loop = asyncio.get_running_loop()

        def count() -> None:
            turns[0] += 1
            loop.call_soon(count)

        for _ in range(3):  # the worker knows the function, and how long it takes is known
            await script.run(time.sleep, 0.001)
        monkeypatch.setattr(WorkerHandle, "received", note)
        positions = [script.submit(time.sleep, 0.001) for _ in range(8)]
        count()
        script.wake()
        time.sleep(0.1)  # the loop is busy
        await script.until(lambda: all(position in script.ends for position in positions))

    lab(scenario)
    assert len(received) > 1
    assert len(set(received)) == len(received)


def test_workers_are_fed_once_for_all_that_is_dealt_with_in_a_turn(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TURN", 1e9)
    finished, feeds = WorkerPool.finished, WorkerPool.feed
    told: list[str] = []

    def finish(self: WorkerPool, *of: Any) -> None:
        told.append("finished")
        finished(self, *of)

    def feed(self: WorkerPool) -> None:
        told.append("fed")
        feeds(self)

    async def scenario(script: Script) -> None:
        for _ in range(3):  # the worker knows the function, and how long it takes is known
            await script.run(time.sleep, 0.001)
        monkeypatch.setattr(WorkerPool, "finished", finish)
        monkeypatch.setattr(WorkerPool, "feed", feed)
        positions = [script.submit(time.sleep, 0.001) for _ in range(8)]
        script.wake()
        told.clear()
        time.sleep(0.1)  # the loop is busy
        await script.until(lambda: all(position in script.ends for position in positions))

    lab(scenario, max_workers=1)
    assert told[:3] == ["finished", "finished", "fed"]


def test_frames_behind_one_that_fails_are_heard(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TURN", -1.0)  # over after each frame
    take, fails = WorkerHandle.received, [True]

    def fail_once(self: WorkerHandle, kind: int, payload: bytes) -> None:
        if fails and kind == messages.BEGAN:
            fails.clear()
            raise RuntimeError("once")
        take(self, kind, payload)

    async def scenario(script: Script) -> None:
        await script.run(len, "ab")
        monkeypatch.setattr(WorkerHandle, "received", fail_once)
        position = script.submit(len, "abc", walltime=30.0)  # its begin is told, too
        script.wake()
        assert await script.result(position) == 3
        assert await script.run(len, "ab") == 2

    lab(scenario)
    assert not fails


def leave_daemons(path: str) -> None:
    """Start processes in sessions of their own, by a parent that lives on and by one that does not, and wait."""
    import os
    import subprocess
    import sys
    import time

    daemon = "subprocess.Popen(['sleep', '300'], start_new_session=True, stdout=subprocess.DEVNULL)"
    twice = f"import subprocess; print({daemon}.pid)"
    kept = subprocess.Popen(["sleep", "300"], start_new_session=True)
    orphan = subprocess.run([sys.executable, "-c", twice], stdout=subprocess.PIPE, text=True, check=True)
    with open(path + ".part", "w") as file:
        file.write(f"{kept.pid} {orphan.stdout.strip()}")
    os.rename(path + ".part", path)
    while not os.path.exists(path + ".end"):
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux tells who comes from whom")
@pytest.mark.parametrize("how", ["time limit", "end of the pool"])
def test_what_has_left_the_session_ends_with_its_worker(lab: Lab, tmp_path: Path, how: str) -> None:
    path = tmp_path / "pids"

    async def scenario(script: Script) -> None:
        limit = 5.0 if how == "time limit" else None  # time to start them
        position = script.submit(leave_daemons, str(path), walltime=limit)
        script.wake()
        if how == "end of the pool":
            await script.until(lambda: script.pids())
            while not path.exists():
                await asyncio.sleep(0.01)
            path.with_name("pids.end").touch()
        await script.until(lambda: position in script.ends)
        script.engine.close_pool(POOL)
        await ended(script)
        gone([int(pid) for pid in path.read_text().split()])

    lab(scenario)
