"""wait, as_completed and asyncio: the functions that know only the contract of a Future."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Executor,
    TimeoutError,
    as_completed,
    wait,
)

import pytest

from tests.contract import work
from tests.contract.work import PATIENCE, Gate

MakeExecutor = Callable[..., Executor]


def test_wait_for_the_first(executor: Executor, gate: Gate) -> None:
    held, quick = executor.submit(gate.hold), executor.submit(work.square, 3)

    done, not_done = wait([held, quick], PATIENCE, FIRST_COMPLETED)  # type: ignore[arg-type]

    assert (done, not_done) == ({quick}, {held})


def test_wait_for_the_first_exception(executor: Executor, gate: Gate) -> None:
    held, failing = executor.submit(gate.hold), executor.submit(work.fail, ValueError)

    done, not_done = wait([held, failing], PATIENCE, FIRST_EXCEPTION)  # type: ignore[arg-type]

    assert (done, not_done) == ({failing}, {held})


def test_wait_for_all(executor: Executor) -> None:
    futures = [executor.submit(work.square, n) for n in range(50)]

    done, not_done = wait(futures, PATIENCE, ALL_COMPLETED)

    assert (done, not_done) == (set(futures), set())


def test_wait_no_longer_than_asked(executor: Executor, gate: Gate) -> None:
    held = executor.submit(gate.hold)

    assert wait([held], 0.01).not_done == {held}


def test_as_completed_gives_each_once(executor: Executor) -> None:
    futures = [executor.submit(work.square, n) for n in range(50)]

    assert sorted(future.result() for future in as_completed(futures + futures, PATIENCE)) == [
        n * n for n in range(50)
    ]


def test_as_completed_gives_the_quick_one_first(executor: Executor, gate: Gate) -> None:
    held, quick = executor.submit(gate.hold), executor.submit(work.square, 3)
    completed = as_completed([held, quick], PATIENCE)  # type: ignore[arg-type, var-annotated]

    assert next(completed) is quick
    gate.open()
    assert next(completed) is held


def test_as_completed_gives_up_in_time(executor: Executor, gate: Gate) -> None:
    with pytest.raises(TimeoutError, match=r"1 \(of 1\) futures unfinished"):
        list(as_completed([executor.submit(gate.hold)], 0.01))


def test_run_in_executor(executor: Executor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, work.square, n) for n in range(30)))

    assert asyncio.run(main()) == [n * n for n in range(30)]


def test_an_exception_through_asyncio(executor: Executor) -> None:
    async def main() -> None:
        await asyncio.wrap_future(executor.submit(work.fail, LookupError, "there"))

    with pytest.raises(LookupError, match="there"):
        asyncio.run(main())


def test_the_loop_turns_while_a_task_runs(executor: Executor, gate: Gate) -> None:
    async def main() -> str:
        future = asyncio.wrap_future(executor.submit(gate.hold))
        while not gate.has_begun():
            await asyncio.sleep(0.001)
        gate.open()
        return await future

    assert asyncio.run(main()) == "task"


def test_cancelling_through_asyncio(
    make_executor: MakeExecutor, gate: Gate, keep_busy: Callable[[Executor], None]
) -> None:
    executor = make_executor(max_workers=1)
    keep_busy(executor)
    waiting = executor.submit(gate.hold, "second")

    async def main() -> None:
        wrapped = asyncio.wrap_future(waiting)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped

    asyncio.run(main())
    gate.open()
    executor.shutdown()

    assert waiting.cancelled()
    assert not gate.has_begun("second")
