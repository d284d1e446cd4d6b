"""10,000 tasks of every ending: futures, `groups`, `tasks`, `status` and what the page shows agree."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from compute_executor import Executor
from compute_executor.cli import commands
from compute_executor.cli.chosen_service import choose
from compute_executor.dashboard.source import Source
from compute_executor.errors import WorkerLost

pytestmark = pytest.mark.slow
STATES = ("queued", "running", "succeeded", "failed", "lost", "cancelled")
TASKS, LOST, LATE, FAILED, WITHDRAWN = 10_000, 8, 4, 1_000, 2_000


def work(number: int, gate: str) -> int:
    if number < LOST:
        os._exit(9)
    if number < LOST + LATE:
        time.sleep(30)
    if number < LOST + LATE + FAILED:
        raise ValueError(f"no root for {number % 3}")
    while number >= TASKS - WITHDRAWN and not os.path.exists(gate):
        time.sleep(0.01)
    return number


def state(future: Future[int]) -> str:
    """What the lists call the end of a future."""
    if not future.done():
        return "running" if future.running() else "queued"
    if future.cancelled():
        return "cancelled"
    error = future.exception()
    return "succeeded" if error is None else "lost" if isinstance(error, WorkerLost) else "failed"


def asked(*arguments: str) -> Any:
    done = CliRunner().invoke(commands, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def told() -> dict[str, dict[str, int]]:
    """What each tells of all tasks, by state."""
    (group,) = asked("groups")
    status = asked("status")
    tasks = {one: len(asked("tasks", "--state", one, "--limit", str(TASKS))) for one in STATES}
    listed = Counter(task["state"] for task in asked("tasks", "--limit", str(TASKS)))
    functions = Counter[str]()
    for function in status["functions"]:
        functions.update({one: function[one] for one in STATES[2:]})
    functions.update(
        {one: group[one] for one in STATES[:2]}
    )  # a function has no figures of what has not ended
    return {
        "groups": {one: group[one] for one in STATES},
        "status": status["counts"],
        "tasks by state": tasks,
        "tasks": {one: listed[one] for one in STATES},
        "functions": {one: functions[one] for one in STATES},
        "page": asyncio.run(page()),
    }


async def page() -> dict[str, int]:
    service = choose(None, None, None)
    assert service is not None
    source = Source(service)
    await source.refresh()
    return source.counts


def expected(futures: Iterable[Future[int]]) -> dict[str, int]:
    found = Counter(map(state, futures))
    return {one: found[one] for one in STATES}


def test_all_agree(state_home: Path, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    with Executor(2, label="every ending") as executor:
        late = range(LOST, LOST + LATE)
        timed = executor.options(timeout=0.1)
        futures = [
            (timed if number in late else executor).submit(work, number, gate)
            for number in range(TASKS - WITHDRAWN)
        ]
        wait(futures)
        futures += [executor.submit(work, number, gate) for number in range(TASKS - WITHDRAWN, TASKS)]
        while sum(future.running() for future in futures) < 2:
            time.sleep(0.01)
        for name, counts in told().items():
            assert counts == expected(futures), f"while two run, by {name}"
        withdrawn = sum(future.cancel() for future in futures[-WITHDRAWN // 2 :])
        assert withdrawn == WITHDRAWN // 2
        Path(gate).touch()
        wait(futures)
        everything = told()
    wanted = {
        "queued": 0,
        "running": 0,
        "succeeded": TASKS - LOST - LATE - FAILED - WITHDRAWN // 2,
        "failed": LATE + FAILED,
        "lost": LOST,
        "cancelled": WITHDRAWN // 2,
    }
    assert expected(futures) == wanted
    assert everything == dict.fromkeys(everything, wanted)
