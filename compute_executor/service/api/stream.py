"""The stream between a client and the service: a WebSocket that speaks `protocol.frames`.

    receive  -> one frame after the other -> Service
    send     <- SendQueue <- results, answers                 one task, sends whatever has accumulated

A slow reader: once about `ServiceLimits.stream_buffer` bytes wait, results of its groups are no longer queued. When
all has been sent, the connection reads on from the store, from the number up to which it has sent, until it has
caught up. Answers are never dropped; while too many of them wait, no further frame is read.

A frame that cannot be read, or that does what it may not, closes the connection with a reason; nobody else notices.
Owner of all state: the loop thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from compute_executor._version import __version__
from compute_executor.errors import ComputeError, InvalidRequest, NotFound, QuotaExceeded
from compute_executor.protocol import frames
from compute_executor.protocol.ids import split_task_id
from compute_executor.protocol.plain import check_free_fields
from compute_executor.service.access import Identity
from compute_executor.service.api.frame_sizes import SMALL, check_frame
from compute_executor.service.api.legacy_stream import LegacyClientStream
from compute_executor.service.api.send_queue import SendQueue
from compute_executor.service.api.task_times import TaskTimes
from compute_executor.service.api.turns import TURN
from compute_executor.service.auth.open_streams import StreamRevoked, StreamSession
from compute_executor.service.limits import announced
from compute_executor.service.service import Service
from compute_executor.service.tasks.groups import body_size, written_size

log: logging.Logger = logging.getLogger(__name__)

INTERNAL_ERROR = 1011
RESTARTING = 1012  # RFC 6455's registry: the client may connect again
MALFORMED, UNAUTHENTICATED, FOREIGN, OTHER_VERSION, TOO_MANY = 4400, 4401, 4404, 4426, 4429
"""Close codes of ours (RFC 6455 section 7.4.2: 4000 to 4999 are for private use), like HTTP statuses."""
NOBODY_THERE = 1006
"""The connection ended without a close frame (RFC 6455 section 7.4.1)."""
LONGEST_REASON = 123
"""Bytes of a close frame's reason (RFC 6455 section 5.5)."""
HELLO_PATIENCE = 10.0
"""Seconds until the first frame must have come."""
COMPANY = 0.001
"""Seconds that an Accepted waits for results of its batch, which make it superfluous: a frame costs some 100 us on
both sides together, a fifth of a short task's whole way."""

MOST_CANCELS = 16
"""Cancels of one stream that are worked on: one may wait for machines, and what it names is in memory until then."""
LONGEST_TEXT = 1_000
"""Characters that are kept of what a program says of itself: it is stored with each of its task groups."""

TEXT_FRAME = "a frame cannot be read: after the first they are binary, this is text"

_decode_hello = msgspec.json.Decoder(frames.Hello).decode
_decode = msgspec.msgpack.Decoder(frames.ToService).decode
_encode = msgspec.msgpack.Encoder().encode


class FrameRefused(Exception):
    """The connection must be closed: with this code, for this reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


async def serve_stream(websocket: WebSocket, who: Identity, service: Service, token: bytes = b"") -> None:
    """Serve one WebSocket of ``who`` until either side ends it. ``token``: the hash of the token it came with."""
    try:
        session = service.open_streams.enter(who, token)
    except QuotaExceeded as error:
        service.audit.refused(who, "a stream", error)
        with contextlib.suppress(WebSocketDisconnect):
            await accept(websocket)
            await _close(websocket, TOO_MANY, str(error))
        return
    try:
        await session.during(_converse(websocket, session, service))
    except WebSocketDisconnect:
        return
    except StreamRevoked as revoked:
        log.info("stream of %s ended: %s", who.id, revoked)
        await _close(websocket, UNAUTHENTICATED, str(revoked))
    except FrameRefused as refused:
        log.info("stream of %s closed: %s", who.id, refused)
        await _close(websocket, refused.code, str(refused))
    except Exception:
        log.exception("stream of %s failed", who.id)
        await _close(websocket, INTERNAL_ERROR, "the service met an unexpected error; its log says more")
    finally:
        service.open_streams.leave(session)


async def accept(websocket: WebSocket) -> None:
    """Answer the handshake. Raises WebSocketDisconnect if the client has gone meanwhile, as later on: here uvicorn
    raises an OSError of its own."""
    try:
        await websocket.accept()
    except OSError:
        raise WebSocketDisconnect(NOBODY_THERE) from None


async def _converse(websocket: WebSocket, session: StreamSession, service: Service) -> None:
    await accept(websocket)
    first = await _first_frame(websocket)
    if first.startswith("{"):
        hello = await _greet(websocket, service, session.who, first)
        hops = TaskTimes() if hello.trace else None
        program = hello.program and shortened(hello.program)
        await ClientStream(websocket, session, service, hops, program, output=hello.output).run()
    else:
        await _serve_legacy(websocket, session, service, first)
    await _close(websocket, RESTARTING, "the service ends")


async def _serve_legacy(
    websocket: WebSocket, session: StreamSession, service: Service, group_id: str
) -> None:
    """Serve a client of a legacy SDK."""
    try:
        await LegacyClientStream(websocket, session, service).run(group_id)
    except NotFound as error:
        service.audit.refused(session.who, "the id of a task group on a stream", error)
        raise FrameRefused(FOREIGN, str(error)) from None
    except ComputeError as error:
        raise FrameRefused(MALFORMED, str(error)) from None


async def _first_frame(websocket: WebSocket) -> str:
    """Return what tells which protocol is spoken."""
    try:
        return await asyncio.wait_for(websocket.receive_text(), HELLO_PATIENCE)
    except (KeyError, asyncio.TimeoutError):
        raise FrameRefused(
            MALFORMED, "the first frame must be text and come soon: a Hello, or a task group id"
        ) from None


async def _greet(websocket: WebSocket, service: Service, who: Identity, first: str) -> frames.Hello:
    """Return the first frames: Hello and Welcome."""
    try:
        hello = _decode_hello(first)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise FrameRefused(MALFORMED, f"the first frame is no Hello: {error}") from None
    if hello.compute_executor != frames.PROTOCOL:
        raise FrameRefused(
            OTHER_VERSION, f"protocol {hello.compute_executor} is not spoken, only {frames.PROTOCOL}"
        )
    welcome = frames.Welcome(
        frames.PROTOCOL,
        __version__,
        str(service.endpoint),
        str(service.blobs.folder),
        announced(parts=service.takes_parts(who)),
        service.listing.forgotten(who),
    )
    await websocket.send_text(msgspec.json.encode(welcome).decode())
    return hello


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
        await websocket.close(code, reason.encode()[:LONGEST_REASON].decode(errors="ignore"))


def shortened(program: frames.ProgramInfo) -> frames.ProgramInfo:
    """Return what a program says of itself, without the end of long texts."""
    label, name, host = (text[:LONGEST_TEXT] for text in (program.label, program.name, program.host))
    return msgspec.structs.replace(program, label=label, name=name, host=host)


class Feed:
    """The results of one group to one client. ``sent``: number up to which all are sent or queued. ``live``: new ones
    are queued as they come; else they are read from the store after ``sent``."""

    __slots__ = ("live", "sent")

    def __init__(self, sent: int) -> None:
        self.sent: int = sent
        self.live: bool = False


class ClientStream:
    """The stream of one client, a `pools.Subscriber`. ``hops``: for one that traces; ``program``, ``output``: of its
    Hello."""

    def __init__(
        self,
        websocket: WebSocket,
        session: StreamSession,
        service: Service,
        hops: TaskTimes | None = None,
        program: frames.ProgramInfo | None = None,
        *,
        output: bool = False,
    ) -> None:
        self._wants_output = output
        self._websocket = websocket
        self._session = session
        self._service = service
        self._limit = service.limits.stream_buffer
        self._send_queue = SendQueue()
        self._feeds: dict[bytes, Feed] = {}
        self._work, self._room, self._goodbye_sent = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._answers: set[asyncio.Task[None]] = set()
        self._ending = False
        self._hops = hops
        self._program = program

    async def run(self) -> None:
        """Until the client goes or must go."""
        self._service.connect(self)
        sender = asyncio.ensure_future(self._send())
        receiver = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait((sender, receiver), return_when=asyncio.FIRST_COMPLETED)
            (sender if sender.done() else receiver).result()
        finally:
            self._service.unsubscribe(self)
            if self._hops is not None:
                self._hops.close()
            for task in (sender, receiver, *self._answers):
                task.cancel()
            await asyncio.gather(sender, receiver, *self._answers, return_exceptions=True)

    # -- what the service pushes --------------------------------------------------------------------------

    def results(self, group: bytes, results: list[frames.Result]) -> None:
        """Queue outcomes; those for which there is no room are read from the store later."""
        feed = self._feeds.get(group)
        if feed is None or not feed.live:
            return
        if results[0].seq <= feed.sent:  # read from the store before we were told
            results = [result for result in results if result.seq > feed.sent]
        fitting, size = self._fitting(results)
        feed.live = len(fitting) == len(results)
        if fitting:
            if self._hops is not None:
                self._hops.stored(fitting)
            self._send_queue.add_results(group, fitting, size)
            feed.sent = fitting[-1].seq
        self._work.set()

    def stored(self, group: bytes) -> None:
        """Go on: what was not queued by then is read in its turn."""

    def _fitting(self, results: list[frames.Result]) -> tuple[list[frames.Result], int]:
        """Return the first of the results, as many as there is room for, and about how many bytes they are."""
        size = sum(map(body_size, results))
        room = self._limit - self._send_queue.size
        if size <= room:
            return results, size
        return _first(results, room)

    def began(self, tasks: list[tuple[bytes, int, float]]) -> None:
        """Queue that tasks have begun, unless the client is slow: it is a courtesy."""
        if self._send_queue.size < self._limit:
            self._send_queue.add_began(tasks)
            self._work.set()

    def output(self, prefix: bytes, position: int, part: frames.Written) -> None:
        """Queue what a task has written, unless the client is slow: what it misses is counted there."""
        if self._wants_output and self._send_queue.size < self._limit:
            self._send_queue.add_output((prefix, position, part), written_size(part))
            self._work.set()

    def pool_failed(self, pool: bytes, message: str) -> None:
        """Queue that workers cannot start."""
        self._answer(frames.PoolFailed(pool, message))

    async def goodbye(self, reason: str) -> None:
        """Send what is queued and a Goodbye, then end. What is not sent is in the store."""
        self._ending = True
        self._answer(frames.Goodbye(reason))
        await self._goodbye_sent.wait()

    def _answer(self, frame: frames.ToClient) -> None:
        self._send_queue.add(frame)
        self._work.set()

    # -- sending ------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            if self._hops is not None and (hops := self._hops.take()) is not None:
                await self._websocket.send_bytes(_encode(hops))
            for frame in self._send_queue.take():
                await self._websocket.send_bytes(frame)
            self._room.set()
            if self._ending:
                self._goodbye_sent.set()
                return
            if self._is_behind():
                async with (
                    self._service.open_streams.catching_up
                ):  # one stream at a time: looking costs milliseconds
                    self._catch_up()
                    await asyncio.sleep(0)

    def _is_behind(self) -> bool:
        return any(not feed.live for feed in self._feeds.values())

    def _catch_up(self) -> None:
        """Read on from the store for groups that were dropped behind, until the time of a turn is over."""
        ends = time.monotonic() + TURN
        for group, feed in self._feeds.items():
            if feed.live:
                continue
            self._work.set()
            room = self._limit - self._send_queue.size
            if room <= 0 or time.monotonic() > ends:
                break
            results, feed.sent, feed.live = self._service.replay(group, feed.sent, room)
            if results:
                self._send_queue.add_results(group, results, sum(map(body_size, results)))

    # -- receiving ----------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            while self._send_queue.size > self._limit:
                self._room.clear()
                await self._room.wait()
            try:
                raw = await self._websocket.receive_bytes()
                if len(raw) > SMALL:
                    check_frame(raw)
                    await asyncio.sleep(0)  # looking at it and reading it take some 20 ms each, at worst
                frame = _decode(raw)
            except InvalidRequest as error:
                raise FrameRefused(MALFORMED, str(error)) from None
            except KeyError:
                raise FrameRefused(MALFORMED, TEXT_FRAME) from None
            except (msgspec.MsgspecError, RecursionError, ValueError) as error:
                raise FrameRefused(MALFORMED, f"a frame cannot be read: {error}") from None
            await self._handle(frame)

    async def _handle(self, frame: frames.ToService) -> None:
        try:
            await _HANDLERS[type(frame)](self, frame)
        except NotFound as error:
            self._audit(frame, error)
            raise FrameRefused(FOREIGN, str(error)) from None
        except ComputeError as error:
            raise FrameRefused(MALFORMED, str(error)) from None

    def _audit(self, frame: frames.ToService, error: ComputeError) -> None:
        """Later: the answer takes as long as that to what is not there, of which nothing is written."""
        where, audit = f"frame {type(frame).__name__}", self._service.audit
        asyncio.get_running_loop().call_soon(audit.refused, self._session.who, where, error)

    async def _open_pool(self, frame: frames.OpenPool) -> None:
        try:
            await self._service.open_pool(self._session.who, frame.pool, frame.spec, self)
        except ComputeError as error:
            self._audit(frame, error)
            self._answer(frames.PoolFailed(frame.pool, str(error)))

    async def _close_pool(self, frame: frames.ClosePool) -> None:
        self._service.close_pool(self._session.who, frame.pool)

    async def _register(self, frame: frames.Register) -> None:
        try:
            check_free_fields(frame)
        except InvalidRequest as error:
            self._audit(frame, error)
            self._answer(frames.Registered(frame.digest, b"", error.document()))
        else:
            self._answer(await self._service.registered(self._session.who, frame))

    async def _subscribe(self, frame: frames.Subscribe) -> None:
        most = self._service.limits.groups_per_stream
        if len(self._feeds) >= most and frame.group not in self._feeds:
            raise InvalidRequest(
                f"one stream carries the results of {most} task groups at most: open another one"
            )
        self._feeds[frame.group] = Feed(
            self._service.subscribe(self._session.who, self, frame.group, frame.after, self._program)
        )
        self._work.set()

    async def _submit(self, frame: frames.Submit) -> None:
        """Not waited for: the next frame may come into the same transaction."""
        if self._hops is not None:
            self._hops.received(frame.prefix, frame.count)
        try:
            check_free_fields(frame)
            stored = self._service.submit_soon(self._session.who, frame)
        except ComputeError as error:
            self._audit(frame, error)
            self._answer(_refusal(frame.prefix, error))
        else:
            stored.add_done_callback(lambda stored: self._submitted(frame.prefix, stored))

    def _submitted(self, prefix: bytes, stored: asyncio.Future[None]) -> None:
        error = stored.exception()
        if error is not None:
            self._service.audit.refused(self._session.who, "frame Submit", error)
            self._answer(_refusal(prefix, error))
            return
        if self._hops is not None:
            self._hops.committed(prefix, self._service.batch_number(prefix))
        self._send_queue.accepted(prefix)
        asyncio.get_running_loop().call_later(COMPANY, self._announce)

    def _announce(self) -> None:
        """Send what waited for company and has not gone with it."""
        if self._send_queue:
            self._work.set()

    async def _hold(self, frame: frames.Hold) -> None:
        self._service.hold_blobs(self._session.who, self, frame.parts)

    async def _release(self, frame: frames.Release) -> None:
        self._service.release_blobs(self, frame.names)

    async def _ack(self, frame: frames.Ack) -> None:
        self._service.ack(self._session.who, frame.group, frame.seq)

    async def _cancel(self, frame: frames.Cancel) -> None:
        while len(self._answers) >= MOST_CANCELS:
            await asyncio.wait(self._answers, return_when=asyncio.FIRST_COMPLETED)
        self._later(self._cancelled(frame))

    async def _cancelled(self, frame: frames.Cancel) -> None:
        cancelled = await self._service.cancel(self._session.who, frame.tasks)
        self._answer(frames.Cancelled(frame.request, cancelled))

    def _later(self, answer: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(answer)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)


def _first(results: list[frames.Result], room: int) -> tuple[list[frames.Result], int]:
    """As many of the results as fit into ``room`` bytes, which not all of them do; and their size."""
    fitting, size = 0, 0
    while size + body_size(results[fitting]) <= room:
        size += body_size(results[fitting])
        fitting += 1
    return results[:fitting], size


def _refusal(prefix: bytes, error: BaseException) -> frames.Refused:
    """Nothing of the batch is kept."""
    known = (
        error if isinstance(error, ComputeError) else ComputeError(f"the batch could not be stored: {error}")
    )
    position = split_task_id(known.task_id)[1] if known.task_id else None
    return frames.Refused(prefix, known.document(), position)


_HANDLERS: dict[type, Any] = {
    frames.OpenPool: ClientStream._open_pool,
    frames.ClosePool: ClientStream._close_pool,
    frames.Register: ClientStream._register,
    frames.Subscribe: ClientStream._subscribe,
    frames.Submit: ClientStream._submit,
    frames.Ack: ClientStream._ack,
    frames.Cancel: ClientStream._cancel,
    frames.Hold: ClientStream._hold,
    frames.Release: ClientStream._release,
}
