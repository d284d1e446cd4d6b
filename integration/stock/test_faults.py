"""Something is killed while hundreds of tasks are open: every future ends, none wrongly; what ran twice is counted.

Each prints its figures; run with -s to see them.
"""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import pytest

from compute_executor.service.globus_compute.credit import AHEAD, STEP, UNKNOWN
from integration.stock.conftest import World
from integration.stock.peers import Sdk, answer, wait_until

TASKS, SECONDS, WORKERS = 500, 0.1, 4
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Open:
    """500 tasks of 0.1 s on four workers, under way when `begin` returns. ``sdk``: whose Executor it is. The user
    endpoints are those of the tests before, as they are up."""

    def __init__(
        self, world: World, sdk: Sdk, name: str, engine: str = "ThreadPoolEngine", *arguments: str
    ) -> None:
        self.mark = world.folder / f"{name}.marks"
        self.mark.touch()
        self._process = sdk.start(
            "open_tasks.py" if sdk is world.sdk else "ours_open.py",
            *(world.endpoint.id, str(self.mark), str(TASKS), str(SECONDS), *arguments),
            config={"engine": engine, "workers": WORKERS, "name": "theirs" if sdk is world.sdk else "ours"},
        )

    def begin(self) -> None:
        wait_until(lambda: sum(self.times("ended").values()) >= 20, "20 tasks are done", patience=120)

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


def all_under_way(*tasks: Open) -> None:
    for one in tasks:
        one.begin()


AGAIN = int(WORKERS * AHEAD / UNKNOWN) + STEP
"""Tasks that may run twice when a connection to the broker is lost: a stock endpoint acknowledges what it receives
after up to half a second, so what it was given in that time is delivered to it again."""


@pytest.mark.parametrize(
    ("number", "engine"), [(signal.SIGTERM, "ThreadPoolEngine"), (signal.SIGKILL, "GlobusComputeEngine")]
)
def test_the_broker(world: World, number: signal.Signals, engine: str) -> None:
    """It restarts: all ends well. It is killed: a stock endpoint forgets the results that were not confirmed. Their
    tasks are lost, when it has said for a while that it has nothing to do."""
    tasks = Open(world, world.sdk, f"broker, {number.name}", engine)
    ours = Open(world, world.ours, f"broker, {number.name}, our Executor", engine)
    all_under_way(tasks, ours)
    world.broker.stop(number)
    world.broker.start()
    all_end_well(ours.end(), world, number == signal.SIGKILL)
    found = tasks.end()
    all_end_well(found, world, number == signal.SIGKILL)
    # Now and then the stock SDK acknowledges on the channel that it has lost, five times, and gives its futures up.
    # Their results are kept for whoever asks again.
    again = world.sdk.run("again.py", world.endpoint.id, found["group"])
    assert len(again["values"]) + again["failed"] == TASKS
    assert again["failed"] == len(found["lost"]) or found["gave_up"]
    assert set(again["values"]).isdisjoint(found["lost"])


def all_end_well(found: dict[str, Any], world: World, may_lose: bool) -> None:
    assert found["wrong"] == 0
    assert found["right"] + len(found["lost"]) + found["gave_up"] == TASKS
    assert len(found["twice"]) <= AGAIN
    assert len(found["lost"]) <= (AGAIN if may_lose else 0)
    assert all(world.endpoint.id in text for text in found["failed"])


def test_the_service_is_killed(world: World) -> None:
    tasks = Open(world, world.sdk, "service killed")
    all_under_way(tasks)
    world.service.restart_after_kill()
    found = tasks.end()
    assert (found["right"], found["wrong"], found["failed"]) == (TASKS, 0, {})
    assert found["twice"] == []


def test_the_endpoint_is_killed(world: World) -> None:
    """What its user endpoints had acknowledged is lost, as the futures say, and that is what it needed to be busy;
    what they had not acknowledged yet, they get again. Our Executor has what is lost run again, if it is asked to,
    and then all of it ends well."""
    of_threads = Open(world, world.sdk, "endpoint killed", "ThreadPoolEngine")
    of_blocks = Open(world, world.sdk, "endpoint killed, GlobusComputeEngine", "GlobusComputeEngine")
    ours = Open(world, world.ours, "endpoint killed, our Executor", "ThreadPoolEngine", "retries=3")
    all_under_way(of_threads, of_blocks, ours)
    world.endpoint.kill()
    world.endpoint.start()
    for tasks in (of_threads, of_blocks):
        found = tasks.end()
        assert found["wrong"] == 0
        assert found["right"] + sum(found["failed"].values()) == TASKS
        assert all(world.endpoint.id in text for text in found["failed"])
        assert len(found["twice"]) <= AGAIN
        assert found["lost"] or found["twice"]  # else it had all ended before
        assert len(found["lost"]) <= TASKS // 4
    found = ours.end()
    assert (found["right"], found["wrong"], found["failed"]) == (TASKS, 0, {})
    assert 1 <= len(found["twice"]) <= AGAIN
