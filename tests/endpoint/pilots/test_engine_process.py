"""The process of an engine: what it has started ends with it, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute_executor import system
from compute_executor.endpoint.agent.folder import EndpointFolder
from tests.contract.work import wait_until
from tests.endpoint.agent.running import environment

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="no /proc: processes cannot be found"
)

FACTORY = """
import os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor

LEAVES = "import subprocess; print(subprocess.Popen(['sleep', '300'], start_new_session=True, stdout=2).pid)"


def make():
    pool = ProcessPoolExecutor(2)
    found = {pool.submit(os.getpid).result()}
    daemon = subprocess.run([sys.executable, "-c", LEAVES], stdout=subprocess.PIPE, check=True).stdout
    with open(os.environ["FOUND"], "w") as file:
        print(os.getpid(), *pool._processes, int(daemon), file=file)
    return pool
"""

AGENT = """
import asyncio, json, os, sys
from pathlib import Path
from compute_executor.endpoint.agent.folder import EndpointFolder
from compute_executor.endpoint.pilots.engine_process import EngineProcess
from compute_executor.endpoint.pilots.slots import SlotOrder
from compute_executor.errors import ComputeError

factory, work = sys.argv[1:]


async def main():
    folder = EndpointFolder("leaves")
    folder.prepare()
    order = SlotOrder("ticket", "", "name", work, 1, {})
    process = EngineProcess(
        f"{factory}:make",
        {},
        order,
        Path(work) / "engine.log",
        mark=folder.engine_mark,
        started=folder.announce_engine,
    )
    await process.start()
    for line in iter(lambda: (print("ready", flush=True), sys.stdin.readline())[1], ""):
        try:
            if line.strip() == "close":
                await process.close()
            elif line.strip() == "start":
                await process.start()
            else:
                await asyncio.wait_for(process.look(), 10)
            print("done", flush=True)
        except ComputeError as error:
            print(error, flush=True)


asyncio.run(main())
"""


class Agent:
    """A process with an engine's, which does what it is told. ``engine``, ``others``: process ids of the engine's,
    and of what it has started: two of a pool and one of a session of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "pool.py").write_text(FACTORY)
        self._found = folder / "found"
        self.process = subprocess.Popen(
            [sys.executable, "-c", AGENT, str(folder / "pool.py"), str(folder)],
            env=environment(FOUND=str(self._found)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.hears() == "ready"
        self.engine, *self.others = self.found()
        self.started = {pid: system.start_time(pid) for pid in (self.engine, *self.others)}

    def found(self) -> list[int]:
        return [int(word) for word in self._found.read_text().split()]

    def hears(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def told(self, word: str) -> str:
        """What it says when it has done this."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        said = self.hears()
        assert self.hears() == "ready"
        return said

    def alive(self) -> list[int]:
        """Those of its processes that live."""
        return [pid for pid, started in self.started.items() if system.start_time(pid) == started]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    found = Agent(tmp_path)
    assert len(found.alive()) == 4
    yield found
    found.end()


def test_killed_it_is_noticed_and_leaves_nothing(agent: Agent) -> None:
    os.kill(agent.engine, signal.SIGKILL)
    assert agent.told("look") == "the engine's process was ended by SIGKILL"
    assert agent.alive() == []
    assert agent.told("start") == "done"
    assert agent.found()[0] != agent.engine
    agent.started = {pid: system.start_time(pid) for pid in agent.found()}
    assert agent.told("close") == "done"
    assert agent.alive() == []


def test_closed_it_leaves_nothing(agent: Agent) -> None:
    assert agent.told("close") == "done"
    assert agent.alive() == []


def test_its_endpoint_is_killed_and_it_ends_what_it_can_see(agent: Agent) -> None:
    agent.process.kill()
    *_, daemon = agent.others
    wait_until(lambda: agent.alive() == [daemon])
    assert EndpointFolder("leaves").end_engine_left() == 1
    wait_until(lambda: agent.alive() == [])


def test_both_are_killed_and_the_next_start_ends_what_they_left(agent: Agent) -> None:
    os.kill(agent.engine, signal.SIGSTOP)
    agent.process.kill()
    agent.process.wait()
    os.kill(agent.engine, signal.SIGKILL)
    wait_until(lambda: agent.engine not in agent.alive())
    assert sorted(agent.alive()) == sorted(agent.others)
    folder = EndpointFolder("leaves")
    assert folder.end_engine_left() == 3
    wait_until(lambda: agent.alive() == [])
    assert folder.end_engine_left() == 0


def test_the_number_of_a_process_that_is_another_by_now_says_nothing(agent: Agent) -> None:
    record = EndpointFolder("leaves").here / "engine.json"
    found = json.loads(record.read_text())
    assert (found["pid"], found["started"]) == (agent.engine, agent.started[agent.engine])
    assert system.end_left_by(agent.engine, found["started"] - 1, "") == 0
    assert system.end_left_by(0, 0, "") == 0
    assert len(agent.alive()) == 4
