"""What tasks see and do inside a worker, and what comes back of it."""

from __future__ import annotations

import functools
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.worker.worker import FUNCTIONS
from compute_executor.errors import SerializationError
from compute_executor.protocol.frames import INLINE_LIMIT, Blob
from compute_executor.serialization import native, packing, strategies
from compute_executor.surroundings import pack
from tests.endpoint.conftest import Lab, Script


def test_workers_see_what_the_caller_saw(lab: Lab, tmp_path: Path) -> None:
    def look() -> Any:
        import os
        import sys

        return sys.executable, sys.path, os.getcwd(), dict(os.environ), sys.stdin.read(), sys.argv

    (tmp_path / "here").mkdir()
    path = [*sys.path, "/nowhere"]
    environ = {"PATH": os.environ["PATH"], "MY_SETTING": "é"}

    async def scenario(script: Script) -> None:
        executable, seen, cwd, variables, stdin, argv = await script.run(look)
        assert executable == sys.executable
        assert seen == path
        assert cwd == str(tmp_path / "here")
        variables.pop("LC_CTYPE", None)  # Python itself may add it
        assert variables == environ
        assert stdin == ""
        assert argv == [""]

    lab(scenario, path=path, environ=environ, cwd=str(tmp_path / "here"))


def test_workers_start_where_python_does_not_look_beside_scripts(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        assert await script.run(len, "ab") == 2

    lab(scenario, environ=dict(os.environ) | {"PYTHONSAFEPATH": "1"})


def test_functions_and_classes_of_the_callers_main_travel_by_value(lab: Lab) -> None:
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

    async def scenario(script: Script) -> None:
        point = await script.run(main["make"], 1)  # type: ignore[arg-type]
        assert type(point) is main["Point"]
        assert point.x == 2
        with pytest.raises(main["Mine"]) as caught:
            await script.run(main["fail"])
        assert caught.value.a == 1
        assert await script.run(main["whose"]) == [], "nothing of the worker's own is there"

    lab(scenario)


def test_pickling_libraries_are_found_although_the_callers_path_has_none(lab: Lab) -> None:
    stdlib = [folder for folder in sys.path if "site-packages" not in folder and "work" not in folder]

    def look(x: Any) -> Any:
        import sys

        return x, sys.path, "cloudpickle" in sys.modules

    async def scenario(script: Script) -> None:
        await script.run(look, [1])  # the answer, a list, needs cloudpickle
        assert await script.run(look, [1]) == ([1], stdlib, True)

    lab(scenario, path=stdlib)


def test_calls_of_stock_clients_are_run(lab: Lab) -> None:
    def source_only(a: Any, b: Any = 0) -> Any:
        return a - b

    async def scenario(script: Script) -> None:
        script.codes[50] = strategies.dumps_function(source_only, "st").encode()
        text = packing.pack([strategies.dumps((5,), "11"), strategies.dumps({"b": 3}, "11")])
        position = script.assign(50, text.encode())
        script.wake()
        assert await script.result(position) == 2

    lab(scenario)


def test_large_arguments_and_results_are_files(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
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


def test_a_large_function_is_a_file_too(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        code = native.dumps(len)
        (script.folder / "blobs" / ("1" * 32)).write_bytes(code)
        script.codes[9] = Blob("1" * 32, len(code))
        position = script.assign(9, native.dumps_call(("four",), {}))
        script.wake()
        assert await script.result(position) == 4

    lab(scenario)


def test_a_blob_that_is_not_there_fails_that_task(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        script.codes[9] = native.dumps(len)
        position = script.assign(9, Blob("2" * 32, 10))
        script.wake()
        with pytest.raises(FileNotFoundError):
            await script.result(position)
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_a_worker_keeps_a_limited_number_of_functions(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        functions = [functools.partial(int, str(index)) for index in range(FUNCTIONS + 1)]
        for function in functions:
            script.submit(function)
        script.wake()
        await script.until(lambda: len(script.ends) == len(functions))
        assert await script.run(functions[-1]) == FUNCTIONS
        assert await script.run(functions[0]) == 0
        assert script.asked == [*range(FUNCTIONS + 1), 0], "the least recently used had to be asked for again"

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
def test_whatever_is_raised_is_the_outcome(lab: Lab, name: Any) -> None:
    async def scenario(script: Script) -> None:
        pid = script.pids() or [0]
        with pytest.raises(BaseException) as caught:
            await script.run(raising, name)
        assert type(caught.value).__name__ == name
        if name == "SystemExit":
            assert caught.value.code == 4  # type: ignore[attr-defined]
        assert await script.run(len, "ab") == 2
        assert pid in ([0], script.pids()), "the worker lives on"

    lab(scenario)


def test_memory_that_runs_out_is_that_tasks_error(lab: Lab) -> None:
    def fill() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
        block = []
        while True:
            block.append(bytearray(1 << 24))

    async def scenario(script: Script) -> None:
        with pytest.raises(MemoryError):
            await script.run(fill)
        assert await script.run(len, "ab") == 2

    lab(scenario)


def test_results_that_cannot_be_pickled(lab: Lab) -> None:
    class Exits:
        def __reduce__(self) -> None:  # type: ignore[override]
            raise SystemExit(1)

    class ExitsInside(Exception):
        def __reduce__(self) -> None:  # type: ignore[override]
            raise SystemExit(1)

        def __str__(self) -> None:  # type: ignore[override]
            raise KeyboardInterrupt

    def lock() -> Any:
        import threading

        return threading.Lock()

    def hard_to_raise() -> None:
        raise ExitsInside

    async def scenario(script: Script) -> None:
        with pytest.raises(SerializationError, match="lock"):
            await script.run(lock)
        with pytest.raises(SystemExit):
            await script.run(lambda: Exits())
        with pytest.raises(Exception, match="cannot be described"):
            await script.run(hard_to_raise)
        assert len(script.pids()) == 1
        assert not script.losses

    lab(scenario)


def test_arguments_and_functions_that_cannot_be_read(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
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


@pytest.mark.parametrize("ending", ["return", "raise"])
def test_a_forked_child_that_comes_back_leaves(lab: Lab, ending: Any) -> None:
    def fork(ending: Any) -> Any:
        import os

        pid = os.fork()
        if pid == 0 and ending == "raise":
            raise ValueError("in the child")
        if pid == 0:
            return "child"
        return os.waitpid(pid, 0)[1]

    async def scenario(script: Script) -> None:
        assert await script.run(fork, ending) == 0
        assert await script.run(fork, ending) == 0
        assert script.order == [1, 2]

    lab(scenario)


def test_threads_and_directory_changes_stay_as_in_a_thread_pool(lab: Lab, tmp_path: Path) -> None:
    def change(path: Any) -> None:
        import os
        import threading

        os.chdir(path)
        threading.Thread(target=threading.Event().wait, daemon=True).start()

    def look() -> Any:
        import os
        import threading

        return os.getcwd(), threading.active_count()

    async def scenario(script: Script) -> None:
        await script.run(change, str(tmp_path))
        assert await script.run(look) == (str(tmp_path), 2)

    lab(scenario)


def test_a_thread_that_never_ends_does_not_keep_the_worker(lab: Lab) -> None:
    def start() -> None:
        import threading

        threading.Thread(target=threading.Event().wait).start()

    async def scenario(script: Script) -> None:
        await script.run(start)

    lab(scenario)  # closing asserts that the worker is gone within two seconds


def test_a_caller_without_a_working_folder_has_workers_without_one(lab: Lab) -> None:
    def look() -> str:
        import os

        try:
            return os.getcwd()
        except FileNotFoundError:
            return "removed"

    async def scenario(script: Script) -> None:
        assert await script.run(look) == "removed"

    lab(scenario, cwd="")


def test_a_file_of_a_result_is_the_users_alone_whatever_the_umask_of_tasks_is(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        await script.run(bytes, INLINE_LIMIT * 2)
        (path,) = (script.folder / "blobs").iterdir()
        assert path.stat().st_mode & 0o777 == 0o600

    lab(scenario, surroundings=pack({"umask": 0}))


def test_a_result_that_is_too_large_for_a_file_names_the_limit(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        with pytest.raises(OSError, match=r"result of .* bytes cannot be stored: File too large .*ulimit -f"):
            await script.run(bytes, 500_000)
        assert await script.run(len, "ab") == 2

    lab(scenario, surroundings=pack({"limits": {"RLIMIT_FSIZE": (300_000, 300_000)}}))
