"""The engine's promises in ordinary times: what workers see, what comes back, who does what, how it ends."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import textwrap
import time

import pytest

from compute_executor.endpoint import process, rings, staff, system
from compute_executor.endpoint.engine import ProcessEngine
from compute_executor.endpoint.worker import FUNCTIONS
from compute_executor.protocol.frames import EXCEPTION, INLINE_LIMIT, VALUE, Blob
from compute_executor.serialization import native, packing, strategies

POOL = b"pool of the test"


def nothing() -> None:
    """The shortest task."""


@pytest.mark.parametrize("uv", [False, True])
def test_values_and_exceptions_come_back_on_either_loop(lab, uv):
    def divide(a, b=1):
        return a / b

    async def scenario(script):
        assert await script.run(divide, 6, b=4) == 1.5
        with pytest.raises(ZeroDivisionError) as caught:
            await script.run(divide, 1, b=0)
        assert "in divide" in str(caught.value.__cause__)
        assert "worker.py" not in str(caught.value.__cause__), "our own frames are left out"
        assert [script.ends[position].status for position in (1, 2)] == [VALUE, EXCEPTION]
        assert script.asked == [0], "a worker asks for a function once"

    script = lab(scenario, uv=uv)
    ended = script.ends[1]
    assert 0 <= ended.ended - ended.began < 5
    assert abs(time.time() - ended.ended) < 60


def test_a_flow_of_short_tasks_all_end_once(lab):
    async def scenario(script):
        positions = [script.submit(nothing) for _ in range(5000)]
        script.wake()
        await script.until(lambda: len(script.ends) == len(positions))
        assert sorted(script.order) == positions

    script = lab(scenario, max_workers=2)
    assert not script.losses
    assert not script.given_back


def test_workers_see_what_the_caller_saw(lab, tmp_path):
    def look():
        import os
        import sys

        return sys.executable, sys.path, os.getcwd(), dict(os.environ), sys.stdin.read(), sys.argv

    (tmp_path / "here").mkdir()
    path = [*sys.path, "/nowhere"]
    environ = {"PATH": os.environ["PATH"], "MY_SETTING": "é"}

    async def scenario(script):
        executable, seen, cwd, variables, stdin, argv = await script.run(look)
        assert executable == sys.executable
        assert seen == path
        assert cwd == str(tmp_path / "here")
        variables.pop("LC_CTYPE", None)  # Python itself may add it
        assert variables == environ
        assert stdin == ""
        assert argv == [""]

    lab(scenario, path=path, environ=environ, cwd=str(tmp_path / "here"))


def test_functions_and_classes_of_the_callers_main_travel_by_value(lab):
    source = """
    class Point:
        def __init__(self, x): self.x = x
    class Mine(Exception):
        def __init__(self, a, b): super().__init__(f"{a} and {b}"); self.a = a
    def helper(x): return Point(x + 1)
    def make(x): return helper(x)
    def fail(): raise Mine(1, 2)
    def whose():
        import __main__
        return sorted(name for name in vars(__main__) if not name.startswith("__"))
    """
    main = {"__name__": "__main__"}
    exec(textwrap.dedent(source), main)

    async def scenario(script):
        point = await script.run(main["make"], 1)
        assert type(point) is main["Point"]
        assert point.x == 2
        with pytest.raises(main["Mine"]) as caught:
            await script.run(main["fail"])
        assert caught.value.a == 1
        assert await script.run(main["whose"]) == [], "nothing of the worker's own is there"

    lab(scenario)


def test_pickling_libraries_are_found_although_the_callers_path_has_none(lab):
    stdlib = [folder for folder in sys.path if "site-packages" not in folder and "work" not in folder]

    def look(x):
        import sys

        return x, sys.path, "cloudpickle" in sys.modules

    async def scenario(script):
        value = await script.run(look, [1])
        assert value == ([1], stdlib, True)

    lab(scenario, path=stdlib)


def test_calls_of_stock_clients_are_run(lab):
    def source_only(a, b=0):
        return a - b

    async def scenario(script):
        script.codes[50] = strategies.dumps_function(source_only, "st").encode()
        text = packing.pack([strategies.dumps((5,), "11"), strategies.dumps({"b": 3}, "11")])
        position = script.assign(50, text.encode())
        script.wake()
        assert await script.result(position) == 2

    lab(scenario)


def test_large_arguments_and_results_are_files(lab):
    async def scenario(script):
        content = native.dumps_call((b"x" * 1_000_000,), {})
        (script.folder / "blobs" / ("0" * 32)).write_bytes(content)
        script.codes[9] = native.dumps(len)
        position = script.assign(9, Blob("0" * 32, len(content)))
        script.wake()
        assert await script.result(position) == 1_000_000
        assert await script.run(bytes, INLINE_LIMIT) == bytes(INLINE_LIMIT)
        body = script.ends[2].body
        assert isinstance(body, Blob)
        assert (script.folder / "blobs" / body.name).stat().st_size == body.size > INLINE_LIMIT
        assert not list((script.folder / "blobs").glob("*.part"))

    lab(scenario)


def test_a_large_function_is_a_file_too(lab):
    async def scenario(script):
        code = native.dumps(len)
        (script.folder / "blobs" / ("1" * 32)).write_bytes(code)
        script.codes[9] = Blob("1" * 32, len(code))
        position = script.assign(9, native.dumps_call(("four",), {}))
        script.wake()
        assert await script.result(position) == 4

    lab(scenario)


def test_a_blob_that_is_not_there_fails_that_task(lab):
    async def scenario(script):
        script.codes[9] = native.dumps(len)
        position = script.assign(9, Blob("2" * 32, 10))
        script.wake()
        with pytest.raises(FileNotFoundError):
            await script.result(position)
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_more_results_than_the_outbox_holds(lab):
    async def scenario(script):
        await script.run(bytes, 1)
        positions = [script.submit(bytes, 60_000) for _ in range(200)]
        script.wake()
        await script.until(lambda: len(script.ends) == 201)
        assert all(script.outcome(position) == bytes(60_000) for position in positions)

    lab(scenario)


def test_beginnings_are_told_for_tasks_that_take_a_while_only(lab, tmp_path):
    gate = tmp_path / "gate"

    def wait(path):
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.001)

    async def scenario(script):
        await script.run(nothing)  # the first one may take a while: imports
        await script.run(nothing)
        assert 2 not in script.begun
        before = time.time()
        position = script.submit(wait, str(gate))
        script.wake()
        await script.until(lambda: position in script.begun)
        assert before <= script.begun[position] < before + 1
        assert (script.batch, position, 1) in rings.begun(script.folder / "rings")
        assert script.engine.workers()[0].task == (script.batch, position)
        assert script.engine.workers()[0].state == "running"
        gate.touch()
        await script.result(position)
        assert script.ends[position].began <= script.begun[position]

    lab(scenario)


def test_the_ring_remembers_what_had_begun_when_everything_is_gone(lab):
    async def scenario(script):
        for _ in range(3):
            await script.run(nothing)

    script = lab(scenario)
    assert rings.begun(script.folder / "rings") == {(script.batch, position, 1) for position in (1, 2, 3)}


def test_a_worker_keeps_a_limited_number_of_functions(lab):
    async def scenario(script):
        functions = [functools.partial(int, str(index)) for index in range(FUNCTIONS + 1)]
        for function in functions:
            script.submit(function)
        script.wake()
        await script.until(lambda: len(script.ends) == len(functions))
        assert await script.run(functions[-1]) == FUNCTIONS
        assert await script.run(functions[0]) == 0
        assert script.asked == [*range(FUNCTIONS + 1), 0], "the least recently used had to be asked for again"

    lab(scenario)


# -- full channels, missing features, the service's own ways --


def test_more_arguments_than_a_task_channel_holds(lab):
    async def scenario(script):
        await script.run(len, b"")
        positions = [script.submit(len, bytes(60_000)) for _ in range(300)]
        script.wake()
        await script.until(lambda: len(script.ends) == 301)
        assert script.order[1:] == positions

    lab(scenario)


def test_more_to_say_at_first_than_a_stream_holds(lab):
    def prepare(data):
        import builtins

        builtins.prepared = len(data)

    def look():
        import builtins

        return builtins.prepared

    async def scenario(script):
        assert await script.run(look) == 5_000_000

    lab(scenario, initializer=native.dumps_call((prepare, (bytes(5_000_000),)), {}))


def test_deaths_are_noticed_without_a_descriptor_for_them(lab, monkeypatch):
    monkeypatch.setattr(system, "death_notice", lambda pid: None)

    async def scenario(script):
        position = script.submit(os._exit, 4)
        script.wake()
        await script.until(lambda: position in script.losses)
        assert script.losses[position].exit_code == 4
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_a_service_that_wakes_the_engine_while_it_takes(lab):
    async def scenario(script):
        take = script.take

        def take_and_wake(pool, limit):
            script.wake()
            return take(pool, limit)

        script.take = take_and_wake
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_a_pool_goes_on_with_the_workers_that_could_be_started(lab, monkeypatch, tmp_path):
    gate = str(tmp_path / "gate")

    def refuse(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    async def scenario(script):
        await script.run(nothing)
        monkeypatch.setattr(process.subprocess, "Popen", refuse)
        positions = [script.submit(wait_for, gate), script.submit(nothing)]
        script.wake()
        await script.until(lambda: positions[0] in script.begun)
        open(gate, "w").close()
        for position in positions:
            await script.result(position)
        assert not script.troubles
        assert len(script.pids()) == 1

    lab(scenario, max_workers=2)


# -- who does what --


def wait_for(path):
    """Run until a file is there."""
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.001)
    return os.getpid()


def test_an_idle_worker_takes_over_what_another_has_not_received(lab, tmp_path):
    gate = str(tmp_path / "gate")

    def open_gate(path):
        import os

        open(path, "w").close()
        return os.getpid()

    async def scenario(script):
        first = script.submit(wait_for, gate)
        second = script.submit(open_gate, gate)
        script.wake()  # both to the only worker there is; another is started, and takes the second
        assert await script.result(first) != await script.result(second)

    lab(scenario, max_workers=2)


def test_what_waits_behind_a_long_task_in_its_chunk_runs_elsewhere(lab, tmp_path):
    gate = str(tmp_path / "gate")

    def step(what=None):
        import os
        import time

        if what == "open":
            open(gate, "w").close()
        while what == "wait" and not os.path.exists(gate):
            time.sleep(0.001)

    async def scenario(script):
        for _ in range(30):
            await script.run(step)  # known to be short from now on
        early = [script.submit(step) for _ in range(10)]
        long = script.submit(step, "wait")
        late = [script.submit(step) for _ in range(10)] + [script.submit(step, "open")]
        script.wake()
        await script.until(lambda: len(script.ends) == 30 + len(early) + len(late) + 1)
        assert script.order[-1] == long or script.order.index(long) > script.order.index(late[-2])
        assert not script.losses

    lab(scenario, max_workers=2)


def test_results_do_not_wait_for_a_long_neighbour(lab, tmp_path):
    gate = tmp_path / "gate"

    def step(path=None):
        import os
        import time

        while path and not os.path.exists(path):
            time.sleep(0.001)

    async def scenario(script):
        for _ in range(30):
            await script.run(step)
        early = [script.submit(step) for _ in range(10)]
        long = script.submit(step, str(gate))
        late = [script.submit(step) for _ in range(10)]
        script.wake()
        await script.until(lambda: set(early) <= set(script.ends))
        assert long not in script.ends
        assert script.engine.withdraw(POOL, [(script.batch, position) for position in late]) or True
        await script.until(lambda: long in script.begun)
        gate.touch()
        await script.result(long)

    lab(scenario, max_workers=1)


def test_withdrawn_tasks_do_not_run(lab, tmp_path):
    gate, trace = str(tmp_path / "gate"), tmp_path / "trace"

    def note(path, text):
        with open(path, "a") as file:
            file.write(text)

    async def scenario(script):
        long = script.submit(wait_for, gate)
        script.wake()
        await script.until(lambda: long in script.begun)
        notes = [script.submit(note, str(trace), str(index)) for index in range(4)]
        script.wake()
        key = (script.batch, notes[0])
        gone = script.engine.withdraw(POOL, [key, (script.batch, long), (99, 99)])
        assert gone <= {key}
        kept = notes[1:] if gone else notes
        open(gate, "w").close()
        await script.until(lambda: set(kept) <= set(script.ends))
        assert gone == ({key} if notes[0] not in script.ends else set())
        assert trace.read_text() == ("123" if gone else "0123")
        assert script.engine.withdraw(b"unknown", [key]) == set()

    lab(scenario)


def test_a_task_queued_behind_a_running_one_can_be_withdrawn(lab, tmp_path):
    gate = str(tmp_path / "gate")

    async def scenario(script):
        long, behind = script.submit(wait_for, gate), script.submit(wait_for, gate)
        script.wake()
        await script.until(lambda: long in script.begun)
        key = (script.batch, behind)
        assert script.engine.withdraw(POOL, [key]) == {key}
        open(gate, "w").close()
        await script.result(long)
        assert behind not in script.ends

    lab(scenario)


def test_all_workers_are_used_and_no_more(lab, tmp_path):
    gate = str(tmp_path / "gate")

    async def scenario(script):
        positions = [script.submit(wait_for, gate) for _ in range(6)]
        script.wake()
        await script.until(lambda: len(script.begun) == 3)
        assert len(script.pids()) == 3
        open(gate, "w").close()
        assert len({await script.result(position) for position in positions}) == 3

    lab(scenario, max_workers=3)


def test_idle_workers_are_let_go_but_for_one(lab, monkeypatch, tmp_path):
    monkeypatch.setattr(staff, "IDLE_AFTER", 0.1)
    gate = str(tmp_path / "gate")

    async def scenario(script):
        positions = [script.submit(wait_for, gate) for _ in range(3)]
        script.wake()
        await script.until(lambda: len(script.begun) == 3)
        open(gate, "w").close()
        for position in positions:
            await script.result(position)
        while len(script.pids()) > 1:
            await asyncio.sleep(0.02)
        assert await script.run(nothing) is None

    lab(scenario, max_workers=3)


# -- initializer --


def test_the_initializer_runs_once_in_each_worker_before_its_tasks(lab):
    def prepare(value):
        import builtins

        builtins.prepared = (*getattr(builtins, "prepared", ()), value)

    def look():
        import builtins

        return builtins.prepared

    async def scenario(script):
        assert await script.run(look) == (5,)
        assert await script.run(look) == (5,)

    lab(scenario, initializer=native.dumps_call((prepare, (5,)), {}))


def test_an_initializer_that_raises_breaks_the_pool(lab):
    def fail(text):
        raise ValueError(text)

    async def scenario(script):
        script.submit(nothing)
        script.wake()
        await script.until(lambda: script.troubles)
        assert "the initializer raised ValueError: no licence" in script.troubles[0]
        assert "in fail" in script.troubles[0]
        assert script.given_back == [1] or script.todo
        script.wake()  # has no effect any more
        assert len(script.troubles) == 1

    lab(scenario, initializer=native.dumps_call((fail, ("no licence",)), {}))


def test_an_interpreter_that_cannot_be_run_breaks_the_pool(lab):
    async def scenario(script):
        await script.until(lambda: script.troubles)
        assert "/no/such/python cannot be run" in script.troubles[0]

    lab(scenario, python="/no/such/python")


def test_a_working_directory_that_is_gone_breaks_the_pool(lab):
    async def scenario(script):
        await script.until(lambda: script.troubles)
        assert "working directory /no/such/folder is gone" in script.troubles[0]

    lab(scenario, cwd="/no/such/folder")


def test_an_interpreter_that_dies_at_the_start_breaks_the_pool(lab, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'this is no python' >&2\nexit 3\n")
    python.chmod(0o755)

    async def scenario(script):
        script.submit(nothing)
        script.wake()
        await script.until(lambda: script.troubles)
        assert "exited with code 3, 3 times" in script.troubles[0]
        assert "this is no python" in script.troubles[0]
        await script.until(lambda: not script.pids())

    lab(scenario, python=str(python))


# -- the end --


def test_a_closed_pool_finishes_its_work_and_ends(lab):
    async def scenario(script):
        positions = [script.submit(nothing) for _ in range(500)]
        script.wake()
        script.engine.close_pool(POOL)
        script.engine.close_pool(b"unknown")
        await script.until(lambda: len(script.ends) == len(positions))
        while script.engine.workers():
            await asyncio.sleep(0.01)
        script.wake()

    lab(scenario)


def test_closing_stops_what_runs_and_returns_what_does_not(lab, tmp_path):
    def stubborn(path):
        import signal
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(path, "w").close()
        time.sleep(60)

    async def scenario(script):
        script.submit(stubborn, str(tmp_path / "deaf"))
        script.submit(stubborn, str(tmp_path / "deaf"))
        script.wake()
        await script.until(lambda: 1 in script.begun)
        while not (tmp_path / "deaf").exists():
            await asyncio.sleep(0.01)

    script = lab(scenario)
    assert script.given_back == [2]
    assert script.losses[1].exit_code == -signal.SIGKILL
    assert "its pool was stopped" in script.losses[1].message


def test_opening_twice_is_opening_once(lab):
    async def scenario(script):
        await script.run(nothing)
        pids = script.pids()
        script.engine.open(POOL, None)
        assert script.pids() == pids

    lab(scenario)


def test_an_engine_without_pools_closes(tmp_path):
    async def scenario():
        await ProcessEngine(None, blob_folder=tmp_path, ring_folder=tmp_path).close()

    asyncio.run(scenario())
