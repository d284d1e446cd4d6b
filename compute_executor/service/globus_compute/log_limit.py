"""A bound on how often one line is logged, for lines that repeat as long as a broker or an endpoint is in trouble.

Each line of code may log `BURST` times at once about one subject (its first argument), then once every `EVERY`
seconds; that line then tells how many were left out.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

BURST = 10
EVERY = 60.0
"""Seconds."""
SUBJECTS = 1_000
"""Subjects that are remembered, over all lines of one module."""


class RepeatLimit(logging.Filter):
    """A token bucket for each line and subject. Owner: the loop thread, which alone logs in this package.
    ``clock``: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._buckets: OrderedDict[tuple[int, str], tuple[float, float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a line; append how many like it were left out before."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        key = (record.lineno, str(arguments[0])[:100] if arguments else "")
        now = self._clock()
        tokens, since, left_out = self._buckets.pop(key, (float(BURST), now, 0))
        tokens = min(BURST, tokens + (now - since) / EVERY)
        if len(self._buckets) >= SUBJECTS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            self._buckets[key] = (tokens, now, left_out + 1)
            return False
        self._buckets[key] = (tokens - 1, now, 0)
        if left_out:
            record.msg = f"{record.msg} ({left_out} more lines like this one were left out)"
        return True


def limited_logger(name: str) -> logging.Logger:
    """Return the logger of a module, with a bound on its repetitions."""
    logger = logging.getLogger(name)
    if not any(isinstance(one, RepeatLimit) for one in logger.filters):
        logger.addFilter(RepeatLimit())
    return logger
