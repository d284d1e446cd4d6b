"""Whose a task is, as rules need to know it."""

from __future__ import annotations

from compute_executor.service.access import NOBODYS, Owned
from compute_executor.service.store.rows import BatchHead


def owner_of_task(batch: BatchHead | None, position: int) -> Owned:
    """Of the task at this position of a batch; nobody's if there is no such one."""
    return Owned(batch.owner) if batch is not None and 0 <= position < batch.size else NOBODYS
