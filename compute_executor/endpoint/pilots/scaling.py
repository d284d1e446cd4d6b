"""How many blocks there should be. No I/O, no clock.

A block is what a scheduler gives at a time: a job, or one task of an engine. Its pilots have so many workers
together. Blocks come with work and go when idle; the tasks that wait at the service count, not only those that are
here.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class BlockLimits(NamedTuple):
    """``workers``: of one block; ``least``, ``most``: blocks; ``idle``: seconds without a task after which one
    goes."""

    workers: int
    least: int = 0
    most: int = 1
    idle: float = 60.0


def wanted(limits: BlockLimits, tasks: int) -> int:
    """Return blocks for so many tasks that run or wait.

    >>> limits = BlockLimits(workers=4, least=1, most=3)
    >>> wanted(limits, 0), wanted(limits, 5), wanted(limits, 10_000)
    (1, 2, 3)
    """
    return min(limits.most, max(limits.least, math.ceil(tasks / limits.workers)))


def to_start(limits: BlockLimits, tasks: int, blocks: int) -> int:
    """Return how many more to ask for, where there are ``blocks`` that wait or run."""
    return max(0, wanted(limits, tasks) - blocks)


def may_go(limits: BlockLimits, tasks: int, blocks: int, idle: float) -> bool:
    """Return whether a block without a task for ``idle`` seconds is to end.

    >>> limits = BlockLimits(workers=4, least=0, most=3, idle=5.0)
    >>> may_go(limits, 0, 1, 6.0), may_go(limits, 0, 1, 4.0), may_go(limits, 5, 2, 60.0)
    (True, False, False)
    """
    return idle > limits.idle and blocks > wanted(limits, tasks)
