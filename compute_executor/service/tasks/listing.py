"""Lists of task groups and tasks, newest first: what they are, how they stand, how they ended.

    finished batches   counts are columns of their row, tasks are rows of their outcomes
    open batches       states are in memory (`dispatch`), outcomes in the store

A list is read batch by batch, a bounded part of the store at a time, with a pause for others in between; the counts
of a group, which may have any number of batches, on a thread of their own. A user sees only what is their own; the
operator of a shared service sees the groups of all users, but not their tasks. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from compute_executor.endpoint.pool.events import WorkerView
from compute_executor.errors import ComputeError, InvalidRequest
from compute_executor.protocol import frames
from compute_executor.protocol.ids import PREFIX_BYTES, task_uuid
from compute_executor.serialization import packing
from compute_executor.service.access import Identity, Owned, absent, check, may, owned_by
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.lifecycle import State
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.store.reader import Reader, joined
from compute_executor.service.store.rows import ID_BYTES, decode_program, split_ids
from compute_executor.service.tasks.figures import FinishedCounts, added, open_counts
from compute_executor.service.tasks.groups import TaskGroups
from compute_executor.service.tasks.live_output import LiveOutput
from compute_executor.service.tasks.outcome_text import ReadBody, outcome_text
from compute_executor.service.tasks.ownership import owner_of_task
from compute_executor.service.tasks.task_states import (
    ENDED,
    OPEN,
    QUEUED,
    RUNNING,
    STATES,
)

MOST = 10_000
"""Entries in one answer at most."""
BATCHES = 50
"""Batches that are read at once; some 50 us."""
NUMBERS = 2_000
"""Batches that one query looks at; 2 ms where none is what is wanted."""
OUTCOMES = 2_000
"""Outcomes of a batch that are read at once; some 4 ms."""
FORGOTTEN = 3
"""Forgotten groups that a client is told of."""
NAMED = 1_000
"""The newest groups of a user, among which one without a label is found by the name of its program."""
LONGEST_ERROR = 300
"""Characters of an error in a list."""
_NEWEST = 1 << 62


class TaskFilter(NamedTuple):
    """Which tasks are listed. ``function``: its name; ``since``: submitted at this Unix time or later; ``before``:
    batch number and position of the last task of the part before."""

    group: bytes | None = None
    state: str | None = None
    function: str | None = None
    since: float = 0.0
    limit: int = 50
    before: tuple[int, int] | None = None


class _Batch(NamedTuple):
    """A row of the queries for batches."""

    number: int
    prefix: bytes
    owner: str
    group: bytes
    pool: bytes
    endpoint: bytes
    functions: bytes
    indexes: bytes | None
    size: int
    created: float
    finished: float | None
    failed: int
    lost: int
    cancelled: int


class Listing:
    """Lists of groups and tasks. ``read_body`` fetches a body that lies in a file; ``workers`` are those of now."""

    def __init__(  # noqa: PLR0917 - what it asks
        self,
        read: Reader,
        dispatch: Dispatch,
        groups: TaskGroups,
        read_body: ReadBody,
        live: LiveOutput,
        workers: Callable[[], list[WorkerView]],
        finished: FinishedCounts,
    ) -> None:
        self._read = read
        self._finished = finished
        self._dispatch = dispatch
        self._groups = groups
        self._read_body = read_body
        self._live = live
        self._workers = workers

    # -- groups -------------------------------------------------------------------------------------------

    async def groups(
        self, who: Identity, *, everybody: bool, limit: int, label: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the newest groups of ``who``, or of everybody (for an operator), or those of ``who`` with this
        label. Raises NotFound, InvalidRequest."""
        _check_limit(limit)
        if everybody:
            check(who, "see service", Owned(""), "list of all groups")
            rows = self._read.rows("newest_groups", (limit,))
        elif label is not None:
            rows = self._read.rows("groups_labelled", (who.id, label, limit))
        else:
            rows = self._read.rows("newest_groups_of", (who.id, limit))
        return await self._described(rows)

    async def group(self, who: Identity, group: bytes) -> dict[str, Any]:
        """Return one group. Raises NotFound."""
        rows = self._read.rows("group_head", (group,))
        owner = rows[0][1] if rows else None
        check(who, "read group", owned_by(owner), f"task group {uuid.UUID(bytes=group)}")
        (found,) = await self._described(rows)
        return found

    def forgotten(self, who: Identity) -> list[frames.ForgottenWork]:
        """Return the groups of ``who`` with open tasks that a client has waited for and none does now, those with
        most tasks first; some at most. A group without a subscriber may be one whose client has no stream yet, and
        asks."""
        counts = Counter[bytes]()
        for batch in self._dispatch.batches():
            if batch.owner == who.id and self._dispatch.is_abandoned(batch.group):
                counts[batch.group] += batch.open
        found = []
        for group, count in counts.most_common(FORGOTTEN):
            rows = self._read.rows("group_head", (group,))
            program = decode_program(rows[0][3]) if rows else frames.ProgramInfo()
            found.append(frames.ForgottenWork(str(uuid.UUID(bytes=group)), count, program))
        return found

    def _open_by_group(self) -> dict[bytes, list[OpenBatch]]:
        found: dict[bytes, list[OpenBatch]] = {}
        for batch in self._dispatch.batches():
            found.setdefault(batch.group, []).append(batch)
        return found

    async def _described(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Return what the rows of groups tell, with counts: open batches as they are in memory now, and finished
        ones."""
        await self._finished.read()
        by_group = self._open_by_group()  # at the same moment as those that have finished: none is in both
        ended = [self._finished.of_group(row[1], bytes(row[0])) for row in rows]
        found = []
        for row, finished in zip(rows, ended, strict=True):
            batches = by_group.get(bytes(row[0]), [])
            counts = added(finished.counts, open_counts(batches, self._read.tally))
            end = None if batches else finished.ended
            found.append({**self._group(row), **counts.document(), "ended": end})
            await asyncio.sleep(0)
        return found

    def _group(self, row: Any) -> dict[str, Any]:
        group = bytes(row[0])
        owner, label, program, created = row[1:]
        return {
            "id": str(uuid.UUID(bytes=group)),
            "owner": owner,
            "name": group_name(label, program),
            "label": label,
            **_program(program),
            "started": created,
            "clients": self._groups.clients(group),
        }

    # -- tasks --------------------------------------------------------------------------------------------

    async def tasks(self, who: Identity, wanted: TaskFilter) -> tuple[list[dict[str, Any]], str | None]:
        """Return the newest tasks of ``who`` that are wanted, and where the next part begins (None: there is none).
        Raises NotFound, InvalidRequest."""
        _check_limit(wanted.limit)
        if wanted.state is not None and wanted.state not in STATES:
            raise InvalidRequest(f"a task is {', '.join(STATES)}, not {wanted.state[:50]!r}")
        if wanted.group is not None:
            self._groups.known(who, wanted.group)
        found: list[dict[str, Any]] = []
        async for batch in self._batches(who, wanted):
            below = batch.size
            if wanted.before is not None and batch.number == wanted.before[0]:
                below = wanted.before[1]
            async for position, document in self._of_batch(batch, below, wanted):
                found.append(document)
                if len(found) == wanted.limit:
                    return found, f"{batch.number}.{position}"
        return found, None

    async def _batches(self, who: Identity, wanted: TaskFilter) -> AsyncIterator[_Batch]:
        """Yield the batches of ``who`` that can have what is wanted, newest first."""
        below = wanted.before[0] + 1 if wanted.before is not None else _NEWEST
        asked = {"owner": who.id, "task_group": wanted.group, "state": wanted.state or "", "limit": BATCHES}
        while newest := self._read.rows("batch_before", (below,)):
            number, created = newest[0]
            if created < wanted.since:
                return
            low = number - NUMBERS + 1
            rows = self._read.rows("listed_batches", {**asked, "low": low, "below": below})
            for batch in map(_Batch._make, rows):
                if batch.created < wanted.since:
                    return
                if batch.finished is not None or self._open_has(batch, wanted.state):
                    yield batch
            below = rows[-1][0] if len(rows) == BATCHES else low
            await asyncio.sleep(0)

    def _open_has(self, batch: _Batch, state: str | None) -> bool:
        """Return whether an open batch has a task in this state. One that is stored this moment is not in dispatch
        yet."""
        found = self._dispatch.by_prefix(batch.prefix)
        if state is None or found is None:
            return True
        return bool(getattr(open_counts([found], self._read.tally), state))

    async def _of_batch(
        self, batch: _Batch, below: int, wanted: TaskFilter
    ) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        """Yield the tasks of a batch that are wanted, highest position first."""
        names = self._function_names(batch)
        if wanted.function is not None and wanted.function not in names:
            return
        while below > 0:
            lowest = max(0, below - OUTCOMES)
            for position, document in self._span(batch, lowest, below, names):
                if wanted.state in (None, document["state"]) and wanted.function in (
                    None,
                    document["function"],
                ):
                    yield position, document
            below = lowest
            await asyncio.sleep(0)

    def _span(
        self, batch: _Batch, lowest: int, below: int, names: list[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield tasks ``below`` - 1 down to ``lowest``."""
        rows = self._read.rows("listed_outcomes", (batch.number, below, below - lowest))
        ended = {row[0]: row for row in rows if row[0] >= lowest}
        states = self._dispatch.by_prefix(batch.prefix)
        for position in range(below - 1, lowest - 1, -1):
            document = {
                "id": task_uuid(batch.prefix, position),
                "short": short_id(batch.prefix, position),
                "group": str(uuid.UUID(bytes=batch.group)),
                "function": names[_index(batch.indexes, position)],
                "submitted": batch.created,
            }
            row = ended.get(position)
            yield position, {**document, **(_ended(row, self._read_body) if row else _open(states, position))}

    def _function_names(self, batch: _Batch) -> list[str]:
        found = [self._read.rows("function_name", (function,)) for function in split_ids(batch.functions)]
        return [str(rows[0][0]) if rows else "?" for rows in found]

    def task(self, who: Identity, prefix: bytes, position: int) -> dict[str, Any]:
        """Return everything that is known of one task. Raises NotFound."""
        name = f"task {task_uuid(prefix, position)}"
        head = self._read.batch(prefix)
        check(who, "read task", owner_of_task(head, position), name)
        assert head is not None
        batch = _Batch._make(self._read.rows("listed_batch", (head.number,))[0])
        ((_, document),) = self._span(batch, position, position + 1, self._function_names(batch))
        group = self._read.rows("group_head", (batch.group,))
        about = _about_group(*group[0][2:4]) if group else {}
        result = self._read.outcome(batch.number, prefix, position)
        if result is not None and result.status != frames.VALUE:
            _, document["traceback"] = outcome_text(document["id"], result, self._read_body)
        if document["state"] == RUNNING:
            document["worker"] = self._worker(batch.number, position)
        written = self._live.of(batch.number, position) if result is None else result.output
        if written is not None:
            document["output"] = written_text(written)
        return {
            **document,
            **about,
            "pool": batch.pool.hex(),
            "endpoint": str(uuid.UUID(bytes=batch.endpoint)),
        }

    def _worker(self, number: int, position: int) -> int | None:
        """Return the process that runs a task, if one of this service does."""
        return next((view.pid for view in self._workers() if view.task == (number, position)), None)

    # -- ids ----------------------------------------------------------------------------------------------

    def resolve(self, who: Identity, text: str) -> dict[str, str]:
        """Return the task or group that an id, the beginning of one, a short id or the name of a group names:
        ``{"task": id}`` or ``{"group": id}``. Raises NotFound, InvalidRequest (also if it names several)."""
        found = [*self._tasks_named(who, text), *self._groups_named(who, text)]
        if not found:
            raise absent(f"task or task group {text[:60]}")
        if len(found) > 1:
            several = ", ".join(next(iter(one.values())) for one in found[:3])
            raise InvalidRequest(
                f"{text[:60]!r} names more than one thing: {several} ...; give more of the id, or BATCH.POSITION"
            )
        return found[0]

    def _tasks_named(self, who: Identity, text: str) -> Iterator[dict[str, str]]:
        digits, dot, place = text.replace("-", "").partition(".")
        if not _is_hex(digits) or (dot and not place.isdecimal()):
            return
        low, high = _bounds(digits[: 2 * PREFIX_BYTES], PREFIX_BYTES)
        position = place or (str(int(digits[24:], 16)) if len(digits) == 2 * ID_BYTES else "")
        for _, prefix, owner, count in self._read.rows("batches_between", (low, high, BATCHES)):
            if not may(who, "read task", Owned(owner)):
                continue
            if position:
                if int(position) < count:
                    yield {"task": task_uuid(bytes(prefix), int(position))}
            elif len(digits) <= 2 * PREFIX_BYTES:
                yield from ({"task": task_uuid(bytes(prefix), number)} for number in range(min(count, 2)))

    def _groups_named(self, who: Identity, text: str) -> Iterator[dict[str, str]]:
        digits = text.replace("-", "")
        rows = self._groups_called(who, text) if text else []
        if _is_hex(digits):
            rows += self._read.rows("groups_between", (*_bounds(digits, ID_BYTES), BATCHES))
        names = {
            bytes(row[0]): {"group": str(uuid.UUID(bytes=row[0]))}
            for row in rows
            if may(who, "read group", Owned(row[1]))
        }
        yield from names.values()

    def _groups_called(self, who: Identity, name: str) -> list[Any]:
        """Two at most with this label; without one, of the newest those that have the name of their program."""
        rows = list(self._read.rows("groups_labelled", (who.id, name, 2)))
        if rows:
            return rows
        newest = self._read.rows("newest_groups_of", (who.id, NAMED))
        return [row for row in newest if not row[2] and group_name(row[2], row[3]) == name][:2]


def group_name(label: str, program: str | bytes) -> str:
    """Return what a group is called: by its label, or as batch systems call a job, by the file of its program."""
    return label or decode_program(program).name.rpartition("/")[2]


def written_text(written: frames.Written) -> str:
    """Return the end of what a task printed on stdout and stderr; a line says how much before it is not kept."""
    return "".join(
        (f"[{start} bytes before this are not kept]\n" if start else "") + part.decode("utf-8", "replace")
        for part, start in zip((written.out, written.err), written.starts, strict=False)
        if part
    )


def short_id(prefix: bytes, position: int) -> str:
    """Return what people read and type: the beginning of the batch's id and the position in it."""
    return f"{prefix[:4].hex()}.{position}"


def _is_hex(digits: str) -> bool:
    return 4 <= len(digits) <= 2 * ID_BYTES and not set(digits) - set("0123456789abcdefABCDEF")


def _bounds(digits: str, size: int) -> tuple[bytes, bytes]:
    """Return the lowest and highest ids of ``size`` bytes that begin with these hex digits."""
    digits = digits[: 2 * size]
    return bytes.fromhex(digits.ljust(2 * size, "0")), bytes.fromhex(digits.ljust(2 * size, "f"))


def _index(indexes: bytes | None, position: int) -> int:
    return int(struct.unpack_from("<H", indexes, 2 * position)[0]) if indexes else 0


def _program(text: str | bytes) -> dict[str, Any]:
    program = decode_program(text)
    return {"program": program.name, "host": program.host, "pid": program.pid}


def _about_group(label: str, program: str | bytes) -> dict[str, Any]:
    return {"group_name": group_name(label, program), "label": label, **_program(program)}


def _open(batch: OpenBatch | None, position: int) -> dict[str, Any]:
    """Return a task without a stored outcome. A batch that is stored this moment is not in dispatch yet."""
    state = OPEN[State(batch.states[position])] if batch else QUEUED
    attempt = batch.attempt(position) if batch else 1
    began = batch.running_since(position) if batch else None
    return {"state": state, "attempt": attempt, "began": began, "ended": None, "error": None, "worker": None}


def _ended(row: Any, read_body: ReadBody) -> dict[str, Any]:
    _, status, attempt, began, ended, body, blob, size, worker = row
    error = None if status == frames.VALUE else _error(status, joined(body, blob, size), read_body)
    return {
        "state": ENDED[status],
        "attempt": attempt,
        "began": began or None,
        "ended": ended,
        "error": error,
        "size": size,
        "worker": worker,
    }


def _error(status: int, body: frames.Body, read_body: ReadBody) -> str:
    """Return name and message of an exception, or why there is none."""
    try:
        content = read_body(body)
        if status == frames.EXCEPTION:
            name, message, _ = packing.exception_texts(content)
            text = f"{name}: {message}" if message else name
        else:
            text = msgspec.msgpack.decode(content, type=frames.Reason).message
    except (ComputeError, msgspec.MsgspecError) as error:
        text = f"cannot be read: {error}"
    return text[:LONGEST_ERROR].encode("utf-8", "backslashreplace").decode()


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MOST:
        raise InvalidRequest(f"a list has 1 to {MOST} entries, not {limit}")
