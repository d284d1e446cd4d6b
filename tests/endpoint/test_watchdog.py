"""The thread that looks after chunks, with a link that only records."""

from __future__ import annotations

import threading

import pytest

from compute_executor.endpoint import messages, watchdog
from compute_executor.endpoint.watchdog import Watchdog

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


def chunk(count: int) -> list[messages.TaskRecord]:
    return [(1, position, 1, 0, 0, b"") for position in range(count)]


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """In place of the project's check: a watchdog's thread is a daemon that ends with its process."""


def test_the_rest_of_a_chunk_goes_back_while_a_task_takes_long():
    link = Link()
    dog = Watchdog(link)
    dog.guard(chunk(4))
    assert dog.next_task() == chunk(1)[0]
    assert link.sent.wait(PATIENCE)  # the task runs and runs
    assert link.returned == [(1, 1, 1), (1, 2, 1), (1, 3, 1)], "in their order"
    assert dog.next_task() is None


def test_results_held_back_are_told_although_nothing_is_left_to_return():
    link = Link()
    dog = Watchdog(link)
    dog.guard(chunk(1))
    assert dog.next_task() is not None
    link.holds = True
    assert link.told.wait(PATIENCE)
    assert not link.returned


def test_a_flowing_chunk_is_left_alone():
    link = Link()
    dog = Watchdog(link)
    dog.guard(chunk(20_000))
    count = 0
    while dog.next_task() is not None:
        count += 1
    assert count == 20_000
    assert not link.returned


def test_the_thread_parks_and_wakes_again(monkeypatch):
    monkeypatch.setattr(watchdog, "TICK", 0.001)
    monkeypatch.setattr(watchdog, "PARK_AFTER", 2)
    link = Link()
    dog = Watchdog(link)
    dog.guard(chunk(1))
    dog.next_task()
    while dog.awake():
        threading.Event().wait(0.001)
    link.returned.clear()  # a slow machine may have made the first task a long one
    link.sent.clear()
    dog.guard(chunk(2))
    assert dog.awake()
    assert link.sent.wait(PATIENCE)
    assert link.returned == [(1, 0, 1), (1, 1, 1)]


def test_a_link_that_is_gone_does_not_end_in_a_traceback():
    link = Link()
    link.broken = True
    dog = Watchdog(link)
    dog.guard(chunk(2))
    assert link.told.wait(PATIENCE)
    link.told.clear()
    dog.guard(chunk(2))
    assert link.told.wait(PATIENCE), "the thread lives on"
