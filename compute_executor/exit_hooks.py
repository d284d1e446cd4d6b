"""Hooks for the end of a process that no caller announces: interpreter exit without shutdown, Ctrl-C, fork.

At exit every session finishes what was submitted to it. This runs as a plain ``atexit`` function: after
all non-daemon threads have ended (they may still submit until then), before daemon threads are stopped.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import Protocol

INTERRUPT_PATIENCE = 0.5
"""Seconds that a session gets to withdraw what has not begun when the user pressed Ctrl-C."""


class ExitHook(Protocol):
    """Interface of what has to act when the process ends or forks."""

    def release(self) -> None:
        """Finish what is open, and end."""

    def abandon(self) -> None:
        """Withdraw what can be withdrawn without waiting, and end."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end, ``timeout`` seconds at most."""

    def forked(self) -> None:
        """Let go of what is the parent's: this is the child of a fork."""


class _HookState:
    """State of the process's hooks. ``hooks``: sessions with a thread, which alone need anything of this."""

    def __init__(self) -> None:
        self.hooks: weakref.WeakSet[ExitHook] = weakref.WeakSet()
        self.installed = False
        self.exiting = False


_state = _HookState()


def exiting() -> bool:
    """Return whether the interpreter is about to exit."""
    return _state.exiting


def install() -> None:
    """Register with the interpreter: at the first Executor, so that one which is first used by a later ``atexit``
    function finds out that it is too late."""
    if not _state.installed:
        _state.installed = True
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_in_child)


def register(hook: ExitHook) -> None:
    """Call ``hook`` when the process ends or forks, for as long as it lives."""
    install()
    _state.hooks.add(hook)


def _at_exit() -> None:
    _state.exiting = True
    hooks = list(_state.hooks)
    # In a REPL, what was raised last is some statement ago.
    interrupted = by_interrupt(getattr(sys, "last_value", None)) and not hasattr(sys, "ps1")
    try:
        for hook in hooks:
            (hook.abandon if interrupted else hook.release)()
        for hook in hooks:
            hook.join(INTERRUPT_PATIENCE if interrupted else None)
    except KeyboardInterrupt:
        for hook in hooks:
            hook.abandon()
        for hook in hooks:
            hook.join(INTERRUPT_PATIENCE)


def by_interrupt(error: BaseException | None) -> bool:
    """Return whether ``error`` is Ctrl-C, or was raised while Ctrl-C was handled.

    ``threading.Condition.wait`` lets its lock go just before its ``try``. An interrupt between the two, 0.6 to
    0.8 % of those that came within 0.1 ms of its begin, leaves the ``with`` around it as the RuntimeError "cannot
    release un-acquired lock" (measured with CPython 3.10 to 3.13), with the KeyboardInterrupt as its context.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _in_child() -> None:
    for hook in list(_state.hooks):
        hook.forked()
    _state.hooks = weakref.WeakSet()
