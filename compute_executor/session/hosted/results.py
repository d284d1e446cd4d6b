"""Keeps the results of a hosted service coming: by its broker, and by asking while there is no way to that. A service
without a broker may have a legacy stream (`legacy_stream`), which then stands for the queues.

    nothing open  -> no thread, no connection (after LINGER seconds: the next task is likely to come soon)
    something is  -> ask for the broker's address and credentials, anew each time; read the queues
                     lost or refused: pause (full jitter, up to 30 s), meanwhile ask for the open tasks; then again

What cannot be read in the queue, or may not be (high assurance), is asked for; so are tasks whose group has no queue,
and all that are open after a reconnect, in case the queue was lost as well.

Owner: its thread. ``need``, ``fetch`` and ``end`` may be called by any.
"""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from compute_executor.errors import ComputeError, NotFound, ResultDecodeError, ServiceUnavailable
from compute_executor.sdk.outcome import Outcome
from compute_executor.session.hosted import amqp, legacy_stream, messages
from compute_executor.session.hosted.pending import PendingTasks
from compute_executor.session.reconnect import ReconnectPolicy

if TYPE_CHECKING:
    from compute_executor.sdk.client import Client

log: logging.Logger = logging.getLogger(__name__)

LINGER = 5.0
"""Seconds for which thread and connection stay when nothing is open: connecting costs 20 to 500 ms, which one task
after another would pay each time."""

POLL_PAUSE = 1.0
"""Seconds between two rounds of asking for tasks that no queue brings. Globus Compute takes 20 requests in 10 s."""

TURN = 60.0
"""Seconds that a turn waits for messages at most; what happens ends it early."""


class ResultSink(Protocol):
    """Interface that the results need of the connection. ``lock`` guards ``pending``."""

    lock: threading.Lock
    pending: PendingTasks

    def ended(self, outcome: Outcome) -> None:
        """Note that a task has ended."""

    def give_up(self, error: ComputeError) -> None:
        """None of the open tasks will be heard of."""


Queues = amqp.ResultQueueConsumer | legacy_stream.LegacyStream


class HostedResults:
    """See the module. ``port`` gives that of the broker for the next connection; None: the one that the service
    names."""

    def __init__(
        self,
        client: Client,
        group: str,
        sink: ResultSink,
        grace: float,
        port: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._port = port
        self._client = client
        self._wire = client.text_wire()
        self._groups = {group}
        self._heard: set[str] = set()  # groups whose queues are open
        self._reopen = False
        self._sink = sink
        self._pending = sink.pending
        self._lock = sink.lock
        self.reconnect: ReconnectPolicy = ReconnectPolicy(random.random, grace)
        self._queues: Queues | None = None
        self._thread: threading.Thread | None = None
        self._to_fetch: set[str] = set()
        self._fetched = 0.0
        self._ending = False
        self._changed = threading.Event()

    # -- any thread ------------------------------------------------------------------------------------------

    def need(self) -> None:
        """Note that there are open tasks: have a thread. The caller holds the lock."""
        if self._thread is None and not self._ending:
            self._thread = threading.Thread(target=self._run, name="compute-executor-results", daemon=True)
            self._thread.start()
            return
        self._changed.set()
        queues = self._queues
        if queues is not None and queues.missing:
            queues.wake()

    def fetch(self, task_ids: Iterable[str]) -> None:
        """Ask for these tasks until they have ended."""
        with self._lock:
            self._to_fetch.update(task_ids)
            self.need()
        self.wake()

    def add_group(self, group: str) -> None:
        """Note that results of another group are wanted as well: by asking, since its queue may be someone else's."""
        self._groups.add(group)

    def listen_to(self, group: str) -> None:
        """Note that results of another group will come into a queue of this program's."""
        if group not in self._heard:
            self._groups.add(group)
            self._reopen = True
            self.wake()

    def is_here(self) -> bool:
        """Return whether the caller is the results thread."""
        return threading.current_thread() is self._thread

    def wake(self) -> None:
        """Note that something has changed."""
        self._changed.set()
        queues = self._queues
        if queues is not None:
            queues.wake()

    def end(self, patience: float = 2.0) -> None:
        """Note that no more results are wanted; returns when the thread has ended, or will not."""
        self._ending = True
        self.wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    # -- its own ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wanted():
                if self._reopen:  # a queue more is to be read
                    self._reopen = False
                    self._disconnect()
                if self._queues is None:
                    self._connect()
                else:
                    self._turn(self._queues)
        except BaseException as error:
            log.exception("the results thread of an Executor failed")
            self._sink.give_up(
                ComputeError(f"internal error, please report it: {type(error).__name__}: {error}")
            )
            self._disconnect()
            with self._lock:
                self._thread = None

    def _wanted(self) -> bool:
        """Return whether to go on; if nothing is open, after waiting for a while whether something comes."""
        until = time.monotonic() + LINGER
        while not self._ending and (left := until - time.monotonic()) > 0:
            with self._lock:
                if self._pending.open:
                    return True
            self._rest(left)
        self._disconnect()
        with self._lock:  # who adds a task holds it too, so either sees the other
            if self._pending.open and not self._ending:
                return True
            self._thread = None
            return False

    def _rest(self, seconds: float) -> None:
        """Nothing is open: keep the connection alive, and wait."""
        if self._queues is None:
            self._changed.wait(seconds)
            self._changed.clear()
            return
        try:
            self._queues.turn(seconds)
        except amqp.QueueLost as error:
            self._lost(error)

    def _connect(self) -> None:
        now = time.monotonic()
        if now < self.reconnect.next_try:
            self._pause(min(POLL_PAUSE, self.reconnect.next_try - now))
            return
        try:
            self._queues = self._open()
        except (amqp.QueueLost, ComputeError) as error:
            log.info("no result queue: %s", error)
            self.reconnect.failed(now)
            self._ask(self._open_tasks())
            return
        again = self.reconnect.ever_connected or self.reconnect.failing
        self.reconnect.opened()
        if again:
            self._ask(self._open_tasks())

    def _open(self) -> Queues:
        address = self._client.address()
        groups = self._heard = set(self._groups)
        try:
            found = self._client.result_queues()
        except NotFound:
            handle = functools.partial(self._message, legacy_stream.read)
            token = self._client.authorization() or ""
            return legacy_stream.LegacyStream(address, token, groups, handle)
        port = self._port()
        url = found.url if port is None else amqp.with_port(found.url, port)
        amqp.check(url, address)
        handle = functools.partial(self._message, messages.read)
        return amqp.ResultQueueConsumer(url, amqp.named(groups, found.prefix), handle)

    def _pause(self, seconds: float) -> None:
        self._changed.wait(seconds)
        self._changed.clear()
        if time.monotonic() >= self._fetched + POLL_PAUSE:
            self._ask(self._open_tasks())

    def _turn(self, queues: Queues) -> None:
        due = self._due(queues)
        if due and time.monotonic() >= self._fetched + POLL_PAUSE:
            self._ask(due)
            if queues.missing:
                self._look_again(queues)
            return
        try:
            queues.turn(max(0.0, self._fetched + POLL_PAUSE - time.monotonic()) if due else TURN)
        except amqp.QueueLost as error:
            self._lost(error)

    def _look_again(self, queues: Queues) -> None:
        try:
            queues.try_missing()
        except amqp.QueueLost as error:
            self._lost(error)

    def _due(self, queues: Queues) -> list[str]:
        """Return what the queues do not bring."""
        with self._lock:
            self._to_fetch = {task_id for task_id in self._to_fetch if self._pending.known(task_id)}
            unqueued = self._pending.task_ids(queues.missing) if queues.missing else []
            return [*self._to_fetch, *unqueued]

    def _message(self, read: Callable[[bytes], Outcome], body: bytes, assured: bool) -> bool:
        """Return one message of a queue; False if it cannot be read."""
        try:
            outcome = read(body)
        except ResultDecodeError as error:
            task_id = messages.task_id_of(body)
            log.warning("a message cannot be read, its task is asked for: %s", error)
            self._ask_later(task_id)
            return False
        if assured:
            self._ask_later(outcome.task_id)
        else:
            self._sink.ended(outcome)
        return True

    def _ask_later(self, task_id: str | None) -> None:
        with self._lock:
            if task_id is None:
                self._to_fetch.update(self._pending.task_ids())
            else:
                self._to_fetch.add(task_id)
        self._fetched = 0.0

    def _open_tasks(self) -> list[str]:
        with self._lock:
            return self._pending.task_ids()

    def _ask(self, task_ids: list[str]) -> None:
        """Ask how tasks stand, and end those that have ended."""
        self._fetched = time.monotonic()
        try:
            for outcome in self._wire.outcomes(task_ids).values():
                if not outcome.pending:
                    self._sink.ended(outcome)
        except ComputeError as error:
            self._unanswered(error)
            return
        if self._queues is None:
            self.reconnect.alive()

    def _unanswered(self, error: ComputeError) -> None:
        log.info("the service does not tell how tasks stand: %s", error)
        if not error.retryable and self._queues is None:
            self._sink.give_up(error)
        elif self.reconnect.given_up(time.monotonic()):
            self._sink.give_up(
                ServiceUnavailable(
                    f"neither results nor answers came for {self.reconnect.patience:.0f} s: {error}. What the "
                    "service has accepted is not lost: later, Executor.reload_tasks(task_group_id) finds it"
                )
            )

    def _lost(self, error: amqp.QueueLost) -> None:
        log.info("the result queue is lost: %s", error)
        self._disconnect()
        self.reconnect.lost(time.monotonic())

    def _disconnect(self) -> None:
        queues, self._queues = self._queues, None
        if queues is not None:
            queues.close()
        self.reconnect.connected = False
