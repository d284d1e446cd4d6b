"""Who was refused what: a line in the log for each refusal of authorisation.

    2026-11-24 10:30:00,123 WARNING compute_executor.service.audit: refused: ann (1f0c...) may not read task, by
    GET /v2/tasks/*

Said are who it was, what was to be done with what kind of thing, and by which route or frame: no id of it, no token,
nothing of its content, and of a path only the words that routes are made of. That something is not there at all is no
refusal.

Strangers cannot fill the disk, nor hide others among lines of their own: of one user, as of all strangers together,
come at most ``PER_WINDOW`` lines a minute, of all at most ``LINES``; how many more there were is said before the next
one of a later minute. Owner: the loop thread.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable

from compute_executor.errors import NotAuthorized
from compute_executor.service.access import Identity, forbidden_action

WINDOW = 60.0
"""Seconds for which refusals are counted together."""
PER_WINDOW, LINES = 20, 200
NAMED = 3
"""Of how many it is said by name that there was more to say."""
LONGEST_PATH = 8
"""Parts of a path that are shown; routes have five at most."""

_STRANGERS = "strangers"
_WORD = re.compile(r"[a-z][a-z_]{0,30}\d?")

log: logging.Logger = logging.getLogger(__name__)


class Audit:
    """``write`` takes a line; ``clock`` tells seconds that only rise."""

    def __init__(
        self, write: Callable[[str], None] = log.warning, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._until = 0.0
        self._counts = Counter[str]()
        self._lines = 0

    def refused(self, who: Identity | None, where: str, error: BaseException, at: str = "") -> None:
        """Note that something went wrong: written if it is a refusal. ``who``: None for strangers, of whom only the
        address ``at`` is known; ``where``: route or frame."""
        why = _why(error)
        if why is None:
            return
        self._turn()
        key = _STRANGERS if who is None else who.id
        self._counts[key] += 1
        if self._counts[key] <= PER_WINDOW and self._lines < LINES:
            self._lines += 1
            self._write(f"refused: {_named(who)}{at and f' at {at}'} {why}, by {where}")

    def _turn(self) -> None:
        """Begin to count anew if it is time."""
        now = self._clock()
        if now < self._until:
            return
        more, left = _over(self._counts), sum(self._counts.values()) - self._lines
        self._until = now + WINDOW
        self._counts.clear()
        self._lines = 0
        if left:
            self._write(f"refused {left:,} more times since then, within {WINDOW:.0f} s: most were of {more}")


def shape(path: str) -> str:
    """Return a path without what a client put into it: ``/v2/tasks/*``."""
    parts = path.split("/", LONGEST_PATH + 1)
    return "/".join(part if not part or _WORD.fullmatch(part) else "*" for part in parts[:LONGEST_PATH])


def _why(error: BaseException) -> str | None:
    action = forbidden_action(error)
    if action is not None:
        return f"may not {action}"
    return f"is not let in ({error})" if isinstance(error, NotAuthorized) else None


def _named(who: Identity | None) -> str:
    if who is None:
        return "somebody"
    return who.id if who.name == who.id else f"{who.name[:100]} ({who.id})"


def _over(counts: Counter[str]) -> str:
    return ", ".join(f"{key} ({count:,})" for key, count in counts.most_common(NAMED))
