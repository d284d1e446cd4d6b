"""What a worker calls for a row: the function, with the id of the row carried there and back, so that a later sweep
that finds the outcome in the service knows whose it is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

CARRIED = "_sweep_row"
"""Attribute of an exception with the id of its row."""


def numbered(function: Callable[..., Any], executor: Executor) -> Callable[..., Any]:
    """``call(id, arguments)``, which returns ``(id, function(**arguments))``.

    For our own Executor a closure, which is registered once and needs nothing of this package where it runs; for
    others, which pickle what they are given, an object.
    """
    if not hasattr(executor, "reload_tasks"):
        return NumberedCall(function)

    def call(number: int, arguments: dict[str, Any]) -> tuple[int, Any]:
        try:
            return number, function(**arguments)
        except Exception as error:
            try:  # noqa: SIM105 - where this runs there is nothing of ours to import
                error._sweep_row = number  # type: ignore[attr-defined]  # the attribute is made here
            except Exception:
                pass  # it refuses attributes: a later sweep runs the row again
            raise

    return call


class NumberedCall:
    """The same as an object."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, number: int, arguments: dict[str, Any]) -> tuple[int, Any]:
        """Call the function."""
        return number, self.function(**arguments)
