"""Loss of power: what is left is what had reached the disk.

The state folder lies on a file system in a file. What programs have written and not synced is in the memory of the
kernel, not in that file. So a copy of the file, made while everything is stopped, is the disk that a loss of power at
that moment would leave.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import globus_sdk
import pytest

from compute_executor import Client, Executor
from compute_executor.errors import TaskPending
from compute_executor.local.state import DATABASE
from tests.contract.work import wait_until
from tests.faults.served import Served

SIZE = 128 * 1024 * 1024
PATIENCE = 60.0


class Disk:
    """A file system in a file. Making one takes root, and a kernel with loop devices."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "disk.img"
        self.copy = folder / "copy.img"
        self.folder = folder / "disk"
        self.folder.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)

    def mount(self) -> None:
        """``commit``: in seconds, so that the file system brings nothing to the disk before it must."""
        command = ["mount", "-o", "loop,commit=300", self.image, self.folder]
        if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:  # type: ignore[arg-type]
            pytest.skip("a file cannot be mounted as a disk here (mount -o loop)")

    def lose_power(self, *processes: int) -> None:
        """Stop these and their children where they are, and go on without them, with what had reached the disk."""
        stopped = [one for process in processes for one in stop(process)]
        shutil.copyfile(self.image, self.copy)
        for one in stopped:
            os.kill(one, signal.SIGKILL)
        wait_until(self.unmount)
        self.copy.replace(self.image)
        self.mount()

    def unmount(self) -> bool:
        """False while a process that was killed is not gone."""
        command = ["umount", self.folder]
        return not subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode  # type: ignore[arg-type]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid():
        pytest.skip("making a disk (mount -o loop) takes root")
    disk = Disk(tmp_path)
    disk.mount()
    yield disk
    wait_until(disk.unmount)


def stop(process: int) -> list[int]:
    """Have it stand still, and its children, which cannot become more then."""
    os.kill(process, signal.SIGSTOP)
    lists = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for path in lists for child in path.read_text().split()]
    for child in children:
        os.kill(child, signal.SIGSTOP)
    return [process, *children]


CLIENT = """
import itertools, os, sys, threading
import globus_sdk
from compute_executor import Client, Executor

def text(number):
    return str(number).ljust(70_000 if number % 10 == 0 else 5)  # each tenth is large: a file of its own

def say(*words):  # a line at once, so that nothing is said that was not known
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

client = Client(base_url=sys.argv[1], authorizer=globus_sdk.AccessTokenAuthorizer(sys.stdin.read()))
ex = Executor(client=client, max_workers=2).options(keep="1h")  # what was told is asked for again, afterwards

def submit():
    for number in range(3000):
        future = ex.submit(text, number)
        future.add_done_callback(lambda done, n=number: say("told", done.task_id, n, done.result() == text(n)))

threading.Thread(target=submit).start()
function = client.register_function(text)
for number in itertools.count():
    say("accepted", client.run(number, function_id=function), number)
"""
"""Says what it was told: that a task is accepted, or its result."""


def text(number: int) -> str:
    """What its tasks return."""
    return str(number).ljust(70_000 if number % 10 == 0 else 5)


class Known(NamedTuple):
    """What a client knew when the power went: numbers of tasks, by task id."""

    accepted: dict[str, int]
    told: dict[str, int]


def work_until_the_power_goes(disk: Disk, durability: str, results: int) -> Known:
    """Have a service and a client at work until so many results have been told."""
    with (
        closing(Served(disk.folder / "state", durability)) as served,
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, served.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as client,
    ):
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(served.token)
        client.stdin.close()
        known = Known({}, {})
        while len(known.told) < results or not known.accepted:
            hear(known, client.stdout.readline())
        disk.lose_power(client.pid, served.process.pid)
        for line in client.stdout:
            hear(known, line)
    return known


def hear(known: Known, line: str) -> None:
    """What the client says. Its last line may be cut."""
    match line.split():
        case ["accepted", task_id, number]:
            known.accepted[task_id] = int(number)
        case ["told", task_id, number, right]:
            assert right == "True"
            known.told[task_id] = int(number)


def check_store(disk: Disk) -> None:
    with closing(sqlite3.connect(disk.folder / "state" / DATABASE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def outcome(client: Client, task_id: str) -> object:
    """The result of a task, when it has one."""
    found = []

    def ended() -> bool:
        with contextlib.suppress(TaskPending):
            found.append(client.get_result(task_id))
        return bool(found)

    wait_until(ended)
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize("results", [1, 300, 1000])
def test_what_was_acknowledged_is_there(disk: Disk, results: int) -> None:
    """With the durability of `serve`. What had begun and has no result runs again: nobody knows that it had."""
    known = work_until_the_power_goes(disk, "machine", results)
    check_store(disk)
    with closing(Served(disk.folder / "state", "machine")) as served:
        token = globus_sdk.AccessTokenAuthorizer(served.token)
        with Client(base_url=served.url, authorizer=token) as client:
            for task_id, number in {**known.accepted, **known.told}.items():
                assert outcome(client, task_id) == text(number)


@pytest.mark.slow
def test_without_that_durability_the_store_is_whole_all_the_same(disk: Disk) -> None:
    """What is lost is the newest of it, as `process` says."""
    work_until_the_power_goes(disk, "process", 300)
    check_store(disk)
    with closing(Served(disk.folder / "state", "process")) as served:
        token = globus_sdk.AccessTokenAuthorizer(served.token)
        with Client(base_url=served.url, authorizer=token) as client, Executor(client=client) as executor:
            assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
