"""The stream of legacy services (funcX 0.3 to 2.2), read: what a service without result queues may offer.

    us                                      service
    handshake, with the token   ->
    each task group's bare id   ->
                                <-          {"task_id", "status", "result" | "exception", ...}   each that has ended

There are no numbers and no acknowledgements: after a new connection everything of a group may come once more, which
`PendingTasks` drops, or be lost, for which `HostedResults` asks. The seam is that of `amqp.ResultQueueConsumer`.

Owner: the results thread (`results`); ``wake`` may be called by any.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
import uuid
from collections.abc import Iterable
from typing import Any

from compute_executor.errors import ComputeError, ResultDecodeError
from compute_executor.sdk import outcome as outcomes
from compute_executor.sdk.outcome import Outcome
from compute_executor.serialization import peer_json
from compute_executor.session.hosted.amqp import Handler, QueueLost
from compute_executor.session.stream.websocket import StreamLost, connect

PATH = "/ws/v2/"

SILENCE = 150.0
"""Seconds without a word, answers to pings included, after which the connection counts as lost: two rounds
of polling, and some."""


class LegacyStream:
    """An open stream of task groups. ``missing`` is what `amqp.Queues` has: none ever is, here."""

    def __init__(self, url: str, authorization: str, groups: Iterable[str], handle: Handler) -> None:
        """Raise ServiceUnavailable, NotAuthorized."""
        self.missing: set[str] = set()
        self._handle = handle
        self._stream = connect(url, authorization, path=PATH)
        for group in groups:
            self._stream.send_text(group)
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._stream, selectors.EVENT_READ)

    def turn(self, seconds: float) -> None:
        """Handle what comes, or wait so long for it. Raises QueueLost."""
        try:
            self._stream.flush()
            frames = self._stream.receive() or self._wait(seconds)
            self._stream.flush()
        except StreamLost as error:
            raise QueueLost(str(error)) from error
        for frame in frames:
            self._handle(frame, False)

    def _wait(self, seconds: float) -> list[bytes]:
        ready = {key.fileobj for key, _ in self._selector.select(seconds)}
        if self._woken in ready:
            self._woken.recv(4096)
        if not ready:
            self._listen()
        return self._stream.receive() if self._stream in ready else []

    def _listen(self) -> None:
        """Ping the service, from which nothing has come. Raises StreamLost after a long silence."""
        if time.monotonic() - self._stream.last_received > SILENCE:
            raise StreamLost(f"the service was silent for more than {SILENCE:.0f} s")
        self._stream.ping()

    def try_missing(self) -> None:
        """See `amqp.Queues`."""

    def wake(self) -> None:
        """End a turn early. Any thread."""
        with contextlib.suppress(OSError):  # woken often enough, or closed
            self._waker.send(b"\0")

    def close(self) -> None:
        """Say goodbye; nothing is lost by it."""
        with contextlib.suppress(StreamLost):
            self._stream.say_goodbye()
            self._stream.flush()
        self._selector.close()
        for one in (self._stream, self._waker, self._woken):
            one.close()


def read(frame: bytes) -> Outcome:
    """Return the outcome that a frame tells. Raises ResultDecodeError for any other: a service says its own trouble
    in one without a task."""
    try:
        document: dict[str, Any] = peer_json.decode(frame, dict)
        task_id = str(uuid.UUID(document["task_id"]))
        outcome = outcomes.of_document(task_id, {**document, "task_id": task_id})
    except (ComputeError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ResultDecodeError(
            f"a frame of {len(frame)} bytes is no result: {type(error).__name__}: {error}"
        ) from None
    if outcome.pending:
        raise ResultDecodeError(f"a frame says that task {task_id} is {outcome.status}", task_id=task_id)
    return outcome
