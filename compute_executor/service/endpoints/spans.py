"""Tasks as runs of neighbours, which is how the store keeps what was given to an endpoint."""

from __future__ import annotations

from collections.abc import Iterable


def spans(tasks: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Return tasks (batch, position, attempt), in order, as runs (batch, start, stop, attempt).

    >>> spans([(1, 0, 1), (1, 1, 1), (1, 3, 1), (2, 4, 1)])
    [(1, 0, 2, 1), (1, 3, 4, 1), (2, 4, 5, 1)]
    """
    found: list[tuple[int, int, int, int]] = []
    for batch, position, attempt in tasks:
        if found and found[-1][0] == batch and found[-1][2:] == (position, attempt):
            found[-1] = (batch, found[-1][1], position + 1, attempt)
        else:
            found.append((batch, position, position + 1, attempt))
    return found
