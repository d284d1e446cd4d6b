"""Calls that a fake service has accepted: which wait, which run, how each ended. No I/O and no threads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from compute_executor.protocol.frames import CANCELLED, Body, Reason, Result, Submit
from compute_executor.protocol.ids import TaskPositions

_tasks = msgspec.msgpack.Decoder(list[tuple[int, Body]]).decode
_encode = msgspec.msgpack.Encoder().encode


class AcceptedCall(NamedTuple):
    """One call of a batch."""

    batch: Submit
    position: int
    function: bytes
    body: Body

    @property
    def key(self) -> tuple[bytes, int]:
        """What names the call: its batch, and its position there."""
        return self.batch.prefix, self.position


def calls_of(batch: Submit) -> list[AcceptedCall]:
    """Return the calls of a batch, in order."""
    tasks = _tasks(bytes(batch.tasks))
    return [AcceptedCall(batch, n, batch.functions[index], body) for n, (index, body) in enumerate(tasks)]


class AcceptedCalls:
    """All calls of a fake service by what has become of them. Owner: whoever holds the service's lock."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[bytes, int], AcceptedCall] = {}
        self.attempts: dict[tuple[bytes, int], int] = {}
        self._known: set[bytes] = set()
        self._results: dict[bytes, list[Result]] = {}
        self._numbers = 0

    def add(self, batch: Submit) -> list[AcceptedCall]:
        """Keep a batch; return its calls, none if it is known already."""
        if batch.prefix in self._known:
            return []
        self._known.add(batch.prefix)
        calls = calls_of(batch)
        self.waiting.update((call.key, call) for call in calls)
        return calls

    def begin(self, key: tuple[bytes, int]) -> AcceptedCall | None:
        """Take a waiting call to run it; None if it was withdrawn."""
        call = self.waiting.pop(key, None)
        if call is not None:
            self.attempts[key] = self.attempts.get(key, 0) + 1
        return call

    def return_to_queue(self, call: AcceptedCall) -> None:
        """Let a call wait again, whose worker was lost."""
        self.waiting[call.key] = call

    def end(
        self, call: AcceptedCall, status: int, body: Body, began: float = 0.0, ended: float = 0.0
    ) -> Result:
        """Keep how a call ended."""
        self._numbers += 1
        result = Result(self._numbers, *call.key, status, body, began, ended)
        self._results.setdefault(call.batch.group, []).append(result)
        return result

    def withdraw(self, tasks: TaskPositions) -> list[tuple[AcceptedCall, Result]]:
        """End those of these calls that wait."""
        keys = [(prefix, position) for prefix, positions in tasks for position in positions]
        withdrawn = [call for key in keys if (call := self.waiting.pop(key, None)) is not None]
        reason = _encode(Reason("cancelled before it began", None, False, 0))
        return [(call, self.end(call, CANCELLED, reason)) for call in withdrawn]

    def results(self, group: bytes, after: int) -> list[Result]:
        """Return the results of a group with higher numbers."""
        return [result for result in self._results.get(group, []) if result.seq > after]

    def acknowledge(self, group: bytes, number: int) -> None:
        """Forget the results of a group up to a number."""
        self._results[group] = self.results(group, number)


def by_batch(calls: Iterable[AcceptedCall]) -> TaskPositions:
    """Return calls as frames name them."""
    positions: dict[bytes, list[int]] = {}
    for call in calls:
        positions.setdefault(call.batch.prefix, []).append(call.position)
    return list(positions.items())
