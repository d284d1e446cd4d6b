"""Errors about one task each, made of an error that ended many. No I/O."""

from __future__ import annotations

from typing import Any

from compute_executor.errors import ComputeError
from compute_executor.future import ComputeFuture


def about(error: ComputeError, future: ComputeFuture[Any]) -> ComputeError:
    """Return the same error about one task: each future has an exception of its own."""
    one = type(error)(error.message, task_id=future.task_id)
    one.__cause__ = error.__cause__
    return one
