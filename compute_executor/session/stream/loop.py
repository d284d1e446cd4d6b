"""The loop of a session's I/O thread, which owns the socket, both ways.

    until nothing is open and nothing more will come:
        no stream?  connect (if there is anything to say), with pauses that grow; meanwhile ask by HTTP
        else        1. seal and write what is due, run callbacks     2. sleep until the socket, a callback or a
                    deadline     3. read frames, end futures         4. acknowledge, now and then

One thread for both ways because every hop between threads costs 30-60 us, a third of a task's whole way.
User code runs here too (done-callbacks, unpickling), so nothing here waits for another thread.

Ownership goes with the *desk*, a lock that the I/O thread holds except while it sleeps. A submitting thread that
finds the desk free sends what is due itself (:meth:`Pump.send_now`) and lets the I/O thread sleep.
"""

from __future__ import annotations

import logging
import random
import selectors
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from compute_executor.errors import ComputeError, NotAuthorized, PoolBroken, ServiceUnavailable
from compute_executor.future import ComputeFuture
from compute_executor.session.program import describe, forgotten_notice
from compute_executor.session.reconnect import ReconnectPolicy
from compute_executor.session.stream import http_fallback
from compute_executor.session.stream.handshake import greet
from compute_executor.session.stream.keepalive import Keepalive
from compute_executor.session.stream.protocol import StreamProtocol
from compute_executor.session.stream.websocket import StreamLost, WebSocketStream, connect

if TYPE_CHECKING:
    from compute_executor.sdk.own_api import OwnApi
    from compute_executor.session.connection import ConnectionOwner

log = logging.getLogger(__name__)

MAX_UNCONFIRMED = 64
"""Batches that the service has not confirmed yet; more wait in the buffer, where they can be cancelled for free."""

GOODBYE_PATIENCE = 1.0


class StreamLoop:
    """See the module. All attributes belong to whoever has the desk; others read `describe` only."""

    def __init__(self, owner: ConnectionOwner, waker: socket.socket) -> None:
        self._owner = owner
        self.settings = owner.settings
        self._queue = owner.queue
        self.dialogue = StreamProtocol(
            self.settings.group, self.settings.pool, self.settings.spec, self._break
        )
        self._upkeep = Keepalive(self.dialogue, self.settings.grace)
        self.listener = ReconnectPolicy(random.random, self.settings.grace)
        self.stream: WebSocketStream | None = None
        self._waker = waker
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker, selectors.EVENT_READ)
        self._writing = False
        if self.settings.trace:
            from compute_executor.tracing import Trace  # only who traces pays for it

            self.dialogue.trace = Trace(self.settings.trace)
        self._desk = threading.Lock()
        self._spoilt = False

    def run(self) -> None:
        """Until the session ends."""
        self._desk.acquire()
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
            if self._spoilt:
                self.dialogue.reclaim()
                raise StreamLost("a submit was interrupted in the middle of sending")
            self._say(stream)
            for key, _ in self._sleep(self._rest()):
                if key.fileobj is self._waker:
                    self._drain_waker()
                else:
                    self._listen(stream)
            self._queue.awake()
            self._upkeep.work(stream, time.monotonic())
        except StreamLost as error:
            self._lost(error)

    def _sleep(self, seconds: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for something to happen; meanwhile the desk is free."""
        self._desk.release()
        try:
            return self._selector.select(seconds)
        finally:
            self._desk.acquire()

    def send_now(self) -> bool:
        """On a submitting thread, which holds the handover's lock: send a call that has no company to wait for, if
        the I/O thread sleeps; whether it can sleep on. That saves two switches between threads, a tenth of a short
        task's way. In a burst it would only cost: there the I/O thread has a processor of its own."""
        stream = self.stream
        if stream is None or self._busy() or not self._desk.acquire(blocking=False):
            return False
        try:
            self._send_due()
            if not stream.flush():
                return False
            return self._queue.rest(self._busy(), self._room()) is None
        except StreamLost:
            return False
        except (
            BaseException
        ):  # Ctrl-C: who knows what was sent. Begin anew: every batch is known by its prefix
            self._spoilt = True
            self._queue.wake()
            raise
        finally:
            self._desk.release()

    def _send_due(self) -> None:
        for batch in self._queue.take(self._busy(), self._room()):
            self.dialogue.send(batch)

    def _say(self, stream: WebSocketStream) -> None:
        self._send_due()
        self._run_callbacks()
        self._flush(stream)

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
        """Whether waiting for more calls makes sense: the service owes an answer, and more may come."""
        return bool(self.dialogue.sender.unconfirmed) and not self._owner.ending

    def _room(self) -> int:
        assert self.stream is not None
        if self.stream.crowded or self.dialogue.postponed:
            return 0
        return MAX_UNCONFIRMED - len(self.dialogue.sender.unconfirmed)

    def _rest(self) -> float | None:
        if self._finished():
            return 0.0
        pause = self._queue.rest(self._busy(), self._room())
        if pause == 0.0:
            return pause
        upkeep = self._upkeep.pause()
        return upkeep if pause is None else min(pause, upkeep)

    def _listen(self, stream: WebSocketStream) -> None:
        for frame in stream.receive():
            try:
                self.dialogue.hear(frame)
            except msgspec.DecodeError as error:
                log.warning("a frame of %d bytes makes no sense and is passed over: %s", len(frame), error)

    def _break(self, error: PoolBroken) -> None:
        """Workers cannot start."""
        # Where the standard pools say it, for whoever watches there.
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
        self._spoilt = False
        self.dialogue.closed()
        self.listener.lost(time.monotonic())

    def _find_stream(self) -> None:
        """One try to connect if one is due and there is any need; otherwise wait."""
        self._run_callbacks()
        now = time.monotonic()
        if not self._needed():
            self._pause(self._queue.rest(False, 1))
        elif now < self.listener.next_try:
            self._pause(self.listener.next_try - now)
        else:
            self._try(now)

    def _needed(self) -> bool:
        return bool(self.dialogue.router.open or self.dialogue.sender.unconfirmed or self._queue.count)

    def _pause(self, seconds: float | None) -> None:
        if self._selector.select(seconds):
            self._drain_waker()
        self._queue.awake()

    def _try(self, now: float) -> None:
        try:
            api = self.settings.peer.api()
            api.locate()
        except ComputeError as error:
            self._failed(error, now, final=not self.listener.ever_connected)
            return
        try:
            self._open(api.connect(connect), api)
        except (StreamLost, ComputeError) as error:
            if isinstance(error, ComputeError) and not error.retryable:
                self._failed(error, now, final=True)
            else:
                self._converse_by_http(api, now, error)

    def _converse_by_http(self, api: OwnApi, now: float, no_stream: ComputeError | StreamLost) -> None:
        """See whether the service answers at least that way."""
        room = MAX_UNCONFIRMED - len(self.dialogue.sender.unconfirmed)
        try:
            batches = self._queue.take(self._busy(), room)
            http_fallback.converse(self.dialogue, api.impatient(), batches)
        except NotAuthorized as error:
            self._failed(error, now, final=True)
        except ComputeError as error:
            log.info("no answer by HTTP either: %s", error)
            self._failed(no_stream, now, final=False)
        else:
            self.listener.answered(time.monotonic())

    def _open(self, stream: WebSocketStream, api: OwnApi) -> None:
        try:
            welcome = greet(
                stream,
                trace=self.dialogue.trace is not None,
                program=describe(self.settings.label),
                output=self.dialogue.printer is not None,
            )
        except BaseException:
            stream.close()
            raise
        if notice := forgotten_notice(welcome.forgotten):
            print(notice, file=sys.stderr)
        self.dialogue.opened(welcome, api, stream.send)
        self.stream = stream
        self._writing = False
        self._selector.register(stream, selectors.EVENT_READ)
        self.listener.opened()

    def _failed(self, error: ComputeError | StreamLost, now: float, final: bool) -> None:
        log.info("no stream: %s", error)
        self.listener.failed(now)
        if final and isinstance(error, ComputeError):
            self._give_up(error)
        elif self.listener.given_up(time.monotonic()):
            self._give_up(
                ServiceUnavailable(
                    f"the service could not be reached for {self.listener.patience:.0f} s: {error}. What it has "
                    "accepted is not lost: when it is back, Executor.reload_tasks(task_group_id) finds it."
                )
            )

    def _give_up(self, error: ComputeError) -> None:
        self._owner.fail_waiting(error)
        self.dialogue.give_up(error)
        self.listener.rest()

    # -- the end ---------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        try:
            if self.stream is not None:
                self._say_goodbye(self.stream)
        except (StreamLost, OSError) as error:
            log.debug("no proper goodbye: %s", error)
        finally:
            if self.stream is not None:
                self.stream.close()
            self._selector.close()
            if self.dialogue.api is not None:
                self.dialogue.api.close()
            self.listener.connected = False
            if self.dialogue.trace is not None:
                self.dialogue.trace.close()
            if self.dialogue.printer is not None:
                self.dialogue.printer.close()

    def _say_goodbye(self, stream: WebSocketStream) -> None:
        """Let the service have all our words before the connection ends: closing a socket with unread input
        would throw them away."""
        self._run_callbacks()
        self.dialogue.goodbye()
        stream.say_goodbye()
        self._selector.unregister(self._waker)
        deadline = time.monotonic() + GOODBYE_PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            self._flush(stream)
            self._selector.select(left)
            stream.receive()  # raises StreamLost when the service has closed, too

    def forked(self) -> list[ComputeFuture[Any]]:
        """In the child of a fork: the socket is the parent's, let go of our descriptors of it. Returns the futures
        that nobody will end here."""
        self._selector.close()
        if self.stream is not None:
            self.stream.close()
        return self.dialogue.router.futures()

    def describe(self) -> tuple[int, str]:
        """Tasks in flight, and the state of the stream in a word. Any thread."""
        return self.dialogue.router.open, self.listener.state
