"""The thread that looks after chunks, with a link that only records."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from compute_executor.endpoint.worker import chunk_watcher, messages
from compute_executor.endpoint.worker.chunk_watcher import ChunkWatcher

PATIENCE = 10.0


class Link:
    """Records what is announced; ``holds`` says whether results are held back."""

    def __init__(self) -> None:
        self.returned: list[tuple[int, int, int]] = []
        self.told = threading.Event()
        self.sent = threading.Event()
        self.holds = False
        self.broken = False

    def send(self, kind: int, payload: bytes = b"") -> None:
        assert kind == messages.RETURNED
        self.returned += messages.unpack_keys(payload)
        self.sent.set()

    def holding(self) -> bool:
        return self.holds

    def tell_results(self) -> None:
        self.holds = False
        self.told.set()
        if self.broken:
            raise BrokenPipeError


class Clock:
    """In place of `time.sleep`: the thread sleeps until the test lets a tick pass."""

    def __init__(self) -> None:
        self._asleep = threading.Semaphore(0)
        self._passed = threading.Semaphore(0)

    def sleep(self, seconds: float) -> None:
        self._asleep.release()
        self._passed.acquire()

    def tick(self, count: int = 1, meanwhile: Callable[[], object] = int) -> None:
        """So many ticks pass, with something done while the thread sleeps. What it does then is still to be waited
        for."""
        for _ in range(count):
            assert self._asleep.acquire(timeout=PATIENCE)
            meanwhile()
            self._passed.release()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def chunk(count: int) -> list[messages.TaskRecord]:
    return [(1, position, 1, 0, 0, b"") for position in range(count)]


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """In place of the project's check: the thread of a chunk watcher is a daemon that ends with its process."""


def test_the_rest_of_a_chunk_goes_back_while_a_task_takes_long(clock: Clock) -> None:
    link = Link()
    dog = ChunkWatcher(link, clock.sleep)
    dog.guard(chunk(4))
    assert dog.next_task() == chunk(1)[0]
    clock.tick(2)  # the task runs and runs
    assert link.sent.wait(PATIENCE)
    assert link.returned == [(1, 1, 1), (1, 2, 1), (1, 3, 1)], "in their order"
    assert dog.next_task() is None


def test_results_held_back_are_told_although_nothing_is_left_to_return(clock: Clock) -> None:
    link = Link()
    dog = ChunkWatcher(link, clock.sleep)
    dog.guard(chunk(1))
    assert dog.next_task() is not None
    link.holds = True
    clock.tick(2)
    assert link.told.wait(PATIENCE)
    assert not link.returned


def test_a_flowing_chunk_is_left_alone(clock: Clock) -> None:
    link = Link()
    dog = ChunkWatcher(link, clock.sleep)
    dog.guard(chunk(100))
    clock.tick(100, meanwhile=dog.next_task)
    assert dog.next_task() is None
    assert not link.returned


def test_the_thread_parks_and_wakes_again(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(chunk_watcher, "PARK_AFTER", 2)
    link = Link()
    dog = ChunkWatcher(link, clock.sleep)
    dog.guard(chunk(1))
    dog.next_task()
    clock.tick(3)
    deadline = time.monotonic() + PATIENCE
    while dog.awake() and time.monotonic() < deadline:
        threading.Event().wait(0.001)
    assert not dog.awake()
    dog.guard(chunk(2))
    assert dog.awake()
    clock.tick(1)
    assert link.sent.wait(PATIENCE)
    assert link.returned == [(1, 0, 1), (1, 1, 1)]


def test_a_link_that_is_gone_does_not_end_in_a_traceback(clock: Clock) -> None:
    link = Link()
    link.broken = True
    dog = ChunkWatcher(link, clock.sleep)
    dog.guard(chunk(2))
    clock.tick()
    assert link.told.wait(PATIENCE)
    link.told.clear()
    dog.guard(chunk(2))
    clock.tick()
    assert link.told.wait(PATIENCE), "the thread lives on"
