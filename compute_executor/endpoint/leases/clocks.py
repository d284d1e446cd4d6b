"""How far the clock of this machine is ahead of another's, from one exchange. No I/O, no clock."""

from __future__ import annotations


def ahead(sent: float, received: float, theirs: float) -> float:
    """Return the seconds that the clock here is ahead, where the other machine said ``theirs`` between ``sent`` and
    ``received``; 0.0 if the clocks may be equal. Unix times.

    >>> ahead(100.0, 102.0, 101.5), ahead(100.0, 102.0, 50.0), ahead(100.0, 102.0, 151.0)
    (0.0, 51.0, -50.0)
    """
    if sent <= theirs <= received:
        return 0.0
    return (sent + received) / 2 - theirs
