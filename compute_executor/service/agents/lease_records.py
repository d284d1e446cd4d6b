"""Which tasks are leased to which machine, in the store: written before a task is sent, so that a service that is
killed knows it. Runs of tasks, as for stock endpoints (`globus_compute.user_endpoints`), in the same table.

Owner: the loop thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from compute_executor.endpoint.worker.messages import Key
from compute_executor.service.endpoints.spans import spans
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.reader import Reader

if TYPE_CHECKING:
    from compute_executor.service.store.writer import Writer

Holder = bytes
"""The id of a machine."""


class LeaseRecords:
    """The stored leases."""

    def __init__(self, read: Reader, committer: Committer) -> None:
        self._read = read
        self._committer = committer

    def give(self, machine: Holder, tasks: list[Key], done: Callable[[Exception | None], None]) -> None:
        """Store that these are leased to a machine; then ``done`` is called."""
        self._store(machine, tasks, back=False, done=done)

    def take_back(self, machine: Holder, tasks: list[Key]) -> None:
        """Store that these are not leased to it any more. What is not stored is told again by the machine."""
        self._store(machine, tasks, back=True, done=lambda _error: None)

    def _store(
        self, machine: Holder, tasks: list[Key], *, back: bool, done: Callable[[Exception | None], None]
    ) -> None:
        values = [(machine, *span, back) for span in spans(tasks)]

        def store(writer: Writer) -> None:
            for row in values:
                writer.run("add_given", row)

        self._committer.soon(store, lambda _result, error: done(error))

    def leased(self) -> dict[tuple[int, int], tuple[Holder, int]]:
        """To whom each task was leased last, by the service before us, and at which attempt."""
        found: dict[tuple[int, int], tuple[Holder, int]] = {}
        for holder, batch, start, stop, attempt, back in self._read.rows("all_given"):
            for position in range(start, stop):
                name = (batch, position)
                if not back:
                    found[name] = (bytes(holder), attempt)
                elif found.get(name, (None,))[0] == holder:
                    del found[name]
        return found

    def finished(self, batch: int) -> None:
        """Note that every outcome of a batch is stored."""
        self._committer.soon(lambda writer: writer.run("drop_given", (batch,)), lambda _result, _error: None)
