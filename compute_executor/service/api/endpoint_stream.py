"""The stream between an endpoint of our own and the service: a WebSocket that speaks `endpoint.leases.frames`.

    HolderHello -> GrantorWelcome -> GrantorSession.received for each frame
                                  SendList          -> whatever has accumulated

A frame that cannot be read, or that says what it may not, closes the connection with a reason; what is leased stays
leased. Owner of all state: the loop thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
import uuid
from typing import TYPE_CHECKING

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from compute_executor._version import __version__
from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.bodies import BodyExchange
from compute_executor.endpoint.leases.grantor import GrantorSession
from compute_executor.endpoint.leases.send_list import SendList
from compute_executor.errors import ComputeError, EndpointTaken, InvalidRequest, NotFound
from compute_executor.service.api.stream import (
    HELLO_PATIENCE,
    INTERNAL_ERROR,
    LONGEST_REASON,
    MALFORMED,
    OTHER_VERSION,
    RESTARTING,
    UNAUTHENTICATED,
    FrameRefused,
    accept,
)
from compute_executor.service.auth.open_streams import StreamRevoked

if TYPE_CHECKING:
    from compute_executor.service.access import Identity
    from compute_executor.service.agents.machines import Machine
    from compute_executor.service.service import Service

log: logging.Logger = logging.getLogger(__name__)

TAKEN = 4409
"""Close code of ours: another process works under this name."""

_decode_hello = msgspec.json.Decoder(frames.HolderHello).decode


async def serve_endpoint(websocket: WebSocket, who: Identity, service: Service, token: bytes) -> None:
    """Serve the stream of one machine of the endpoint that ``who`` is, until either side ends it."""
    assert who.endpoint is not None
    session = service.open_streams.enter(who, token)
    try:
        await session.during(_converse(websocket, who.endpoint, service))
    except (WebSocketDisconnect, StreamRevoked) as ended:
        if isinstance(ended, StreamRevoked):
            await _close(websocket, UNAUTHENTICATED, str(ended))
    except FrameRefused as refused:
        log.info("stream of %s closed: %s", who.name, refused)
        await _close(websocket, refused.code, str(refused))
    except Exception:
        log.exception("stream of %s failed", who.name)
        await _close(websocket, INTERNAL_ERROR, "the service met an unexpected error; its log says more")
    finally:
        service.open_streams.leave(session)


async def _converse(websocket: WebSocket, endpoint: uuid.UUID, service: Service) -> None:
    await accept(websocket)
    hello = await _hello(websocket)
    agents = service.holders(endpoint)
    try:
        agents.welcome(endpoint, hello)
    except NotFound as error:
        raise FrameRefused(UNAUTHENTICATED, str(error)) from None
    except EndpointTaken as error:
        raise FrameRefused(TAKEN, str(error)) from None
    place = str(service.blobs.folder)
    welcome = frames.GrantorWelcome(frames.PROTOCOL, __version__, time.time(), place, service.durable)
    await websocket.send_text(msgspec.json.encode(welcome).decode())
    await MachineStream(websocket, service, endpoint, hello).run()
    await _close(websocket, RESTARTING, "the service ends")


async def _hello(websocket: WebSocket) -> frames.HolderHello:
    try:
        first = await asyncio.wait_for(websocket.receive_text(), HELLO_PATIENCE)
        hello = _decode_hello(first)
    except (KeyError, asyncio.TimeoutError, msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise FrameRefused(MALFORMED, f"the first frame must be the hello of an endpoint: {error}") from None
    if hello.lease_protocol != frames.PROTOCOL:
        raise FrameRefused(
            OTHER_VERSION,
            f"this service (version {__version__}) speaks protocol {frames.PROTOCOL} with endpoints, the endpoint "
            f"(version {hello.version}) speaks {hello.lease_protocol}: update the older one",
        )
    if not _MACHINE.fullmatch(hello.machine):
        raise FrameRefused(MALFORMED, "a machine is named by 32 hexadecimal digits")
    return hello


_MACHINE: re.Pattern[str] = re.compile("[0-9a-f]{32}")


class MachineStream:
    """The stream of one machine."""

    def __init__(
        self, websocket: WebSocket, service: Service, endpoint: uuid.UUID, hello: frames.HolderHello
    ) -> None:
        self._websocket = websocket
        self._agents = service.holders(endpoint)
        self._endpoint = endpoint
        self._frames = SendList()
        bodies = BodyExchange(
            service.blobs.folder, self._frames, sync=service.durable, largest=service.limits.body
        )
        self._machine: Machine = self._agents.machine(endpoint, hello)
        self._session = GrantorSession(
            self._machine,
            self._agents.engine,
            self._frames,
            bodies,
            code=self._agents.code,
            shared=self._agents.shared,
            may_keep=service.blob_rights.is_free,
        )
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the machine goes or must go."""
        self._agents.connected(self._machine, self._session, self._end)
        sender = asyncio.ensure_future(self._frames.write_to(self._websocket.send_bytes))
        receiver = asyncio.ensure_future(self._receive())
        self._session.begin()
        try:
            await asyncio.wait((sender, receiver, self._over), return_when=asyncio.FIRST_COMPLETED)
            if self._over.done():
                raise FrameRefused(TAKEN, self._over.result())
            (sender if sender.done() else receiver).result()
        finally:
            self._agents.disconnected(self._machine, self._session)
            for task in (sender, receiver):
                task.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    def _end(self, reason: str) -> None:
        """Note that another connection has taken the place of this one, or its machine is given up."""
        if not self._over.done():
            self._over.set_result(reason)

    async def _receive(self) -> None:
        while True:
            try:
                data = await self._websocket.receive_bytes()
            except KeyError:
                raise FrameRefused(MALFORMED, "after the first, frames are binary: this is text") from None
            try:
                self._session.received(data)
            except (InvalidRequest, ComputeError) as error:
                raise FrameRefused(MALFORMED, str(error)) from None


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
        await websocket.close(code, reason.encode()[:LONGEST_REASON].decode(errors="ignore"))
