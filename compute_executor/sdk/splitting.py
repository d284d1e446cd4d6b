"""How a batch is split: within the limits of a request, and by whom a refusal concerns. Pure; items are indices.

parts()      before sending: as few requests as the limits allow, in order
smaller()    after a refusal: parts of which the service may take some; none if there is nothing to be gained
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from compute_executor.errors import ComputeError, InvalidRequest, NotAuthorized, NotFound, PayloadTooLarge
from compute_executor.sdk.limits import RequestLimits

CULPABLE = (InvalidRequest, NotAuthorized, NotFound)
"""Refusals that concern what was sent, so that a smaller part of it may be taken."""

MAX_HALVED = 512
"""Most tasks among which a malformed one is looked for: it costs up to twice as many requests."""


def parts(sizes: Sequence[int], limits: RequestLimits) -> Iterator[list[int]]:
    """Indices of items that fit into one request each. ``sizes``: bytes on the wire; an item that is over the limit
    by itself is a part of its own."""
    part: list[int] = []
    size = 0
    for index, more in enumerate(sizes):
        if part and (size + more > limits.request_bytes or len(part) == limits.batch_tasks):
            yield part
            part, size = [], 0
        part.append(index)
        size += more
    if part:
        yield part


def smaller(functions: Sequence[str], error: ComputeError) -> list[list[int]]:
    """Return parts of what was refused with ``error``; ``functions``: of each item the id of its function.

    One for each function, because one that is unknown must not hurt the others; in halves where one item is to blame.
    """
    if len(functions) < 2 or not isinstance(error, CULPABLE):
        return []
    by_function = grouped(functions)
    too_large = isinstance(error, PayloadTooLarge)
    if len(by_function) > 1 and not too_large:
        return by_function
    if too_large or (isinstance(error, InvalidRequest) and len(functions) <= MAX_HALVED):
        middle = len(functions) // 2
        return [list(range(middle)), list(range(middle, len(functions)))]
    return []


def grouped(keys: Sequence[Hashable]) -> list[list[int]]:
    """Indices of the keys, together those of the same one, in the order in which each came first."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())
