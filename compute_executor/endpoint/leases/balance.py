"""Which tasks holders are to give back because workers of others have none. No I/O, no clock.

A holder is given some tasks ahead, so that its workers need not wait for the network. When those that run take long,
the ones behind them would wait for as long, and another holder, or one that has come since, has nothing to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Load(NamedTuple):
    """One holder: how many workers it has, and how many of them its tasks would take together."""

    workers: int
    held: int


def keeping(loads: Sequence[Load]) -> list[bool]:
    """Return which holders have tasks that wait behind others, while a worker elsewhere has none and nothing else
    waits. They are asked for all that has not begun, because only they know what that is.

    >>> keeping([Load(2, 4), Load(2, 0)]), keeping([Load(2, 3), Load(1, 1), Load(2, 1)])
    ([True, False], [True, False, False])
    >>> keeping([Load(2, 4), Load(2, 2)]), keeping([Load(2, 2), Load(2, 0)])
    ([False, False], [False, False])
    """
    free = any(one.held < one.workers for one in loads)
    return [free and one.held > one.workers for one in loads]
