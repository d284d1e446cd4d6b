"""The sending side of the protocol: batches as frames, and each batch until it is confirmed. No I/O, no threads.

    batch -> Register for each function that was not sent on this connection, then Submit
          <- Accepted     the calls are given up: from now on the service answers for them
          <- Refused      the future of the rejected call gets the error; the others are sent again, in new batches
          connection lost, no answer: the same frames again, same prefix, so nothing runs twice

A refusal that names no call is narrowed down by halving. Owner: the session's I/O thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from compute_executor.batch import Call, CallBatch, Function, with_ids
from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    PoolBroken,
    ResourcesNotOffered,
    ServiceUnavailable,
    VersionMismatch,
    from_document,
)
from compute_executor.protocol.frames import Blob, Refused, Register, Registered, Submit
from compute_executor.protocol.submit import build_submit

ALL_ALIKE = (NotAuthorized, VersionMismatch, PoolBroken, ResourcesNotOffered)
"""Refusals that are not about one of the tasks: halving the batch would find nothing."""


MOST_PARTS = 10_000
"""Parts that a batch refers to, and that a message names which has them kept or let go: what a service reads."""


class SubmitFailure(NamedTuple):
    """Call that will not be sent again, with its error."""

    call: Call[Any]
    error: ComputeError


class SubmitRefusal(NamedTuple):
    """Consequences of a Refused frame. ``later``: the service has no room for this batch now, says ``error``."""

    failures: list[SubmitFailure]
    again: list[CallBatch]
    later: CallBatch | None
    error: ComputeError | None = None


class Sender:
    """Table of the batches that are sent and not confirmed. ``group``: 16 bytes of the id of their task group, unless
    their target names another."""

    def __init__(self, group: bytes) -> None:
        self.group = group
        self.unconfirmed: dict[bytes, CallBatch] = {}
        self.pool_parts: list[Blob] = []
        """What the workers' initializer refers to: needed as long as there are tasks."""
        self._registered: set[bytes] = set()  # digests named on this connection
        self._rejected: dict[bytes, ComputeError] = {}  # digests whose registration was refused
        self._encode = msgspec.msgpack.Encoder().encode

    def frames(self, batch: CallBatch) -> Iterator[bytes]:
        """Yield what to write for ``batch``, in order; from now on it is unconfirmed."""
        registers, submit = self.messages(batch)
        self.unconfirmed[batch.prefix] = batch
        for register in registers:
            if register.digest not in self._registered:
                self._registered.add(register.digest)
                yield self._encode(register)
        yield self._encode(submit)

    def messages(self, batch: CallBatch) -> tuple[list[Register], Submit]:
        """Return the registrations that ``batch`` relies on, and the batch itself."""
        functions: dict[bytes, Function] = {call.function.digest: call.function for call in batch.calls}
        registers = [
            Register(function.digest, function.name, function.code)
            for function in functions.values()
            if function.code is not None
        ]
        return registers, self._submit(batch)

    def _submit(self, batch: CallBatch) -> Submit:
        target = batch.target
        return build_submit(
            [(call.function.digest, call.body) for call in batch.calls],
            prefix=batch.prefix,
            group=target.group or self.group,
            endpoint=target.endpoint,
            pool=target.pool,
            options=target.options,
            parts=[*(() if target.endpoint else self.pool_parts), *parts_of(batch)],
        )

    def reconnected(self) -> list[CallBatch]:
        """Return what to send again on a new connection, on which no function was sent yet."""
        self._registered.clear()
        return list(self.unconfirmed.values())

    def accepted(self, prefix: bytes) -> None:
        """Note that the service has the batch."""
        batch = self.unconfirmed.pop(prefix, None)
        if batch is not None:
            batch.calls = []

    def registered(self, answer: Registered) -> None:
        """Note that a function is registered, or refused: then the batches that name it will be refused as well."""
        self._rejected.pop(answer.digest, None)
        if answer.error is not None:
            self._rejected[answer.digest] = from_document(answer.error)
            self._registered.discard(answer.digest)  # whoever needs it next asks again

    def refused(self, answer: Refused) -> SubmitRefusal:
        """Return which calls fail, which batches to send again without them, and which to send later as it is."""
        batch = self.unconfirmed.pop(answer.prefix, None)
        if batch is None:
            return SubmitRefusal([], [], None)
        error = self._reason(batch, answer)
        if is_trouble(error):
            return SubmitRefusal([], [], batch, error)
        failures = self._failures(batch, error, answer.position)
        return SubmitRefusal(failures, without(batch, failures), None)

    def _reason(self, batch: CallBatch, answer: Refused) -> ComputeError:
        """Return why the batch was refused: a function that is not found may be one that there was no room for."""
        error = from_document(answer.error)
        if isinstance(error, NotFound):
            for call in batch.calls:
                rejected = self._rejected.get(call.function.digest)
                if rejected is not None and is_trouble(rejected):
                    return rejected
        return error

    def _failures(self, batch: CallBatch, error: ComputeError, position: int | None) -> list[SubmitFailure]:
        calls = batch.calls
        if isinstance(error, NotFound) and self._rejected:
            rejected = [
                SubmitFailure(call, self._rejected[call.function.digest])
                for call in calls
                if call.function.digest in self._rejected
            ]
            if rejected:
                return rejected
        if len(calls) == 1 or isinstance(error, ALL_ALIKE):
            return [SubmitFailure(call, error) for call in calls]
        if position is not None and position < len(calls):
            return [SubmitFailure(calls[position], error)]
        return []


def is_trouble(error: ComputeError) -> bool:
    """Return whether this is no answer to whether a batch is accepted: trouble of the service, or an error without a
    name. A commit that failed may be found in the store after a restart, and in another batch its tasks would run
    twice."""
    return isinstance(error, ServiceUnavailable) or error.retryable or type(error) is ComputeError


def parts_of(batch: CallBatch) -> list[Blob]:
    """Return the parts that the calls of a batch refer to, each once."""
    parts = {part.name: Blob(part.name, part.size) for call in batch.calls for part in call.parts}
    return list(parts.values())


def too_many_parts(batch: CallBatch) -> list[SubmitFailure]:
    """Return the calls that each refer to more parts than a batch may."""
    return [
        SubmitFailure(
            call,
            InvalidRequest(
                f"the arguments of {call.function.name} refer to {count:,} shared values, {MOST_PARTS:,} are the "
                "limit: put what belongs together into one"
            ),
        )
        for call in batch.calls
        if (count := len({part.name for part in call.parts})) > MOST_PARTS
    ]


def without(batch: CallBatch, failures: list[SubmitFailure]) -> list[CallBatch]:
    """Return the calls of ``batch`` that have not failed, in a new batch; in two if the rejected one is not known."""
    failed = {id(failure.call) for failure in failures}
    rest = [call for call in batch.calls if id(call) not in failed]
    middle = 0 if failures else len(rest) // 2
    return [with_ids(batch.target, part) for part in (rest[:middle], rest[middle:]) if part]
