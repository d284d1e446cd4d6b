"""A task that kills its user endpoint, an endpoint that is off, queues that are deleted: all ends, nothing spins."""

from __future__ import annotations

import base64
import signal
import time
import urllib.request
import uuid
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import quote

import pytest

from compute_executor.service.globus_compute import names
from integration.stock.conftest import World
from integration.stock.peers import CLIENT_ID, answer, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def one(world: World, number: int, name: str) -> tuple[Popen[str], Path]:
    """A task on the stock endpoint, submitted when the file is there."""
    mark = world.folder / f"{name}.submitted"
    process = world.ours.start("one.py", world.endpoint.id, str(mark), str(number), config={"name": name})
    wait_until(lambda: mark.exists() or process.poll() is not None, "the task is submitted")
    return process, mark


def cpu(process: int) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def delete_queue(world: World, queue: str) -> None:
    """As an operator does it by hand."""
    url = f"{world.broker.management_url}/api/queues/%2F/{quote(queue, safe='')}"
    request = urllib.request.Request(url, method="DELETE")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    urllib.request.urlopen(request).close()


def test_a_task_that_kills_its_user_endpoint_runs_once(world: World, tmp_path: Path) -> None:
    mark = tmp_path / "poison"
    found = world.sdk.run("poison.py", world.endpoint.id, str(mark), config={"name": "poison"})
    print(f"\npoison: {found}")
    assert found["runs"] == 1
    assert "took this task" in found["poison"]
    assert [value for value in found["neighbours"] if isinstance(value, str) and "took" not in value] == []


def test_an_endpoint_that_is_off_costs_nothing(world: World) -> None:
    world.endpoint.kill()
    process, _ = one(world, 7, "off")
    pid = world.service._process.pid
    before = cpu(pid)
    time.sleep(10)
    used = cpu(pid) - before
    begun = time.monotonic()
    world.service.stop(signal.SIGTERM)
    ended = time.monotonic() - begun
    print(f"\noff: {used * 10:.1f} % of a processor, SIGTERM {ended:.1f} s")
    world.service.start()
    world.endpoint.start()
    found = answer(process)
    print(f"off: {found}")
    assert found["value"] == 49
    assert used < 0.3
    assert ended < 5


@pytest.mark.parametrize("queue", ["tasks", "results", "log"])
def test_a_deleted_queue_comes_back(world: World, queue: str) -> None:
    answer(one(world, 3, "deleted")[0])
    config: dict[str, Any] = {"name": "deleted"}
    user_endpoint = names.user_endpoint_id(uuid.UUID(world.endpoint.id), CLIENT_ID, config)
    every = {
        "tasks": names.task_queue(user_endpoint),
        "log": names.log_queue(user_endpoint),
        "results": names.RESULTS,
    }
    lines = len(world.service.log().splitlines())
    delete_queue(world, every[queue])
    found = answer(one(world, 5, "deleted")[0])
    written = world.service.log().splitlines()[lines:]
    print(f"\n{queue} deleted: {found}, {len(written)} lines of log")
    assert found["value"] == 25
    assert len(written) < 50
