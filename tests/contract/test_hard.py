"""The hard cases of pools: many, large, deep, dying, nested; each must end for its own task alone."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor
from pathlib import Path
from typing import Any

import pytest

import compute_executor
from tests.contract import work
from tests.contract.work import PATIENCE, Gate

MakeExecutor = Callable[..., Executor]
MakeOurs = Callable[..., compute_executor.Executor]


# -- what dies, at each step ----------------------------------------------------------------------------


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DiesUnpickled:
    def __reduce__(self) -> tuple[Any, ...]:
        return die, ()


class DiesPickled:
    def __reduce__(self) -> tuple[Any, ...]:
        die()
        raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("function", "argument"),
    [(work.capture, DiesUnpickled()), (die, None), (sys.modules[__name__].DiesPickled, None)],
    ids=["unpickling the argument", "running", "pickling the result"],
)
def test_a_worker_that_is_killed(ours: compute_executor.Executor, function: Any, argument: Any) -> None:
    neighbours = [ours.submit(work.square, n) for n in range(20)]
    arguments = () if argument is None else (argument,)

    with pytest.raises(BrokenExecutor):
        ours.submit(function, *arguments).result(PATIENCE)

    assert [future.result(PATIENCE) for future in neighbours] == [n * n for n in range(20)]
    assert ours.submit(work.square, 5).result(PATIENCE) == 25


def test_workers_that_are_killed_from_outside(ours: compute_executor.Executor, gate: Gate) -> None:
    def hold(name: str) -> None:
        (gate.folder / f"{name}.pid").write_text(str(os.getpid()))
        gate.hold(name)

    held = [ours.submit(hold, name) for name in ("one", "two")]
    for name in ("one", "two"):
        gate.wait_for(name)
        os.kill(int((gate.folder / f"{name}.pid").read_text()), signal.SIGKILL)

    assert all(isinstance(future.exception(PATIENCE), BrokenExecutor) for future in held)
    assert ours.submit(work.square, 5).result(PATIENCE) == 25


class FailsUnpickled:
    """An object that can be sent but not read; where ``only_here``, the worker can read it."""

    def __init__(self, reader: int | None = None) -> None:
        self.reader = reader

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, (self.reader,)


def _read(forbidden: int | None) -> FailsUnpickled:
    if forbidden in (None, os.getpid()):
        raise OSError("cannot be read here")
    return FailsUnpickled(forbidden)


def test_an_argument_that_cannot_be_read(ours: compute_executor.Executor) -> None:
    error = ours.submit(work.capture, FailsUnpickled()).exception(PATIENCE)

    assert "cannot be read here" in f"{error} {error.__cause__}"  # type: ignore[union-attr]
    assert ours.submit(work.square, 5).result(PATIENCE) == 25


def test_a_result_that_cannot_be_read(ours: compute_executor.Executor) -> None:
    error = ours.submit(FailsUnpickled, os.getpid()).exception(PATIENCE)

    assert "cannot be read here" in str(error)
    assert ours.submit(work.square, 5).result(PATIENCE) == 25


class ExitsUnpickled:
    """Its reading raises what is no Exception, in the caller's process only."""

    def __init__(self, reader: int) -> None:
        self.reader = reader

    def __reduce__(self) -> tuple[Any, ...]:
        return _exit_in, (self.reader,)


def _exit_in(pid: int) -> None:
    if pid == os.getpid():
        sys.exit("while reading a result")


def test_a_result_whose_reading_exits(ours: compute_executor.Executor) -> None:
    assert ours.submit(ExitsUnpickled, os.getpid()).exception(PATIENCE) is not None
    assert ours.submit(work.square, 5).result(PATIENCE) == 25


@pytest.mark.parametrize("make", [threading.Lock, lambda: (n for n in ()), sys._getframe])  # type: ignore[var-annotated]
def test_a_result_that_cannot_be_sent(ours: compute_executor.Executor, make: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"pickle|serial"):
        ours.submit(make).result(PATIENCE)
    assert ours.submit(work.square, 5).result(PATIENCE) == 25


def test_an_argument_that_cannot_be_sent_among_good_ones(ours: compute_executor.Executor) -> None:
    futures = [ours.submit(work.capture, n if n % 10 else threading.Lock()) for n in range(100)]

    for n, future in enumerate(futures):
        if n % 10:
            assert future.result(PATIENCE) == ((n,), {})
        else:
            assert isinstance(future.exception(PATIENCE), TypeError)


# -- deep and large -------------------------------------------------------------------------------------


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def depth_of(value: list[Any]) -> int:
    depth = 0
    while value:
        value = value[0]
        depth += 1
    return depth


def descend(depth: int) -> int:
    return 0 if depth == 0 else 1 + descend(depth - 1)


def test_recursion_of_the_function(ours: compute_executor.Executor) -> None:
    assert ours.submit(descend, 500).result(PATIENCE) == 500
    assert isinstance(ours.submit(descend, 10**6).exception(PATIENCE), RecursionError)


def test_recursion_of_argument_and_result(ours: compute_executor.Executor) -> None:
    assert ours.submit(depth_of, nested(100)).result(PATIENCE) == 100
    assert isinstance(ours.submit(depth_of, nested(100_000)).exception(PATIENCE), Exception)
    assert isinstance(ours.submit(nested, 100_000).exception(PATIENCE), Exception)
    assert ours.submit(work.square, 5).result(PATIENCE) == 25


@pytest.mark.slow
def test_large_arguments_and_results(ours: compute_executor.Executor) -> None:
    sizes = [1, 60_000, 70_000, 1_000_000, 20_000_000]

    assert list(ours.map(len, [bytes(size) for size in sizes])) == sizes
    assert [len(result) for result in ours.map(bytes, sizes)] == sizes


# -- many -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_hundred_thousand_pending_futures(make_executor: MakeExecutor, gate: Gate) -> None:
    executor = make_executor(max_workers=1)
    executor.submit(gate.hold)
    futures = [executor.submit(abs, -n) for n in range(100_000)]
    assert not futures[-1].done()

    gate.open()

    assert sum(future.result(PATIENCE * 2) for future in futures) == sum(range(100_000))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_executors_one_after_the_other(ours: compute_executor.Executor) -> None:
    ours.submit(abs, 1).result(PATIENCE)
    descriptors, threads = len(os.listdir("/dev/fd")), threading.active_count()

    for n in range(1000):
        with compute_executor.Executor(max_workers=1) as executor:
            if n % 10 == 0:
                assert executor.submit(work.square, n).result(PATIENCE) == n * n

    assert len(os.listdir("/dev/fd")) <= descriptors
    assert threading.active_count() <= threads


@pytest.mark.slow
def test_fifty_executors_at_a_time(make_executor: MakeExecutor) -> None:
    executors = [make_executor(max_workers=1) for _ in range(50)]

    futures = [executor.submit(work.square, n) for n, executor in enumerate(executors)]

    assert [future.result(PATIENCE * 2) for future in futures] == [n * n for n in range(50)]


# -- what tasks do --------------------------------------------------------------------------------------


def in_threads() -> list[int]:
    results: list[int] = []
    threads = [threading.Thread(target=lambda n=n: results.append(n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results)


def in_a_process() -> str:
    command = [sys.executable, "-c", "print('from a child')"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def in_a_pool(method: str) -> list[int]:
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(work.square, range(4))


def in_a_loop() -> int:
    async def main() -> int:
        await asyncio.sleep(0)
        return 6

    return asyncio.run(main())


def leaves_a_thread() -> int:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return os.getpid()


def changes_its_world(folder: str) -> None:
    os.chdir(folder)
    os.environ["CHANGED"] = "yes"
    sys.stdout = None
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def test_tasks_may_use_threads_processes_and_loops(ours: compute_executor.Executor) -> None:
    assert ours.submit(in_threads).result(PATIENCE) == [0, 1, 2, 3]
    assert ours.submit(in_a_process).result(PATIENCE) == "from a child\n"
    assert ours.submit(in_a_loop).result(PATIENCE) == 6


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_tasks_may_use_multiprocessing(ours: compute_executor.Executor, method: str) -> None:
    assert ours.submit(in_a_pool, method).result(PATIENCE) == [0, 1, 4, 9]


def test_tasks_may_leave_a_daemon_thread(make_ours: MakeOurs) -> None:
    executor = make_ours(max_workers=1)

    assert executor.submit(leaves_a_thread).result(PATIENCE)
    assert executor.submit(work.square, 2).result(PATIENCE) == 4


def test_tasks_may_change_their_process(make_ours: MakeOurs, tmp_path: Path) -> None:
    executor = make_ours(max_workers=1)

    executor.submit(changes_its_world, str(tmp_path)).result(PATIENCE)

    assert executor.submit(print, "nowhere").result(PATIENCE) is None
    assert executor.submit(work.square, 2).result(PATIENCE) == 4


def test_tasks_may_read_standard_input(ours: compute_executor.Executor) -> None:
    assert ours.submit(lambda: sys.stdin.read() if sys.stdin else "").result(PATIENCE) == ""


def test_numpy_inside(ours: compute_executor.Executor) -> None:
    numpy = pytest.importorskip("numpy")
    matrix = numpy.arange(10_000.0).reshape(100, 100)

    assert (ours.submit(numpy.dot, matrix, matrix).result(PATIENCE) == matrix @ matrix).all()


# -- nesting and sharing --------------------------------------------------------------------------------


def inner(n: int) -> int:
    with compute_executor.Executor(max_workers=1) as executor:
        return int(executor.submit(work.square, n).result(PATIENCE))


def deeper(depth: int) -> int:
    if depth == 0:
        return os.getpid()
    with compute_executor.Executor(max_workers=1) as executor:
        return int(executor.submit(deeper, depth - 1).result(PATIENCE))


def test_tasks_may_have_an_executor_of_their_own(ours: compute_executor.Executor) -> None:
    """On the same service; its workers are others, so nobody waits for his own worker."""
    assert list(ours.map(inner, range(4))) == [0, 1, 4, 9]


@pytest.mark.slow
def test_and_those_tasks_too(ours: compute_executor.Executor) -> None:
    assert ours.submit(deeper, 4).result(PATIENCE) > 0


CLIENT = """
from compute_executor import Executor
with Executor(max_workers=1) as ex:
    print(sum(ex.map(abs, range(500))), ex.submit(__import__("os").getppid).result())
"""


def test_two_processes_share_one_service(ours: compute_executor.Executor) -> None:
    root = Path(__file__).resolve().parent.parent.parent
    clients = [
        subprocess.Popen([sys.executable, "-c", CLIENT], cwd=root, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {client.communicate(timeout=60)[0].strip() for client in clients}

    service = ours.submit(os.getppid).result(PATIENCE)
    assert answers == {f"{sum(range(500))} {service}"}
