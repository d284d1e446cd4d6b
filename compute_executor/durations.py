"""Durations and moments for people to read."""

from __future__ import annotations

import time
from typing import Any

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


UNITS = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
LONGEST = 1e10


def seconds_of(text: str) -> float:
    """Return the seconds of a duration as people write it: a number and a unit. Raises ValueError.

    >>> seconds_of("90s"), seconds_of("15m"), seconds_of("1.5h"), seconds_of("2d"), seconds_of("1w")
    (90.0, 900.0, 5400.0, 172800.0, 604800.0)
    """
    try:
        seconds = float(text[:-1]) * UNITS[text[-1:]]
    except (KeyError, ValueError):
        raise ValueError(f"{text!r} is no duration such as 90s, 15m, 1h, 2d or 1w") from None
    if not 0 <= seconds < LONGEST:
        raise ValueError(f"{text!r} is not 0 or more and less than 300 years")
    return seconds


def age(moment: float | None, now: float | None = None) -> str:
    """Return how long ago a Unix time was, for reading.

    >>> age(100.0, 145.0), age(100.0, 400.0), age(0.0, 7300.0), age(None)
    ('45 s ago', '5 min ago', '2 h ago', '')
    """
    if moment is None:
        return ""
    return f"{length(max(0.0, (time.time() if now is None else now) - moment))} ago"


def took(task: dict[str, Any], now: float | None = None) -> str:
    """Return how long a task ran, or runs so far, for reading; "" if it has not begun, or that is not known.

    >>> took({"began": 10.0, "ended": 12.5}), took({"began": 10.0, "ended": None}, 55.0), took({"began": None})
    ('2.5 s', '45 s so far', '')
    """
    if not task["began"]:
        return ""
    end = task["ended"] or (time.time() if now is None else now)
    return length(max(0.0, end - task["began"])) + ("" if task["ended"] else " so far")


def length(seconds: float) -> str:
    """Return a duration with its unit.

    >>> length(0.0123), length(2.5), length(90), length(5400), length(200000)
    ('12.3 ms', '2.5 s', '90 s', '90 min', '2 d')
    """
    if seconds < 1.0:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 2 * MINUTE:
        return f"{seconds:.3g} s"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.0f} h"
    return f"{seconds / DAY:.0f} d"
