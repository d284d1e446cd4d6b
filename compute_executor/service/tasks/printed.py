"""What the tasks of a group have printed: of those that have ended, and of those that run.

A reader comes again and again: it is told what is new among the stored outcomes (by their numbers), and all that is
kept of the running ones, of which it knows what it has seen. Owner: the loop thread.
"""

from __future__ import annotations

import uuid
from typing import Any

from compute_executor.protocol.frames import Written
from compute_executor.protocol.ids import task_uuid
from compute_executor.service.access import Identity, check, owned_by
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.store.reader import SCAN, Reader
from compute_executor.service.store.rows import decode_output
from compute_executor.service.tasks.live_output import LiveOutput
from compute_executor.service.tasks.ownership import owner_of_task

LARGEST = 4 * 1024**2
"""Bytes of output in one answer, give or take the last task's."""


class Printed:
    """The output of tasks, for those who ask for it."""

    def __init__(self, read: Reader, dispatch: Dispatch, live: LiveOutput) -> None:
        self._read = read
        self._dispatch = dispatch
        self._live = live

    def of_task(self, who: Identity, prefix: bytes, position: int) -> dict[str, Any]:
        """Return what one task has printed: bytes (base64 in JSON) and at which position of the stream they begin.
        ``open``: 1 until it has ended. Raises NotFound."""
        name = f"task {task_uuid(prefix, position)}"
        head = self._read.batch(prefix)
        check(who, "read task", owner_of_task(head, position), name)
        assert head is not None
        outcome = self._read.outcome(head.number, prefix, position)
        written = self._live.of(head.number, position) if outcome is None else outcome.output
        parts = [] if written is None else [_part(task_uuid(prefix, position), written)]
        return {"parts": parts, "after": 0, "open": int(outcome is None)}

    def of_group(self, who: Identity, group: bytes, after: int | None) -> dict[str, Any]:
        """Return what the tasks of a group have printed whose outcomes have numbers above ``after``, and those that
        run. ``after`` in the answer is for the next time; None: from now on. ``open``: how many have not ended; not 0
        while there is more to be told. Raises NotFound."""
        found = self._read.group(group)
        owner = None if found is None else found.owner
        check(who, "read group", owned_by(owner), f"task group {uuid.UUID(bytes=group)}")
        assert found is not None
        last = self._read.last_seq()
        batches = {batch.number: batch for batch in self._dispatch.batches() if batch.group == group}
        still_open = sum(batch.unstored for batch in batches.values())
        parts, until = ([], last) if after is None else self._stored(group, max(after, found.floor), last)
        for number, position, written in self._live.all():
            if number in batches:
                parts.append(_part(task_uuid(batches[number].prefix, position), written))
        return {"parts": parts, "after": until, "open": max(still_open, int(until < last))}

    def _stored(self, group: bytes, after: int, last: int) -> tuple[list[dict[str, Any]], int]:
        """Return some of what is stored, and the number up to which this is all."""
        until = min(last, max(after, self._read.next_seq(after) - 1) + SCAN)
        parts, size = [], 0
        for seq, prefix, position, output in self._read.rows("group_printed", (after, until, group)):
            parts.append(_part(task_uuid(prefix, position), decode_output(output)))
            size += len(output)
            if size > LARGEST:
                return parts, seq
        return parts, max(after, until)


def _part(task: str, written: Written) -> dict[str, Any]:
    return {
        "task": task,
        "attempt": written.attempt,
        "stdout": {"start": written.starts[0], "bytes": written.out},
        "stderr": {"start": written.starts[1], "bytes": written.err},
    }
