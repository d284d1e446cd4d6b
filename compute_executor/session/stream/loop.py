"""The loop of a session's I/O thread, which owns the socket, for reading and for writing.

    until nothing is open and no more calls will come:
        no stream?  connect (if there is anything to send), with pauses that grow; meanwhile poll by HTTP
        else        1. write the batches that are due, run the callbacks of other threads
                    2. sleep until the socket, a callback or a deadline
                    3. read frames, end futures
                    4. acknowledge, ping, offer postponed batches again

One thread reads and writes because every hop between threads costs 30-60 us, a third of a task's whole way.
Code of the user runs here too (unpickling), so nothing here waits for another thread.

Ownership goes with the I/O lock, which the I/O thread holds except while it sleeps. A submitting thread that finds
the lock free sends what is due itself (:meth:`StreamLoop.send_now`) and lets the I/O thread sleep.
"""

from __future__ import annotations

import logging
import random
import selectors
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from compute_executor.errors import ComputeError, NotAuthorized, PoolBroken, ServiceUnavailable
from compute_executor.future import ComputeFuture
from compute_executor.sdk.ending import reading_of
from compute_executor.session.program import describe, forgotten_notice
from compute_executor.session.reconnect import ReconnectPolicy
from compute_executor.session.stream import http_fallback
from compute_executor.session.stream.handshake import greet
from compute_executor.session.stream.keepalive import Keepalive
from compute_executor.session.stream.protocol import StreamProtocol
from compute_executor.session.stream.websocket import StreamLost, WebSocketStream, connect
from compute_executor.settings import ExecutorSettings

if TYPE_CHECKING:
    from compute_executor.sdk.own_api import OwnApi
    from compute_executor.session.connection import ConnectionOwner

log: logging.Logger = logging.getLogger(__name__)

MAX_UNCONFIRMED = 64
"""Batches that the service has not confirmed yet; more wait in the buffer, where they can be cancelled for free."""

GOODBYE_PATIENCE = 1.0
"""Seconds to wait until the service has read the last frames and closed the stream."""


class StreamLoop:
    """Event loop of one connection. All attributes belong to the thread that holds the I/O lock; other threads call
    :meth:`send_now` and :meth:`describe` only. ``released``: names of parts that nothing refers to any more, which
    other threads append. ``clock`` in seconds; ``chance`` is uniform in [0, 1)."""

    def __init__(
        self,
        owner: ConnectionOwner,
        waker: socket.socket,
        released: deque[str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._owner = owner
        self.settings: ExecutorSettings = owner.settings
        self._queue = owner.queue
        self.protocol: StreamProtocol = StreamProtocol(
            self.settings.group,
            self.settings.pool,
            self.settings.spec,
            self._break,
            prints=self.settings.prints,
            reading=reading_of(self.settings.serializer),
        )
        self._keepalive = Keepalive(
            self.protocol, self.settings.grace, no_room_pause=self.settings.no_room_pause
        )
        self.reconnect: ReconnectPolicy = ReconnectPolicy(
            chance, self.settings.grace, self.settings.first_grace
        )
        self.stream: WebSocketStream | None = None
        self._waker = waker
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker, selectors.EVENT_READ)
        self._writing = False
        if self.settings.trace:
            from compute_executor.tracing import Trace  # only who traces pays for it

            self.protocol.trace = Trace(self.settings.trace)
        self._io_lock = threading.Lock()
        self._send_interrupted = False
        self._released: deque[str] = deque() if released is None else released
        self._wanted = False  # to be connected, although there is nothing to send yet

    def run(self) -> None:
        """Carry calls and outcomes until the session ends."""
        self._io_lock.acquire()
        try:
            while not self._finished():
                if self.stream is None:
                    self._find_stream()
                else:
                    self._turn()
        except BaseException as error:
            log.exception("the I/O thread of an Executor failed")
            self._give_up(ComputeError(f"internal error, please report it: {type(error).__name__}: {error}"))
        finally:
            self._leave()

    def _finished(self) -> bool:
        owner = self._owner
        return owner.abandoned or (owner.ending and not self._needed())

    # -- with a stream ---------------------------------------------------------------------------------------

    def _turn(self) -> None:
        assert self.stream is not None
        stream = self.stream
        try:
            if self._send_interrupted:
                self.protocol.resend_unconfirmed()
                raise StreamLost("a submit was interrupted in the middle of sending")
            self._write(stream)
            for key, _ in self._sleep(self._rest()):
                if key.fileobj is self._waker:
                    self._drain_waker()
                else:
                    self._read(stream)
            self._queue.awake()
            self._keepalive.work(stream, self._clock())
        except StreamLost as error:
            self._lost(error)

    def _sleep(self, seconds: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for something to happen; meanwhile other threads can have the I/O lock."""
        self._io_lock.release()
        try:
            return self._selector.select(seconds)
        finally:
            self._io_lock.acquire()

    def send_now(self) -> bool:
        """Send a call that has no others to wait for, on the submitting thread, which holds the queue's lock; return
        whether the I/O thread can sleep on. False if it does not sleep.

        This saves two switches between threads, a tenth of a short task's way. In a burst it would only cost: there
        the I/O thread has a processor of its own."""
        stream = self.stream
        if stream is None or self._busy() or not self._io_lock.acquire(blocking=False):
            return False
        try:
            self._send_due()
            if not stream.flush():
                return False
            return self._queue.pause(self._busy(), self._room()) is None
        except StreamLost:
            return False
        except (
            BaseException
        ):  # Ctrl-C: it is unknown what was sent. Connect anew: every batch is known by its prefix
            self._send_interrupted = True
            self._queue.wake()
            raise
        finally:
            self._io_lock.release()

    def _send_due(self) -> None:
        for batch in self._queue.take(self._busy(), self._room()):
            self.protocol.send(batch)

    def _write(self, stream: WebSocketStream) -> None:
        self._send_due()
        self._run_callbacks()
        if self._released:
            self.protocol.release(self._take_released())
        self._flush(stream)

    def _take_released(self) -> list[str]:
        return [self._released.popleft() for _ in range(len(self._released))]

    def _run_callbacks(self) -> None:
        for callback in self._queue.callbacks():
            callback()

    def _flush(self, stream: WebSocketStream) -> None:
        writing = not stream.flush()
        if writing != self._writing:
            self._writing = writing
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
            self._selector.modify(stream, events)

    def _busy(self) -> bool:
        """Return whether to wait for more calls: the service has a batch to confirm, and more calls may come."""
        return bool(self.protocol.sender.unconfirmed) and not self._owner.ending

    def _room(self) -> int:
        assert self.stream is not None
        if self.stream.congested or self.protocol.postponed:
            return 0
        return MAX_UNCONFIRMED - len(self.protocol.sender.unconfirmed)

    def _rest(self) -> float | None:
        if self._finished():
            return 0.0
        pause = self._queue.pause(self._busy(), self._room())
        if pause == 0.0:
            return pause
        keepalive_pause = self._keepalive.pause()
        return keepalive_pause if pause is None else min(pause, keepalive_pause)

    def _read(self, stream: WebSocketStream) -> None:
        for frame in stream.receive():
            try:
                self.protocol.receive(frame)
            except msgspec.DecodeError as error:
                log.warning("a frame of %d bytes cannot be decoded and is ignored: %s", len(frame), error)

    def _break(self, error: PoolBroken) -> None:
        """Refuse all further calls: workers cannot start."""
        # The logger of the standard pools, which a user may watch.
        logging.getLogger("concurrent.futures").critical("workers cannot start: %s", error)
        self._owner.break_pool(error)

    def _drain_waker(self) -> None:
        try:
            while len(self._waker.recv(4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    # -- without a stream ------------------------------------------------------------------------------------

    def _lost(self, error: StreamLost) -> None:
        log.info("the stream is lost: %s", error)
        assert self.stream is not None
        self._selector.unregister(self.stream)
        self.stream.close()
        self.stream = None
        self._send_interrupted = False
        self.protocol.closed()
        self.reconnect.lost(self._clock())

    def _find_stream(self) -> None:
        """Try to connect if a try is due and anything is open; otherwise wait."""
        self._run_callbacks()
        now = self._clock()
        if not self._needed():
            self._pause(self._queue.pause(False, 1))
        elif now < self.reconnect.next_try:
            self._pause(self.reconnect.next_try - now)
        else:
            self._try(now)

    def _needed(self) -> bool:
        waiting = self.protocol.router.open or self.protocol.sender.unconfirmed or self._queue.count
        return bool(waiting or self._wanted)

    def locate(self) -> None:
        """Connect, although there is nothing to send: somebody waits to hear where large bodies go."""
        self._wanted = self.protocol.storage is None
        self.protocol.located.clear()
        if not self._wanted:
            self.protocol.located.set()

    def _pause(self, seconds: float | None) -> None:
        if self._selector.select(seconds):
            self._drain_waker()
        self._queue.awake()

    def _try(self, now: float) -> None:
        try:
            api = self.settings.peer.api()
            api.locate()
        except ComputeError as error:
            self._failed(error, now, final=not self.reconnect.ever_connected)
            return
        try:
            self._open(api.connect(connect), api)
        except (StreamLost, ComputeError) as error:
            if isinstance(error, ComputeError) and not error.retryable:
                self._failed(error, now, final=True)
            else:
                self._exchange_by_http(api, now, error)

    def _exchange_by_http(self, api: OwnApi, now: float, no_stream: ComputeError | StreamLost) -> None:
        """Send and poll by HTTP requests, while no stream can be opened."""
        room = MAX_UNCONFIRMED - len(self.protocol.sender.unconfirmed)
        try:
            batches = self._queue.take(self._busy(), room)
            http_fallback.exchange(self.protocol, api.impatient(), batches)
        except NotAuthorized as error:
            self._failed(error, now, final=True)
        except ComputeError as error:
            log.info("no answer by HTTP either: %s", error)
            self._failed(no_stream, now, final=False)
        else:
            self.reconnect.answered(self._clock())
            self._wanted = False

    def _open(self, stream: WebSocketStream, api: OwnApi) -> None:
        try:
            welcome = greet(
                stream,
                trace=self.protocol.trace is not None,
                program=describe(self.settings.label),
                output=self.protocol.printer is not None,
            )
        except BaseException:
            stream.close()
            raise
        if notice := forgotten_notice(welcome.forgotten):
            print(notice, file=sys.stderr)
        self.protocol.opened(welcome, api, stream.send)
        self._wanted = False
        self.stream = stream
        self._writing = False
        self._selector.register(stream, selectors.EVENT_READ)
        self.reconnect.opened()

    def _failed(self, error: ComputeError | StreamLost, now: float, final: bool) -> None:
        log.info("no stream: %s", error)
        self.reconnect.failed(now)
        if final and isinstance(error, ComputeError):
            self._give_up(error)
        elif self.reconnect.given_up(self._clock()):
            self._give_up(
                ServiceUnavailable(
                    f"the service could not be reached for {self.reconnect.patience:.0f} s: {error}. What it has "
                    "accepted is not lost: when it is back, Executor.reload_tasks(task_group_id) finds it."
                )
            )

    def _give_up(self, error: ComputeError) -> None:
        self._owner.fail_waiting(error)
        self.protocol.give_up(error)
        self._wanted = False
        self.protocol.located.set()
        self.reconnect.restart_grace()

    # -- the end ---------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        try:
            if self.stream is not None:
                self._close_in_order(self.stream)
        except (StreamLost, OSError) as error:
            log.debug("the stream was not closed in order: %s", error)
        finally:
            if self.stream is not None:
                self.stream.close()
            self._selector.close()
            if self.protocol.api is not None:
                self.protocol.api.close()
            self.reconnect.connected = False
            self.protocol.located.set()
            if self.protocol.trace is not None:
                self.protocol.trace.close()
            if self.protocol.printer is not None:
                self.protocol.printer.close()

    def _close_in_order(self, stream: WebSocketStream) -> None:
        """Send what is left and wait until the service has closed, too: closing a socket with unread input would
        throw away what was sent."""
        self._run_callbacks()
        self.protocol.goodbye()
        stream.say_goodbye()
        self._selector.unregister(self._waker)
        deadline = self._clock() + GOODBYE_PATIENCE
        while (left := deadline - self._clock()) > 0:
            self._flush(stream)
            self._selector.select(left)
            stream.receive()  # raises StreamLost when the service has closed, too

    def forked(self) -> list[ComputeFuture[Any]]:
        """Close this process's descriptors of the parent's socket, in the child of a fork; return the futures that
        will not end here."""
        self._selector.close()
        if self.stream is not None:
            self.stream.close()
        return self.protocol.router.futures()

    def describe(self) -> tuple[int, str]:
        """Return the number of tasks in flight, and the state of the stream in a word. Any thread."""
        return self.protocol.router.open, self.reconnect.state
