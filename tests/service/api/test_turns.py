"""Long work in turns: everything comes, in order, and others are let in between."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from compute_executor.service.api import turns
from compute_executor.service.api.turns import LOOK, in_thread, in_turns


def test_others_have_a_turn_when_one_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN", -1.0)  # over before it begins
    seen: list[str] = []

    async def work() -> None:
        async for number in in_turns(range(3 * LOOK)):
            seen.append(str(number))

    async def other() -> None:
        while "end" not in seen:
            seen.append("other")
            await asyncio.sleep(0)

    async def scenario() -> None:
        beside = asyncio.ensure_future(other())
        await work()
        seen.append("end")
        await beside

    asyncio.run(scenario())
    assert [one for one in seen if one.isdigit()] == [str(number) for number in range(3 * LOOK)]
    assert seen.count("other") >= 3


def test_short_work_is_not_interrupted() -> None:
    async def scenario() -> None:
        steps = in_turns(range(10))
        for number in range(10):
            with pytest.raises(StopIteration) as step:
                steps.__anext__().send(None)  # type: ignore[attr-defined]
            assert step.value.value == number

    asyncio.run(scenario())


def test_items_are_made_in_another_thread() -> None:
    async def scenario() -> None:
        made = [thread async for thread in in_thread(threading.get_ident() for _ in range(3))]
        assert len(made) == 3
        assert threading.get_ident() not in made

    asyncio.run(scenario())


IMPORTS = """
import asyncio, sys, threading
from starlette.concurrency import run_in_threadpool
from compute_executor.service.api import turns

imported = []

class Finder:
    def find_spec(self, name, *_):
        imported.append((threading.current_thread() is threading.main_thread(), name))

async def answer():
    await turns.load_streaming()
    await turns.load_streaming()
    await run_in_threadpool(int)

sys.meta_path.insert(0, Finder())
asyncio.run(answer())
assert any("anyio" in name for _, name in imported)
print([name for on_the_loop, name in imported if on_the_loop and "anyio" in name])
"""


def test_what_answers_in_pieces_need_is_not_imported_on_the_loop() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
