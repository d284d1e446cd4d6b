from __future__ import annotations

import io

from compute_executor.sweeps.progress import shown
from compute_executor.sweeps.tally import Tally, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass only when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_remaining_time_count_only_what_was_run_now() -> None:
    assert (
        Tally(1000, ended=100, failed=1, skipped=500).text(10)
        == "600/1,000 rows, 10/s, 0:00:40 left, 1 failed"
    )


def test_nothing_ended_yet_promises_nothing() -> None:
    assert Tally(10).text(0) == "0/10 rows, 0/s, -:--:-- left, 0 failed"


def test_slow_rates_keep_their_digits() -> None:
    assert "0.25/s" in Tally(10, ended=1).text(4)
    assert duration(3 * 3600 + 65) == "3:01:05"


def test_a_log_gets_a_plain_line_now_and_then() -> None:
    stream, clock, tally = io.StringIO(), Clock(), Tally(100)
    with shown(tally, stream, clock) as changed:
        for _ in range(10):
            clock.now += 2
            tally.ended += 1
            changed()
    assert stream.getvalue().splitlines() == [
        "3/100 rows, 0.5/s, 0:03:14 left, 0 failed",
        "6/100 rows, 0.5/s, 0:03:08 left, 0 failed",
        "9/100 rows, 0.5/s, 0:03:02 left, 0 failed",
    ]


def test_a_terminal_gets_a_bar() -> None:
    stream, clock, tally = Terminal(), Clock(), Tally(100)
    with shown(tally, stream, clock) as changed:
        clock.now = 2
        tally.ended, tally.failed = 50, 3
        changed()
    assert "50/100 rows, 25/s, 0:00:02 left, 3 failed" in stream.getvalue()
    assert "━" in stream.getvalue()
