"""Everything a task can do to its worker, and what must be left of it: that task's trouble, nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compute_executor.endpoint.output import LIMIT
from compute_executor.errors import SerializationError
from compute_executor.protocol.frames import TIMEOUT


def nothing() -> None:
    """The shortest task."""


def die(how: str) -> None:
    """End this process in the named way."""
    import os
    import signal

    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), getattr(signal, how))


DEATHS = [("exit", 3), ("SIGKILL", -9), ("SIGSEGV", -11), ("SIGABRT", -6), ("SIGTERM", -15)]


@pytest.mark.parametrize("uv", [False, True])
@pytest.mark.parametrize(("how", "exit_code"), DEATHS)
def test_a_task_that_kills_its_worker_is_lost_alone(lab, how, exit_code, uv):
    def step(how=None):
        if how:
            die(how)

    async def scenario(script):
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


def test_ten_deaths_in_a_row_break_nothing(lab):
    async def scenario(script):
        for _ in range(10):
            killer = script.submit(die, "SIGKILL")
            script.wake()
            await script.until(lambda killer=killer: killer in script.losses)
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_native_crashes_leave_their_traceback_in_the_output(lab):
    def crash():
        import ctypes

        ctypes.string_at(0)

    async def scenario(script):
        position = script.submit(crash)
        script.wake()
        await script.until(lambda: script.losses)
        assert "SIGSEGV" in script.losses[position].message
        assert b"in crash" in script.texts[position]

    lab(scenario)


def test_endless_recursion_in_native_code_is_a_death_of_that_task(lab):
    def recurse():
        import sys

        class Endless:
            def __repr__(self):
                return repr(self)

        sys.setrecursionlimit(1 << 30)
        repr(Endless())

    async def scenario(script):
        position = script.submit(recurse)
        script.wake()
        await script.until(lambda: script.losses or script.ends)
        assert position in script.losses or position in script.ends  # 3.12 and later raise RecursionError
        assert await script.run(len, "ab") == 2

    lab(scenario)


def raising(name: str) -> None:
    """Raise an exception that is no Exception, or another that is hard to handle."""
    import builtins

    if name == "RecursionError":
        raising(name)
    if name == "MemoryError":
        bytearray(1 << 60)
    raise getattr(builtins, name)(4)


@pytest.mark.parametrize(
    "name",
    ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException", "RecursionError", "MemoryError"],
)
def test_whatever_is_raised_is_the_outcome(lab, name):
    async def scenario(script):
        pid = script.pids() or [0]
        with pytest.raises(BaseException) as caught:
            await script.run(raising, name)
        assert type(caught.value).__name__ == name
        if name == "SystemExit":
            assert caught.value.code == 4
        assert await script.run(len, "ab") == 2
        assert pid in ([0], script.pids()), "the worker lives on"

    lab(scenario)


def test_memory_that_runs_out_is_that_tasks_error(lab):
    def fill():
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
        block = []
        while True:
            block.append(bytearray(1 << 24))

    async def scenario(script):
        with pytest.raises(MemoryError):
            await script.run(fill)
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_results_that_cannot_be_pickled(lab):
    class Exits:
        def __reduce__(self):
            raise SystemExit(1)

    class ExitsInside(Exception):
        def __reduce__(self):
            raise SystemExit(1)

        def __str__(self):
            raise KeyboardInterrupt

    def lock():
        import threading

        return threading.Lock()

    def hard_to_raise():
        raise ExitsInside

    async def scenario(script):
        with pytest.raises(SerializationError, match="lock"):
            await script.run(lock)
        with pytest.raises(SystemExit):
            await script.run(lambda: Exits())
        with pytest.raises(Exception, match="cannot be described"):
            await script.run(hard_to_raise)
        assert len(script.pids()) == 1
        assert not script.losses

    lab(scenario)


def test_arguments_and_functions_that_cannot_be_read(lab):
    async def scenario(script):
        script.codes[70] = b"\x80\x05 no pickle"
        bad_function = script.assign(70, b"\x00\x00\x00\x04\x80\x05).")
        script.codes[71] = script.codes.get(71) or __import__("pickle").dumps(len)
        bad_call = script.assign(71, b"\x00\x00\x00\x04\x80\x05!!")
        empty = script.assign(71, b"")
        script.wake()
        for position in (bad_function, bad_call, empty):
            with pytest.raises(Exception, match=r"."):
                await script.result(position)
        assert not script.losses

    lab(scenario)


def test_closing_the_descriptors_one_can_see(lab, tmp_path):
    def close_them():
        import os

        os.closerange(0, 21)

    def write(path):
        import os

        with open(path, "w") as file:
            print("to the output")
            os.system("echo from a child")
            file.write("to the file")

    async def scenario(script):
        await script.run(close_them)
        position = script.submit(write, str(tmp_path / "file"))
        script.wake()
        await script.result(position)
        assert (tmp_path / "file").read_text() == "to the file"
        assert sorted(script.texts[position].split(b"\n")) == [b"", b"from a child", b"to the output"]
        assert not script.losses

    lab(scenario)


def test_closing_all_descriptors_costs_only_that_task(lab):
    def close_all():
        import os

        os.closerange(0, 10_000)

    async def scenario(script):
        position = script.submit(close_all)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert await script.run(len, "ab") == 2

    lab(scenario)


@pytest.mark.parametrize("wrong", ["sys.stdout.close()", "sys.stdout = None", "sys.stdout = sys.stderr = 5"])
def test_a_broken_stdout_is_mended(lab, wrong):
    def spoil(code):
        import sys  # noqa: F401

        exec(code)

    async def scenario(script):
        await script.run(spoil, wrong)
        position = script.submit(print, "hello")
        script.wake()
        await script.result(position)
        assert script.texts[position] == b"hello\n"

    lab(scenario)


@pytest.mark.parametrize("ending", ["return", "raise"])
def test_a_forked_child_that_comes_back_leaves(lab, ending):
    def fork(ending):
        import os

        pid = os.fork()
        if pid == 0 and ending == "raise":
            raise ValueError("in the child")
        if pid == 0:
            return "child"
        return os.waitpid(pid, 0)[1]

    async def scenario(script):
        assert await script.run(fork, ending) == 0
        assert await script.run(fork, ending) == 0
        assert script.order == [1, 2]

    lab(scenario)


def test_a_forked_child_that_stays_does_not_hide_the_death(lab):
    def fork():
        import os
        import signal
        import time

        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    async def scenario(script):
        began = time.monotonic()
        position = script.submit(fork)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert time.monotonic() - began < 5

    lab(scenario)


def test_threads_and_directory_changes_stay_as_in_a_thread_pool(lab, tmp_path):
    def change(path):
        import os
        import threading

        os.chdir(path)
        threading.Thread(target=threading.Event().wait, daemon=True).start()

    def look():
        import os
        import threading

        return os.getcwd(), threading.active_count()

    async def scenario(script):
        await script.run(change, str(tmp_path))
        assert await script.run(look) == (str(tmp_path), 2)

    lab(scenario)


def test_a_thread_that_never_ends_does_not_keep_the_worker(lab):
    def start():
        import threading

        threading.Thread(target=threading.Event().wait).start()

    async def scenario(script):
        await script.run(start)

    lab(scenario)  # closing asserts that the worker is gone within two seconds


# -- output --


def test_output_belongs_to_the_task_that_wrote_it(lab):
    def write(text):
        import os
        import sys

        print(text)
        print("also", text, file=sys.stderr)
        sys.stdout.flush()
        os.system(f"echo child of {text}")

    async def scenario(script):
        positions = [script.submit(write, str(index)) for index in range(3)]
        quiet = script.submit(nothing)
        script.wake()
        for position in [*positions, quiet]:
            await script.result(position)
        for index, position in enumerate(positions):
            lines = script.texts[position].decode().splitlines()
            assert sorted(lines) == sorted([str(index), f"also {index}", f"child of {index}"])
        assert quiet not in script.texts

    lab(scenario)


def test_a_flood_of_output_is_cut_to_its_end(lab):
    def flood():
        import sys

        sys.stdout.write("x" * 50_000_000 + "end")

    async def scenario(script):
        await script.run(flood)
        first, _, rest = script.texts[1].partition(b"\n")
        assert first == b"[%d bytes dropped]" % (50_000_003 - LIMIT)
        assert len(rest) == LIMIT
        assert rest.endswith(b"xend")
        await script.run(nothing)
        assert 2 not in script.texts

    lab(scenario)


def test_the_last_words_of_a_worker_are_reported(lab):
    def speak_and_die():
        import os

        os.write(1, b"I was here")
        os._exit(1)

    async def scenario(script):
        position = script.submit(speak_and_die)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert script.texts[position] == b"I was here"
        assert "I was here" in script.losses[position].message

    lab(scenario)


# -- walltime --


def spawn_and_wait(path: str) -> None:
    """Start a child that waits, note its process id, and wait too."""
    import subprocess
    import time

    child = subprocess.Popen(["sleep", "60"])
    with open(path + ".part", "w") as file:
        file.write(str(child.pid))
    __import__("os").rename(path + ".part", path)
    time.sleep(60)


def test_a_task_over_its_walltime_is_stopped_with_its_children(lab, tmp_path):
    note = tmp_path / "pid"

    async def scenario(script):
        await script.run(nothing)
        position = script.submit(spawn_and_wait, str(note), walltime=0.5)
        behind = script.submit(nothing)
        began = time.monotonic()
        script.wake()
        reason = await script.result(position)
        assert 0.4 < time.monotonic() - began < 2
        assert script.ends[position].status == TIMEOUT
        assert "after 0.5 s" in reason.message
        assert position in script.begun
        assert not script.losses
        gone([int(note.read_text())])
        assert script.given_back == [behind]

    lab(scenario)


def test_a_task_within_its_walltime_is_left_alone(lab):
    async def scenario(script):
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


# -- the service dies --


SERVICE = """
import asyncio, os, sys
from pathlib import Path
from compute_executor.endpoint.engine import ProcessEngine, Assignment
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


def test_workers_and_their_children_die_with_the_service(tmp_path):
    note = tmp_path / "pids"
    root = str(Path(__file__).parents[2])
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


def gone(pids: list[int]) -> None:
    """Wait until none of the processes exists but as a zombie."""
    deadline = time.monotonic() + 2
    while left := [pid for pid in pids if _state(pid) not in ("", "Z")]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""
