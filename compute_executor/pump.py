"""The loop of a session's I/O thread: the only one that touches the socket, both ways.

    until nothing is open and nothing more will come:
        no stream?  connect (if there is anything to say), with pauses that grow; meanwhile ask by HTTP
        else        1. seal and write what is due, fulfil wishes     2. sleep until the socket, a wish or a
                    deadline     3. read frames, end futures         4. acknowledge, now and then

One thread for both ways because every hop between threads costs 30-60 us, a third of a task's whole way.
User code runs here too (done-callbacks, unpickling), so nothing here waits for another thread.
"""

from __future__ import annotations

import logging
import random
import selectors
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec

from compute_executor import __version__
from compute_executor.dialogue import Dialogue, Withdrawal
from compute_executor.errors import ComputeError, ServiceUnavailable, VersionMismatch
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import PROTOCOL, Hello, Welcome
from compute_executor.results.listener import Listener
from compute_executor.results.websocket import CONNECT_PATIENCE, Stream, StreamLost, connect

if TYPE_CHECKING:
    from compute_executor.peer import Address
    from compute_executor.session import Session

log = logging.getLogger(__name__)

MAX_UNCONFIRMED = 64
"""Batches that the service has not confirmed yet; more wait in the buffer, where they can be cancelled for free."""

ACK_PAUSE = 0.05
"""Seconds between acknowledgements: each would wake the service once more, and all they do is free its memory."""

PING_PAUSE = 20.0
"""Seconds of silence after which the peer is asked whether it lives; after as many again it counts as gone
(the default of the websockets package)."""

NO_ROOM_PAUSE = 0.25
GOODBYE_PATIENCE = 1.0


class Pump:
    """See the module. All attributes belong to the I/O thread; others read `describe` only."""

    def __init__(self, session: Session, waker: socket.socket) -> None:
        self.session = session
        self.settings = session.settings
        self.dialogue = Dialogue(self.settings.group, self.settings.pool, self.settings.spec)
        self.listener = Listener(random.random, self.settings.grace)
        self.stream: Stream | None = None
        self._waker = waker
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker, selectors.EVENT_READ)
        self._writing = False
        self._acknowledged = 0.0
        self._pinged = 0.0
        self._room_since: float | None = None
        self._room_tried = 0.0

    def run(self) -> None:
        """Until the session ends."""
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
        session, dialogue = self.session, self.dialogue
        if session.abandoned:
            return True
        return session.ending and not (dialogue.router.open or dialogue.sender.unconfirmed or session.waiting)

    # -- with a stream ---------------------------------------------------------------------------------------

    def _turn(self) -> None:
        assert self.stream is not None
        stream = self.stream
        try:
            self._say(stream)
            for key, _ in self._selector.select(self._rest()):
                if key.fileobj is self._waker:
                    self._drain_waker()
                else:
                    self._listen(stream)
            self.session.awake()
            self._housekeep(stream)
        except StreamLost as error:
            self._lost(error)

    def _say(self, stream: Stream) -> None:
        for batch in self.session.take(self._busy(), self._room()):
            self.dialogue.send(batch)
        self._fulfil_wishes()
        self._flush(stream)

    def _fulfil_wishes(self) -> None:
        for wish in self.session.take_wishes():
            wish(self)

    def _flush(self, stream: Stream) -> None:
        writing = not stream.flush()
        if writing != self._writing:
            self._writing = writing
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
            self._selector.modify(stream, events)

    def _busy(self) -> bool:
        return bool(self.dialogue.sender.unconfirmed)

    def _room(self) -> int:
        assert self.stream is not None
        if self.stream.crowded or self.dialogue.postponed:
            return 0
        return MAX_UNCONFIRMED - len(self.dialogue.sender.unconfirmed)

    def _rest(self) -> float | None:
        if self._finished():
            return 0.0
        pause = self.session.rest(self._busy(), self._room())
        if pause == 0.0:
            return pause
        limits = [PING_PAUSE if pause is None else pause]
        if self.dialogue.owes_acknowledgement:
            limits.append(ACK_PAUSE)
        if self.dialogue.postponed:
            limits.append(NO_ROOM_PAUSE)
        return min(limits)

    def _listen(self, stream: Stream) -> None:
        for frame in stream.receive():
            try:
                self.dialogue.hear(frame)
            except msgspec.DecodeError as error:
                log.warning("a frame of %d bytes makes no sense and is passed over: %s", len(frame), error)
        if self.dialogue.broken is not None and self.session.broken is None:
            self.session.broken = self.dialogue.broken
            self.session.give_up_waiting(self.dialogue.broken)

    def _drain_waker(self) -> None:
        try:
            while len(self._waker.recv(4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def _housekeep(self, stream: Stream) -> None:
        now = time.monotonic()
        if self.dialogue.owes_acknowledgement and now >= self._acknowledged + ACK_PAUSE:
            self._acknowledged = now
            self.dialogue.acknowledge()
        if self.dialogue.postponed:
            self._make_room(now)
        silence = now - max(stream.heard, self._pinged)
        if silence > PING_PAUSE:
            if self._pinged > stream.heard:
                raise StreamLost(f"the service has been silent for {now - stream.heard:.0f} s")
            self._pinged = now
            stream.ping()

    def _make_room(self, now: float) -> None:
        """Offer again what the service had no room for, until the grace is over."""
        if self.dialogue.no_room is None or self._room_since is None:
            self._room_since = now
        if now - self._room_since >= self.settings.grace:
            self.dialogue.give_up_postponed()
        elif now - self._room_tried >= NO_ROOM_PAUSE:
            self._room_tried = now
            self.dialogue.retry_postponed()

    # -- without a stream ------------------------------------------------------------------------------------

    def _lost(self, error: StreamLost) -> None:
        log.info("the stream is lost: %s", error)
        assert self.stream is not None
        self._selector.unregister(self.stream)
        self.stream.close()
        self.stream = None
        self.dialogue.closed()
        self.listener.lost(time.monotonic())

    def _find_stream(self) -> None:
        """One try to connect if one is due and there is any need; otherwise wait."""
        self._fulfil_wishes()
        now = time.monotonic()
        if not self._needed():
            self._pause(self.session.rest(False, 1))
        elif now < self.listener.next_try:
            self._pause(self.listener.next_try - now)
        else:
            self._try(now)

    def _needed(self) -> bool:
        return bool(self.dialogue.router.open or self._busy() or self.session.waiting)

    def _pause(self, seconds: float | None) -> None:
        if self._selector.select(seconds):
            self._drain_waker()
        self.session.awake()

    def _try(self, now: float) -> None:
        try:
            address = self.settings.peer.address()
        except ComputeError as error:
            self._failed(error, now, final=not self.listener.ever_connected)
            return
        try:
            self._open(connect(address.url, address.authorization), address)
        except (StreamLost, ComputeError) as error:
            final = isinstance(error, ComputeError) and not error.retryable
            if final or not self._converse_by_http(address):
                self._failed(error, now, final)

    def _converse_by_http(self, address: Address) -> bool:
        """Whether the service answers at least that way."""
        for batch in self.session.take(self._busy(), MAX_UNCONFIRMED - len(self.dialogue.sender.unconfirmed)):
            self.dialogue.send(batch)
        try:
            self.dialogue.converse_by_http(address)
        except ComputeError as error:
            log.info("no answer by HTTP either: %s", error)
            return False
        self.listener.answered(time.monotonic())
        return True

    def _open(self, stream: Stream, address: Address) -> None:
        try:
            welcome = _greet(stream)
        except BaseException:
            stream.close()
            raise
        self.dialogue.opened(welcome, address, stream.send)
        self.session.storage = self.dialogue.storage
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
        self.session.give_up_waiting(error)
        self.dialogue.give_up(error)
        self.listener.rest()

    # -- wishes of other threads -----------------------------------------------------------------------------

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """Ask the service not to run these."""
        self.dialogue.withdraw(withdrawal)

    def withdraw_by_http(self, futures: list[ComputeFuture[Any]] | None) -> None:
        """The same from within a callback, on this very thread: the stream's answer could not be read."""
        self.dialogue.withdraw_by_http(futures)

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
            self.listener.connected = False

    def _say_goodbye(self, stream: Stream) -> None:
        """Let the service have all our words before the connection ends: closing a socket with unread input
        would throw them away."""
        self._fulfil_wishes()
        self.dialogue.goodbye()
        stream.say_goodbye()
        deadline = time.monotonic() + GOODBYE_PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            self._flush(stream)
            self._selector.select(left)
            stream.receive()  # raises StreamLost when the service has closed, too

    def forked(self) -> None:
        """In the child of a fork: the socket is the parent's, let go of our descriptors of it. Nobody will end
        our futures, which the child may wait for."""
        self._selector.close()
        if self.stream is not None:
            self.stream.close()
        for future in self.dialogue.router.futures():
            future.orphan()

    def describe(self) -> tuple[int, str]:
        """Tasks in flight, and the state of the stream in a word. Any thread."""
        return self.dialogue.router.open, self.listener.state


def _greet(stream: Stream) -> Welcome:
    """Exchange first frames. Raises StreamLost or VersionMismatch."""
    import platform

    hello = Hello(PROTOCOL, __version__, platform.python_version())
    stream.send_text(msgspec.json.encode(hello).decode())
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        deadline = time.monotonic() + CONNECT_PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            stream.flush()
            selector.select(left)
            frames = stream.receive()
            if frames:
                return _welcome(frames[0])
    raise StreamLost(f"the service said nothing for {CONNECT_PATIENCE:.0f} s")


def _welcome(frame: bytes) -> Welcome:
    try:
        welcome = msgspec.json.decode(frame, type=Welcome)
    except msgspec.DecodeError as error:
        raise VersionMismatch(
            f"the service's first frame is no Welcome: {error}. Is it one of ours?"
        ) from None
    if welcome.compute_executor != PROTOCOL:
        raise VersionMismatch(
            f"the service (version {welcome.version}) speaks protocol {welcome.compute_executor}, this client "
            f"(version {__version__}) speaks {PROTOCOL}: update the older one"
        )
    return welcome
