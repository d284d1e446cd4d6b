"""asyncio: `run_in_executor` and `wrap_future`, without holding up the loop."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor


def test_run_in_executor(executor: Executor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, pow, n, 2) for n in range(50)))

    assert asyncio.run(main()) == [n**2 for n in range(50)]


def test_the_loop_goes_on_while_tasks_run(executor: Executor) -> None:
    async def main() -> int:
        task = asyncio.wrap_future(executor.submit(time.sleep, 0.3))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert asyncio.run(main()) >= 10


def test_an_exception_arrives_as_itself(executor: Executor) -> None:
    async def main() -> str:
        try:
            await asyncio.get_running_loop().run_in_executor(executor, divmod, 1, 0)
        except ZeroDivisionError as error:
            return str(error)
        return ""

    assert "zero" in asyncio.run(main())
