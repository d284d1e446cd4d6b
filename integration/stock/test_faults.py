"""Something is killed while 500 tasks are open: every future ends, none wrongly; what ran twice is counted.

Each prints its figures; run with -s to see them.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from integration.stock.conftest import World
from integration.stock.peers import answer, wait_until

TASKS, SECONDS = 500, 0.1
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Open:
    """500 tasks of 0.1 s on two workers, under way when this is made."""

    def __init__(self, world: World, engine: str, name: str) -> None:
        self.mark = world.folder / f"{name}.marks"
        self.mark.touch()
        world.sdk.environ["TEST_CONFIG"] = json.dumps({"engine": engine, "name": name})
        self._process = world.sdk.start(
            "open_tasks.py", world.endpoint.id, str(self.mark), str(TASKS), str(SECONDS)
        )
        wait_until(lambda: self._count("ended") >= 20, "20 tasks are done", patience=90)

    def _count(self, word: str) -> int:
        return sum(self.times(word).values())

    def times(self, word: str) -> Counter[int]:
        """How often each task has begun, or ended."""
        lines = [line.split() for line in self.mark.read_text().splitlines()]
        return Counter(int(line[0]) for line in lines if len(line) == 3 and line[1] == word)

    def end(self) -> dict[str, Any]:
        """What became of the futures, with what the marks tell."""
        found: dict[str, Any] = answer(self._process, 400)
        begun = self.times("begun")
        found["twice"] = sorted(number for number, times in begun.items() if times > 1)
        found["lost_after_begin"] = sum(1 for number in found["lost"] if number in begun)
        figures = {name: value for name, value in found.items() if name not in ("lost", "twice")}
        print(f"\n{self.mark.stem}: {figures}, ran twice: {len(found['twice'])}")
        return found


@pytest.mark.parametrize("engine", ["ThreadPoolEngine"])
def test_the_broker_restarts(world: World, engine: str) -> None:
    tasks = Open(world, engine, "broker restarted")
    world.broker.restart()
    found = tasks.end()
    assert (found["wrong"], found["failed"]) == (0, {})
    assert found["right"] + found["gave_up"] == TASKS
    assert found["twice"] == []
    # Now and then the stock SDK acknowledges on the channel that it has lost, five times, and gives its futures up.
    # Their results are kept for whoever asks again.
    again = world.sdk.run("again.py", world.endpoint.id, found["group"])
    assert again["values"] == list(range(TASKS))


@pytest.mark.parametrize("engine", ["ThreadPoolEngine"])
def test_the_service_is_killed(world: World, engine: str) -> None:
    tasks = Open(world, engine, "service killed")
    world.service.restart_after_kill()
    found = tasks.end()
    assert (found["right"], found["wrong"], found["failed"]) == (TASKS, 0, {})
    assert found["twice"] == []


@pytest.mark.parametrize("engine", ["ThreadPoolEngine", "GlobusComputeEngine"])
def test_the_endpoint_is_killed(world: World, engine: str, tmp_path: Path) -> None:
    """What its user endpoint had taken is lost, as the futures say; nothing runs twice."""
    tasks = Open(world, engine, f"endpoint killed, {engine}")
    world.endpoint.kill()
    world.endpoint.start()
    found = tasks.end()
    assert found["wrong"] == 0
    assert found["right"] + sum(found["failed"].values()) == TASKS
    assert all(world.endpoint.id in text for text in found["failed"])
    assert found["twice"] == []
