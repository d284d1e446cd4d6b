"""The ends of a process that nobody announces: interpreter exit without shutdown, Ctrl-C, fork.

At exit every session finishes what was submitted to it. This runs as a plain ``atexit`` function: after
all non-daemon threads have ended (they may still submit until then), before daemon threads are stopped.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import Protocol

LAST_WORDS = 0.5
"""Seconds that a session gets to withdraw what has not begun when the user pressed Ctrl-C."""


class ExitHook(Protocol):
    """What a session can do about it."""

    def release(self) -> None:
        """Finish and end."""

    def abandon(self) -> None:
        """End."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end."""

    def forked(self) -> None:
        """This is the child of a fork."""


class _HookState:
    """One for the process. ``watched``: sessions with a thread, which alone need anything of this."""

    def __init__(self) -> None:
        self.watched: weakref.WeakSet[ExitHook] = weakref.WeakSet()
        self.registered = False
        self.begun = False


_state = _HookState()


def begun() -> bool:
    """Whether the interpreter is about to exit."""
    return _state.begun


def expect() -> None:
    """Learn of the end of this process: at the first Executor, so that one which is first used by a later
    ``atexit`` function finds out that it is too late."""
    if not _state.registered:
        _state.registered = True
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_in_child)


def watch(leaver: ExitHook) -> None:
    """Have ``leaver`` do what is right when the process ends or forks."""
    expect()
    _state.watched.add(leaver)


def _at_exit() -> None:
    _state.begun = True
    leavers = list(_state.watched)
    # In a REPL, what was raised last is some statement ago.
    interrupts = by_interrupt(getattr(sys, "last_value", None)) and not hasattr(sys, "ps1")
    try:
        for leaver in leavers:
            (leaver.abandon if interrupts else leaver.release)()
        for leaver in leavers:
            leaver.join(LAST_WORDS if interrupts else None)
    except KeyboardInterrupt:
        for leaver in leavers:
            leaver.abandon()
        for leaver in leavers:
            leaver.join(LAST_WORDS)


def by_interrupt(error: BaseException | None) -> bool:
    """Whether ``error`` is Ctrl-C, or was raised while Ctrl-C was.

    ``threading.Condition.wait`` lets its lock go just before its ``try``. An interrupt between the two, 0.6 to
    0.8 % of those that came within 0.1 ms of its begin, leaves the ``with`` around it as the RuntimeError "cannot
    release un-acquired lock" (measured with CPython 3.10 to 3.13), with the KeyboardInterrupt as its context.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _in_child() -> None:
    for leaver in list(_state.watched):
        leaver.forked()
    _state.watched = weakref.WeakSet()
