"""Long work on the loop's thread, in turns: after a few milliseconds everybody else has one."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

TURN = 0.005
"""Seconds. What a client notices of the delay of its own messages is some times as long."""
LOOK = 32
"""Steps between two looks at the clock."""

T = TypeVar("T")


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items, with a pause for everybody else whenever a turn is over."""
    ends = time.monotonic() + TURN
    for number, item in enumerate(items, 1):
        yield item
        if number % LOOK == 0 and time.monotonic() > ends:
            await asyncio.sleep(0)
            ends = time.monotonic() + TURN


async def in_thread(items: Iterator[T]) -> AsyncIterator[T]:
    """Yield the items, each made in a helper thread."""
    nothing = object()
    while (item := await asyncio.to_thread(next, items, nothing)) is not nothing:
        yield item  # type: ignore[misc] # it is none of the iterator's only at the end


async def load_streaming() -> None:
    """Import, in a helper thread, what starlette imports when it first sends an answer in pieces: 50 ms of work."""
    await asyncio.to_thread(_load_streaming)


@functools.cache
def _load_streaming() -> None:
    asyncio.run(run_in_threadpool(int))
