"""Lines that repeat are bounded, and say how many were left out."""

from __future__ import annotations

import logging

from compute_executor.service.globus_compute.log_limit import BURST, EVERY, RepeatLimit, limited_logger


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def line(number: int, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.WARNING, "file", number, "broker %s", arguments, None)


def test_a_line_that_repeats_is_left_out_after_a_burst() -> None:
    time = Time()
    limit = RepeatLimit(time)
    assert sum(limit.filter(line(1, "a")) for _ in range(1000)) == BURST
    time.now += EVERY
    record = line(1, "a")
    assert limit.filter(record)
    assert record.getMessage() == f"broker a ({1000 - BURST} more lines like this one were left out)"
    assert not limit.filter(line(1, "a"))


def test_other_lines_and_other_subjects_have_a_bound_of_their_own() -> None:
    limit = RepeatLimit(Time())
    for _ in range(100):
        limit.filter(line(1, "a"))
    assert limit.filter(line(2, "a"))
    assert limit.filter(line(1, "b"))
    assert limit.filter(line(1))


def test_few_subjects_are_remembered() -> None:
    limit = RepeatLimit(Time())
    for number in range(5000):
        limit.filter(line(1, number))
    assert len(limit._buckets) <= 1000


def test_a_logger_has_one_bound() -> None:
    logger = limited_logger("test of the bound")
    assert limited_logger("test of the bound") is logger
    assert len(logger.filters) == 1
