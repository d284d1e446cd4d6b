"""Task groups: whose they are, who listens, and handing stored outcomes to the listeners.

Owner: the loop thread.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

import msgspec

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.protocol.frames import ProgramInfo, Result, Written
from compute_executor.service.access import Identity, Owned, check, owned_by
from compute_executor.service.pools.subscriber import Began, Subscriber
from compute_executor.service.scheduling.dispatch import Dispatch, EndedBatch
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.store.reader import SCAN, Reader
from compute_executor.service.store.rows import decode_program

log: logging.Logger = logging.getLogger(__name__)


class TaskGroup:
    """A task group that is in use. ``floor``: outcome number below which nothing is its own; ``program``: the one
    that made it, to be stored with its first batch."""

    __slots__ = ("acked", "floor", "open_batches", "owner", "program", "subscribers")

    def __init__(self, owner: str, floor: int, acked: int = 0) -> None:
        self.owner: str = owner
        self.floor: int = floor
        self.acked: int = acked
        self.open_batches: int = 0
        self.program: ProgramInfo | None = None
        self.subscribers: list[Subscriber] = []


class TaskGroups:
    """The groups in use: those with open batches or subscribers. Others are only in the store.

    The dispatcher is notified of groups that no client waits for any more. A group that never had a subscriber may be
    one whose client asks now and then: it counts as one that is waited for.
    """

    def __init__(self, read: Reader, dispatch: Dispatch) -> None:
        self._read = read
        self._dispatch = dispatch
        self._groups: dict[bytes, TaskGroup] = {}
        self._acknowledged: dict[bytes, int] = {}  # not written yet
        self._listened_to = Counter[str]()  # groups by owner, of all subscribers
        self._heard: dict[Subscriber, dict[bytes, None]] = {}  # groups by who listens: there may be very many

    # -- whose --------------------------------------------------------------------------------------------

    def known(self, who: Identity, group: bytes) -> None:
        """Raise NotFound unless this group exists and ``who`` may read it."""
        found = self._groups.get(group)
        if (
            found is None or found.owner != who.id
        ):  # also of a foreign one in use: as for one that is not there
            row = self._read.group(group)
            found = found or (TaskGroup(*row) if row else None)
        check(
            who, "read group", owned_by(None if found is None else found.owner), f"task group {group.hex()}"
        )

    def claim(self, who: Identity, group: bytes) -> TaskGroup:
        """Return the group, made if it is new. Raises NotFound if it is somebody else's."""
        found = self._find(group)
        if found is None:
            found = TaskGroup(who.id, self._read.last_seq())
        check(who, "read group", Owned(found.owner), f"task group {group.hex()}")
        return self._groups.setdefault(group, found)

    def _find(self, group: bytes) -> TaskGroup | None:
        if group in self._groups:
            return self._groups[group]
        row = self._read.group(group)
        return TaskGroup(*row) if row else None

    def restore(self) -> None:
        """After a restart, before clients come: no Executor waits for its open tasks yet."""
        for group, program in self._read.rows("groups_of_open_batches"):
            try:
                abandoned = bool(decode_program(program).pid)
            except (
                msgspec.MsgspecError,
                TypeError,
                ValueError,
            ) as error:  # one user's row: the service goes on
                log.warning("which program made task group %s cannot be read: %s", bytes(group).hex(), error)
                continue
            if abandoned:
                self._dispatch.abandon(bytes(group))

    # -- batches ------------------------------------------------------------------------------------------

    def opened(self, group: bytes) -> None:
        """Note that a batch of this group is open."""
        found = self._find(group)
        assert found is not None, "a batch is stored together with its group"
        self._groups.setdefault(group, found).open_batches += 1

    def finished(self, group: bytes) -> None:
        """Note that a batch of this group is not open any more."""
        self._groups[group].open_batches -= 1
        self.forget(group)

    def open(self, group: bytes) -> bool:
        """Return whether a batch of this group is open."""
        return group in self._groups and self._groups[group].open_batches > 0

    def forget(self, group: bytes) -> None:
        """Keep a group in memory only while it is in use."""
        found = self._groups.get(group)
        if found is not None and not found.open_batches and not found.subscribers:
            del self._groups[group]
            self._dispatch.resume_waiting(group)

    # -- listeners ----------------------------------------------------------------------------------------

    def subscribe(
        self, who: Identity, subscriber: Subscriber, group: bytes, program: ProgramInfo | None = None
    ) -> int:
        """Add a subscriber; the outcome number below which there is nothing for it."""
        found = self.claim(who, group)
        if found.program is None:
            found.program = program
        if subscriber not in found.subscribers:
            found.subscribers.append(subscriber)
            self._heard.setdefault(subscriber, {})[group] = None
            self._listened_to[found.owner] += 1
        self._dispatch.resume_waiting(group)
        return found.floor

    def listens(self, subscriber: Subscriber, group: bytes) -> bool:
        """Return whether this is one of a group's listeners."""
        return group in self._heard.get(subscriber, ())

    def listened_to(self, user: str) -> int:
        """Return to how many groups of a user somebody listens; to one that several listen to, as many times."""
        return self._listened_to[user]

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Forget a listener in all groups."""
        for group in self._heard.pop(subscriber, ()):
            self._groups[group].subscribers.remove(subscriber)
            self._listened_to[self._groups[group].owner] -= 1
            if not self._groups[group].subscribers:
                self._dispatch.abandon(group)
            self.forget(group)

    def acknowledge(self, who: Identity, group: bytes, seq: int) -> None:
        """Note that a client has everything of the group up to ``seq``. Written by and by: losing it costs only
        disk."""
        self.known(who, group)
        self._acknowledged[group] = max(seq, self._acknowledged.get(group, 0))

    def take_acknowledged(self) -> list[tuple[bytes, int]]:
        """Return what is to be written of that."""
        taken, self._acknowledged = list(self._acknowledged.items()), {}
        return taken

    def replay(self, group: bytes, after: int, limit: int) -> tuple[list[Result], int, bool]:
        """Stored outcomes of a group above ``after``, about ``limit`` bytes of them; the number up to which these
        are all; and whether there is nothing more. Looks at a bounded part of the store."""
        last, found, size = self._read.last_seq(), [], 0
        until = min(last, max(after, self._read.next_seq(after) - 1) + SCAN)  # starts leave out numbers
        for result in self._read.outcomes(group, after, until):
            found.append(result)
            size += body_size(result)
            if size >= limit:
                return found, result.seq, result.seq >= last
        return found, max(after, until), until >= last

    # -- telling them -------------------------------------------------------------------------------------

    def stored(self, outcomes: Iterable[tuple[OpenBatch, TaskEnded]]) -> None:
        """Note that these are in the store from now on."""
        for group in {batch.group for batch, _ in outcomes}:
            found = self._groups.get(group)
            for subscriber in list(found.subscribers) if found else ():
                subscriber.stored(group)

    def publish(self, first_seq: int, outcomes: Iterable[tuple[OpenBatch, TaskEnded]]) -> None:
        """Note that outcomes with the numbers from ``first_seq`` cannot be lost any more: push them to
        subscribers."""
        published: dict[bytes, list[Result]] = {}
        batch: OpenBatch | None = None
        results: list[Result] | None = None
        for seq, (its_batch, outcome) in enumerate(outcomes, first_seq):
            if its_batch is not batch:
                batch = its_batch
                results = self._listened(batch.group, published)
            if results is not None:
                _, position, _, status, body, began, ended, output, _ = outcome
                results.append(Result(seq, its_batch.prefix, position, status, body, began, ended, output))
        for group, list_of_results in published.items():
            for subscriber in list(self._groups[group].subscribers):
                subscriber.results(group, list_of_results)

    def _listened(self, group: bytes, published: dict[bytes, list[Result]]) -> list[Result] | None:
        """Return the list to add results of this group to; None if it has no subscriber."""
        found = self._groups.get(group)
        return published.setdefault(group, []) if found is not None and found.subscribers else None

    def began(self, news: Iterable[tuple[OpenBatch, int, float]]) -> None:
        """Note that tasks have begun: notify the subscribers of their groups."""
        published: dict[bytes, list[Began]] = {}
        for batch, position, when in news:
            published.setdefault(batch.group, []).append((batch.prefix, position, when))
        for group, tasks in published.items():
            found = self._groups.get(group)
            for subscriber in list(found.subscribers) if found else ():
                subscriber.began(tasks)

    def clients(self, group: bytes) -> int:
        """Return how many subscribers a group has now."""
        return len(self._groups[group].subscribers) if group in self._groups else 0

    def output(self, batch: OpenBatch | EndedBatch, position: int, part: Written) -> None:
        """Note that a task has written something: tell the listeners of its group."""
        found = self._groups.get(batch.group)
        for subscriber in list(found.subscribers) if found else ():
            subscriber.output(batch.prefix, position, part)


RESULT_BYTES = 56
"""What a Result takes in a frame besides its body, at most: prefix 14, two floats 18, numbers and lengths 21."""


def body_size(result: Result) -> int:
    """About how many bytes a result takes in a frame."""
    body = result.body
    size = RESULT_BYTES + (len(body) if type(body) is bytes else RESULT_BYTES)
    return size if result.output is None else size + written_size(result.output)


def written_size(part: Written) -> int:
    """About how many bytes a part of a task's output takes in a frame."""
    return RESULT_BYTES + len(part.out) + len(part.err) + len(part.records)
