"""What differs between operating systems."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute_executor import system

CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
from compute_executor import system
system.die_with(int(sys.argv[1]))
print("armed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child() -> Iterator[Any]:
    """Starts a process that dies with the writing end of a pipe; gives it and that end."""
    started = []

    def start(*, late: bool = False) -> Any:
        reading, writing = os.pipe()
        if late:
            os.close(writing)
        root = str(Path(system.__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(reading), root],
            pass_fds=[reading],
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        os.close(reading)
        started.append(process)
        return process, writing

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_dies_when_the_pipe_ends(child: Any) -> None:
    process, writing = child()
    assert process.stdout.readline() == b"armed\n"
    os.close(writing)
    assert process.wait(20) == -9


def test_a_process_that_comes_too_late_leaves(child: Any) -> None:
    process, _ = child(late=True)
    assert process.wait(20) == 1
    assert process.stdout.read() == b""


def test_a_kernel_without_process_descriptors_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(pid: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", unknown)
    assert system.death_notice(os.getpid()) is None


def test_messages_of_a_task_channel_stay_whole() -> None:
    sending, receiving = system.task_channel()
    with sending, receiving:
        sending.send(b"one")
        sending.send(b"two")
        assert [receiving.recv(100), receiving.recv(100)] == [b"one", b"two"]


def test_with_few_descriptors_a_copy_is_as_far_up_as_there_is_room() -> None:
    source = """
import resource, os
from compute_executor.system import out_of_the_way
first = out_of_the_way(0)
os.close(first)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
print(first, out_of_the_way(0))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["100", "32"]


def test_descendants_are_found_and_ended_in_whatever_session() -> None:
    """Those of a process that adopts what its children leave behind."""
    grandchild = "import subprocess; subprocess.Popen(['sleep', '300'], start_new_session=True)"
    program = f"""
import os, subprocess, sys, time
from compute_executor import system
def left(number):
    while len(system.descendants(os.getpid())) != number:
        time.sleep(0.01)
    return number
assert system.adopt_orphans()
subprocess.run([sys.executable, "-c", {grandchild!r}], check=True)
subprocess.Popen(["sleep", "300"])
print(left(2), system.end_descendants(os.getpid(), of_other_sessions=True))
print(left(1), system.end_descendants(os.getpid()), left(0))
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split() == ["2", "1", "1", "1", "0"]


def test_a_service_that_somebody_has_started_is_everybodys() -> None:
    stays = "import time; time.sleep(300)"
    with subprocess.Popen([sys.executable, "-c", stays, "-m", "compute_executor.service", "x"]) as service:
        try:
            while not Path(f"/proc/{service.pid}/cmdline").read_bytes():  # its program is being loaded
                time.sleep(0.01)
            assert service.pid not in system.descendants(os.getpid())
        finally:
            service.kill()


def test_a_python_without_ctypes_does_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)  # as in an image whose libffi is missing
    assert not system.adopt_orphans()
    with open(tmp_path / "file", "w+b") as file:
        assert not system.free_space(file.fileno(), 10)
