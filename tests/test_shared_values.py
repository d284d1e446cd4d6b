"""Large values that calls share: right on a real service, stored once, gone when nobody needs them."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from compute_executor import Executor
from compute_executor.errors import InvalidRequest, SerializationError, WorkerLost
from compute_executor.local.locks import is_held
from compute_executor.local.state import SERVICE_LOCK, read_announcement, state_folder
from tests.body_files import sizes_in
from tests.contract.work import wait_until

PATIENCE = 60.0
SIZE = 1_000_000


def blobs() -> list[int]:
    """The sizes of the files that the service keeps."""
    return sizes_in(state_folder() / "blobs")


def first(value: Any, position: int = 0) -> Any:
    return value[position]


def store_one(value: Any) -> Any:
    """Change the argument, as a function may; what it was before."""
    before, value[0] = value[0], 1
    return before


class Model:
    def __init__(self, weights: Any) -> None:
        self.weights = weights

    def at(self, position: int) -> Any:
        return self.weights[position]


@pytest.mark.slow
def test_values_of_the_moment_of_the_call() -> None:
    numpy = pytest.importorskip("numpy")
    table = numpy.zeros(SIZE)

    with Executor(2) as executor:
        for value in range(4):
            table[SIZE // 2] = value
            calls = [
                executor.submit(first, table, SIZE // 2),
                executor.submit(partial(first, table), SIZE // 2),
                executor.submit(Model(table).at, SIZE // 2),
                executor.submit(lambda: table[SIZE // 2]),
                *[executor.submit(first, table, SIZE // 2) for _ in range(2)],
            ]
            mapped = executor.map(partial(first, table), [SIZE // 2] * 4, chunksize=2)
            table[SIZE // 2] = -1
            assert [call.result(PATIENCE) for call in calls] == [value] * 6
            assert list(mapped) == [value] * 4


@pytest.mark.slow
def test_stored_once_changed_by_nobody_and_gone_in_the_end() -> None:
    numpy = pytest.importorskip("numpy")
    table = numpy.zeros(SIZE)

    with Executor(2) as executor:
        assert list(executor.map(partial(first, table), range(20))) == [0.0] * 20
        assert list(executor.map(store_one, [table] * 10)) == [0.0] * 10
        wait_until(lambda: len(blobs()) == 1)
        assert blobs() == [8 * SIZE]
    wait_until(lambda: blobs() == [])


@pytest.mark.slow
def test_refs() -> None:
    table = {"a": bytearray(SIZE)}
    with Executor(2) as executor:
        ref = executor.put(table)
        table["a"][0] = 1
        assert executor.submit(lambda one: one["a"][0], ref).result(PATIENCE) == 0
        assert executor.submit(lambda deep: deep[0]["x"][0]["a"][0], [{"x": (ref,)}]).result(PATIENCE) == 0
        assert list(executor.map(lambda one: store_one(one["a"]), [ref] * 6)) == [0] * 6
        with Executor(1) as other:
            found = other.ref(ref.id)
            assert other.submit(lambda one: len(one["a"]), found).result(PATIENCE) == SIZE
            assert other.submit(lambda one: len(one["a"]), ref).result(PATIENCE) == SIZE
        small = executor.put(5)
        assert executor.submit(pow, small, 2).result(PATIENCE) == 25
        slow = executor.submit(lambda one: time.sleep(0.5) or len(one["a"]), ref)
        ref.release()
        with pytest.raises(SerializationError, match="was released"):
            executor.submit(len, ref).result(PATIENCE)
        del found
        gc.collect()
        assert slow.result(PATIENCE) == SIZE, "a task needs it"
        wait_until(lambda: max(blobs(), default=0) < SIZE)
        gone = executor.ref(ref.id)
        with pytest.raises(InvalidRequest, match="not there"):
            executor.submit(len, gone).result(PATIENCE)
        assert executor.submit(abs, -1).result(PATIENCE) == 1
        with pytest.raises(InvalidRequest, match="holds a ref"):
            executor.put([small])
        with pytest.raises(SerializationError):
            executor.put(threading.Lock())


kept: list[Any] = []


def keep(*values: Any) -> None:
    kept[:] = values


def lengths() -> list[int]:
    return [len(value) for value in kept]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_an_initializer_with_large_arguments() -> None:
    with Executor(2, initializer=keep, initargs=(bytes(20_000_000), bytearray(SIZE))) as executor:
        assert executor.submit(lengths).result(PATIENCE) == [20_000_000, SIZE]
        with pytest.raises(WorkerLost):
            executor.submit(die).result(PATIENCE)
        announced = read_announcement(state_folder())
        assert announced is not None
        os.kill(announced.pid, signal.SIGKILL)
        wait_until(lambda: not is_held(state_folder() / SERVICE_LOCK))
        assert executor.submit(lengths).result(PATIENCE) == [20_000_000, SIZE], (
            "also of workers that come later"
        )
    wait_until(lambda: blobs() == [])


@pytest.mark.slow
def test_calls_that_are_cancelled_or_refused_leave_no_file() -> None:
    with Executor(1, flush_interval=600) as executor:
        assert executor.submit(abs, -1).result(PATIENCE) == 1
        busy = executor.submit(time.sleep, 1)
        late = [executor.submit(len, bytes([digit]) * 100_000) for digit in range(5)]
        assert all(call.cancel() for call in late)
        refused = executor.submit(len, [executor.ref(f"{1:032x}-5"), bytes(100_000)])
        with pytest.raises(InvalidRequest, match="not there"):
            refused.result(PATIENCE)
        busy.result(PATIENCE)
        wait_until(lambda: blobs() == [])


@pytest.mark.slow
def test_a_full_disk_refuses_by_name_and_goes_on_when_results_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[limits]\ndisk = 3_000_000\n")
    monkeypatch.setenv("COMPUTE_EXECUTOR_CONFIG", str(config))
    with Executor(1) as executor:
        calls = [executor.submit(bytes, 1_000_000) for _ in range(10)]
        assert [len(call.result(PATIENCE)) for call in calls] == [1_000_000] * 10
        wait_until(lambda: sum(blobs()) < 3_000_000)


class Stubborn:
    """An object that can neither be hashed nor compared."""

    def __init__(self) -> None:
        self.data = bytearray(SIZE)

    def __eq__(self, other: object) -> bool:
        raise TypeError("not comparable")

    def __hash__(self) -> int:
        raise TypeError("not hashable")


def length_of(one: Any, more: int) -> int:
    return len(one.data) + more


@pytest.mark.slow
def test_what_cannot_be_hashed_or_compared_is_shared_too() -> None:
    stubborn, lengths_wanted = Stubborn(), [SIZE, SIZE + 1, SIZE + 2]
    with Executor(1) as executor:
        ref = executor.put(stubborn)
        assert [executor.submit(length_of, stubborn, n).result(PATIENCE) for n in range(3)] == lengths_wanted
        assert list(executor.map(partial(length_of, stubborn), range(3))) == lengths_wanted
        assert list(executor.map(length_of, [ref] * 3, range(3))) == lengths_wanted
        wait_until(lambda: len([size for size in blobs() if size >= SIZE]) <= 2)


@pytest.mark.slow
def test_a_ref_of_another_service_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Executor(1) as executor:
        ref = executor.put(bytes(SIZE))
        monkeypatch.setenv("COMPUTE_EXECUTOR_HOME", str(tmp_path / "other"))
        with Executor(1) as other:
            with pytest.raises(InvalidRequest, match="not there"):
                other.submit(len, ref).result(PATIENCE)
            assert other.submit(abs, -1).result(PATIENCE) == 1
        assert executor.submit(len, ref).result(PATIENCE) == SIZE


@pytest.mark.slow
def test_too_many_refs_are_refused_by_name() -> None:
    with Executor(1) as executor:
        refs = [executor.ref(f"{number:032x}-5") for number in range(100_000)]
        with pytest.raises(InvalidRequest, match="100,000 shared values, 10,000 are the limit"):
            executor.submit(len, refs).result(PATIENCE)
        assert executor.submit(abs, -1).result(PATIENCE) == 1


@pytest.mark.slow
def test_parts_outlive_a_killed_service() -> None:
    data = bytes(SIZE)
    with Executor(2) as executor:
        ref = executor.put(data)
        function = partial(first, data)
        assert list(executor.map(function, range(3))) == [0] * 3
        open_calls = [executor.submit(lambda one: time.sleep(0.05) or len(one), ref) for _ in range(20)]
        announced = read_announcement(state_folder())
        assert announced is not None
        os.kill(announced.pid, signal.SIGKILL)
        wait_until(lambda: not is_held(state_folder() / SERVICE_LOCK))
        assert list(executor.map(function, range(3))) == [0] * 3
        ended = [call.exception(PATIENCE) or call.result() for call in open_calls]
        wrong = [one for one in ended if one != SIZE]
        assert len(wrong) <= 2, wrong  # at most one a worker is lost
        assert executor.submit(len, ref).result(PATIENCE) == SIZE
    wait_until(lambda: blobs() == [])


@pytest.mark.slow
def test_a_large_global_travels_from_the_first_call_on(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from compute_executor import Executor\n"
        "TABLE = {number: str(number) for number in range(1_000_000)}\n"
        "DATA = bytes(20_000_000)\n"
        "def at(key): return TABLE[key], len(DATA)\n"
        "with Executor(2) as executor: print(list(executor.map(at, range(4))))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout == f"{[(str(key), 20_000_000) for key in range(4)]}\n", done.stderr
