"""What is told of long turns of a loop. Clocks are the test's own; once with a loop that really stands still."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from compute_executor.service.process.watchdog import (
    IDLE,
    IDLE_PERIOD,
    LONGEST,
    PERIOD,
    QUIET,
    LogOfTurns,
    LoopWatchdog,
)


class Clocks:
    """A wall clock and a CPU clock, which go on when the test says so."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def on(self, wall: float, cpu: float) -> None:
        self.wall += wall
        self.cpu += cpu


class Watched:
    """A watchdog whose loop ticks when the test says so, and what it has told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float, str]] = []
        self.clocks = clocks = Clocks()
        self.dog = LoopWatchdog(
            lambda *turn: self.told.append(turn), clock=lambda: clocks.wall, cpu=lambda: clocks.cpu
        )
        self.dog._loop = self  # type: ignore[assignment]
        self.dog._next()

    def call_later(self, delay: float, _call: Any) -> None:
        """Of the loop."""
        self.delay = delay

    def turn(self, wall: float, cpu: float) -> None:
        self.clocks.on(wall + self.delay, cpu)
        self.dog._tick()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_short_turns_are_not_told(watched: Watched) -> None:
    for _ in range(100):
        watched.turn(LONGEST / 2, LONGEST / 2)
    assert watched.told == []


def test_a_long_turn_is_told_with_both_clocks(watched: Watched) -> None:
    watched.turn(0.3, 0.2)
    ((seconds, cpu, _),) = watched.told
    assert (seconds, cpu) == (pytest.approx(0.3), pytest.approx(0.2))


def test_a_loop_with_nothing_to_do_is_looked_at_less_often(watched: Watched) -> None:
    assert watched.delay == PERIOD
    watched.turn(0, IDLE / 2)
    assert watched.delay == IDLE_PERIOD
    watched.turn(0.3, 0.2)
    assert watched.delay == PERIOD
    assert len(watched.told) == 1


def test_what_a_busy_machine_takes_is_not(watched: Watched) -> None:
    watched.turn(3.0, LONGEST / 2)
    assert watched.told == []


def test_many_short_turns_in_time_are_not_one_long_one(watched: Watched) -> None:
    watched.turn(0.001, PERIOD + LONGEST)
    assert watched.told == []


def test_what_was_seen_in_another_turn_is_not_told(watched: Watched) -> None:
    watched.dog.look(watched.dog.look(-1))
    watched.turn(0, 0)
    watched.turn(0.3, 0.3)
    assert watched.told[0][2] == "unknown"


def test_the_log_is_told_at_most_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    now = [10.0]
    report = LogOfTurns(lambda: now[0])
    for _ in range(50):
        report(0.1, 0.08, "here")
    now[0] += QUIET + 0.1
    report(0.2, 0.15, "there")
    first, last = caplog.messages
    assert first == "a turn of the loop took 100 ms, 80 ms of CPU: here"
    assert last == "a turn of the loop took 200 ms, 150 ms of CPU: there (49 others since the last line)"


def test_a_loop_that_stands_still(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[float, float, str]] = []

    def compute_for_long() -> None:
        ends = time.thread_time() + 4 * LONGEST
        while time.thread_time() < ends:
            pass

    async def scenario() -> None:
        dog = LoopWatchdog(lambda *turn: told.append(turn))
        dog.start()
        await asyncio.sleep(2 * PERIOD)
        compute_for_long()
        await asyncio.sleep(2 * PERIOD)
        dog.stop()

    caplog.set_level(logging.WARNING)
    asyncio.run(scenario())
    assert any("compute_for_long" in what for _, _, what in told)
