"""Which cell of a notebook a call belongs to, so that what its task prints appears there.

A Jupyter kernel tells cells apart by a context variable, which its streams read when something is written. The I/O
thread of a session serves all cells: it writes in the context in which the call was submitted.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

Cell = contextvars.Context | None
"""The context of a cell; None outside of notebooks."""


def current() -> Cell:
    """Return the cell that runs in the calling thread."""
    return contextvars.copy_context() if "ipykernel" in sys.modules else None


def write_in(cell: Cell, write: Callable[[], T]) -> T:
    """Call ``write`` as if the cell did. A copy, because no context can be entered twice at a time."""
    return write() if cell is None else cell.copy().run(write)
