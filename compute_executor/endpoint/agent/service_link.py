"""The connection of an endpoint to its service: outward, one WebSocket, made again whenever it is lost.

Owner: the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from compute_executor._version import __version__
from compute_executor.backoff import Backoff
from compute_executor.endpoint.leases import clocks, frames
from compute_executor.endpoint.leases.bodies import BodyExchange
from compute_executor.endpoint.leases.send_list import SendList
from compute_executor.errors import (
    ComputeError,
    EndpointTaken,
    NotAuthorized,
    ServiceUnavailable,
    VersionMismatch,
)
from compute_executor.local.certificates import tls_context
from compute_executor.local.state import state_folder
from compute_executor.protocol.frames import MAX_FRAME

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from compute_executor.endpoint.leases.holder import LeaseHolder

log: logging.Logger = logging.getLogger(__name__)

PATH = "/v3/endpoint/stream"

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
"""Seconds between two tries to connect."""

NEARBY_PAUSE = 1.0
"""The longest where the service is on this machine: looking costs next to nothing."""

PING_EVERY, PONG_WITHIN = 10.0, 10.0
"""Seconds. A network that drops everything is noticed after both."""

OPEN_WITHIN = 10.0
"""Seconds for connection and handshake."""

STATE_EVERY = 2.0
"""Seconds between two reports of how the endpoint is doing."""

REVOKED, TAKEN, OTHER_VERSION = 4401, 4409, 4426
"""Close codes after which another try is of no use."""


class ServicePlace(NamedTuple):
    """Where the service is. ``certificate``: file of a certificate authority; ``pinned``: the service's own
    certificates in PEM, which are trusted whatever host they name; ``local``: it is this user's own, found by its
    state folder."""

    url: str
    certificate: str = ""
    pinned: str = ""
    local: bool = False

    def tls(self) -> ssl.SSLContext | None:
        """Return the settings of a connection to it. Raises InvalidRequest."""
        if not self.url.startswith("https"):
            return None
        if not self.pinned:
            return tls_context(self.certificate)
        context = ssl.create_default_context(cadata=self.pinned)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself, whoever has signed it
        return context


Locate = Callable[[], ServicePlace | None]
"""Finds the service; None: it does not run now. May block for a moment."""


class OpenLink:
    """One connection. ``local``: with this user's own service. Implements `leases.holder.HolderConnection`."""

    def __init__(
        self, blobs: Path, welcome: frames.GrantorWelcome, clock_ahead: float, *, local: bool = False
    ) -> None:
        self.frames: SendList = SendList()
        theirs = _usable(welcome.blob_folder)
        proven = local and not welcome.durable and theirs is not None and theirs.parent == state_folder()
        self.bodies: BodyExchange = BodyExchange(blobs, self.frames, theirs=theirs, proven=proven)
        self.clock_ahead = clock_ahead

    def put(self, frame: object) -> None:
        """See HolderConnection."""
        self.frames.put(frame)


class ServiceLink:
    """The link of one process of an endpoint. ``hello``: what it says of itself; ``state``: how it is doing;
    ``first``: called when the service has let it in; ``lost``: when there is no connection, with why, unless it is
    why there was none before; ``told_to_end``: when the service tells it to end, with whether what runs may end
    first."""

    def __init__(
        self,
        *,
        locate: Locate,
        token: str,
        hello: Callable[[], frames.HolderHello],
        holder: LeaseHolder,
        blobs: Path,
        state: Callable[[], dict[str, Any]],
        first: Callable[[], object],
        lost: Callable[[str], object],
        told_to_end: Callable[[bool], object],
    ) -> None:
        self._locate = locate
        self._token = token
        self._hello = hello
        self._holder = holder
        self._blobs = blobs
        self._state = state
        self._first = first
        self._tell_lost = lost
        self._told_to_end = told_to_end
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._longest = LONGEST_PAUSE
        self._link: OpenLink | None = None
        self.connected: bool = False
        self.trouble: str = "not connected yet"

    async def run(self) -> None:
        """Stay connected until cancelled. Raises NotAuthorized, EndpointTaken, VersionMismatch, after which there is
        no use in another try."""
        while True:
            try:
                await self._once()
            except (NotAuthorized, EndpointTaken, VersionMismatch):
                raise
            except (ComputeError, OSError, asyncio.TimeoutError) as error:
                self._lost(error)
            except Exception as error:  # what tasks run here must not end because of what came by the wire
                log.exception("this must not happen")
                self._lost(error)
            await asyncio.sleep(min(self._backoff.failed(random.random()), self._longest))

    def _lost(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self.trouble:
            log.warning("no connection to the service: %s", text)
            self._tell_lost(text)
        self.trouble = text

    async def _once(self) -> None:
        """Hold one connection, from its beginning to its end."""
        from websockets.exceptions import ConnectionClosed

        place = await asyncio.to_thread(self._locate)
        self._longest = NEARBY_PAUSE if place is None or _is_loopback(place.url) else LONGEST_PAUSE
        if place is None:
            raise ServiceUnavailable("the service does not run at the moment")
        socket = await self._open(place)
        try:
            await self._converse(socket, local=place.local)
        except ConnectionClosed as closed:
            _raise_final(closed.rcvd.code if closed.rcvd else 0, closed.rcvd.reason if closed.rcvd else "")
            raise ServiceUnavailable(f"the connection has ended: {closed}") from None
        finally:
            self.connected = False
            await socket.close()

    async def _open(self, place: ServicePlace) -> ClientConnection:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        url = "ws" + place.url.rstrip("/").removeprefix("http") + PATH
        try:
            return await connect(
                url,
                additional_headers={"Authorization": f"Bearer {self._token}"},
                user_agent_header=f"compute-executor/{__version__}",
                ssl=place.tls(),
                compression=None,
                max_size=MAX_FRAME,
                open_timeout=OPEN_WITHIN,
                close_timeout=1.0,
                ping_interval=PING_EVERY,
                ping_timeout=PONG_WITHIN,
                proxy=None if _is_loopback(place.url) else True,
            )
        except InvalidStatus as refused:
            raise _refusal(place.url, refused.response.status_code) from None
        except ssl.SSLCertVerificationError as error:
            raise ServiceUnavailable(
                f"the certificate of {place.url} is not trusted here ({error.verify_message}): give the file of its "
                "certificate authority with --certificate"
            ) from None
        except (WebSocketException, OSError, EOFError, ValueError) as error:
            raise ServiceUnavailable(f"cannot connect to {place.url}: {error}") from None

    async def _converse(self, socket: ClientConnection, *, local: bool) -> None:
        sent = time.time()
        await socket.send(msgspec.json.encode(self._hello()).decode())
        welcome = _welcome(await asyncio.wait_for(socket.recv(), OPEN_WITHIN))
        clock_ahead = clocks.ahead(sent, time.time(), welcome.clock)
        link = self._link = OpenLink(self._blobs, welcome, clock_ahead, local=local)
        self._backoff.succeeded()
        self.connected = True
        log.info("connected to the service")
        self.trouble = ""
        self._first()
        self._holder.connected(link)
        running = [
            asyncio.ensure_future(one)
            for one in (link.frames.write_to(socket.send), self._receive(socket), self._tell_state(link))
        ]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            next(one for one in running if one.done()).result()
        finally:
            self._holder.disconnected()
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            link.bodies.close()
            self._link = None

    async def _receive(self, socket: ClientConnection) -> None:
        async for message in socket:
            try:
                frame = frames.decode_to_holder(_binary(message))
            except (msgspec.MsgspecError, RecursionError, ValueError, TypeError) as error:
                raise ServiceUnavailable(f"the service sent what cannot be read: {error}") from None
            if isinstance(frame, frames.EndHolder):
                self._told_to_end(frame.drain)
            else:
                self._holder.received(frame)

    async def _tell_state(self, link: OpenLink) -> None:
        while True:
            link.put(frames.HolderState(self._state()))
            await asyncio.sleep(STATE_EVERY)

    def say(self, frame: object) -> None:
        """Send this, if there is a connection."""
        if self._link is not None:
            self._link.put(frame)

    async def written(self) -> None:
        """Return when everything said so far has left."""
        if self._link is not None:
            await self._link.frames.written()


def _is_loopback(url: str) -> bool:
    """Return whether it is this machine's own address, which no proxy reaches."""
    return (urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1")


def _binary(message: str | bytes) -> bytes:
    """Return a frame after the first. Raises TypeError for text."""
    if isinstance(message, str):
        raise TypeError("it is text")
    return message


def _welcome(message: str | bytes) -> frames.GrantorWelcome:
    text = message.encode() if isinstance(message, str) else message
    try:
        welcome = msgspec.json.decode(text, type=frames.GrantorWelcome)
    except (msgspec.MsgspecError, ValueError) as error:
        raise VersionMismatch(f"the service's first frame is no welcome: {error}") from None
    if welcome.lease_protocol != frames.PROTOCOL:
        raise VersionMismatch(
            f"the service (version {welcome.version}) speaks protocol {welcome.lease_protocol} with endpoints, this "
            f"endpoint (version {__version__}) speaks {frames.PROTOCOL}: update the older one"
        )
    return welcome


def _refusal(url: str, status: int) -> ComputeError:
    if status in (401, 403):
        return NotAuthorized(
            f"{url} does not accept the token of this endpoint: it was revoked, or the endpoint was deleted there"
        )
    if status == 404:
        return VersionMismatch(f"{url} has no route {PATH}: the service is older than this endpoint")
    return ServiceUnavailable(f"{url} answers with HTTP status {status}")


def _raise_final(code: int, reason: str) -> None:
    """Raise for close codes after which another try is of no use."""
    kinds: dict[int, type[ComputeError]] = {
        REVOKED: NotAuthorized,
        TAKEN: EndpointTaken,
        OTHER_VERSION: VersionMismatch,
    }
    if code in kinds:
        raise kinds[code](reason or f"the service ended the connection with code {code}")


def _usable(folder: str | None) -> Path | None:
    """Return the service's folder of bodies, if it is one of this user on this machine."""
    if not folder:
        return None
    path = Path(folder)
    try:
        mine = path.stat().st_uid == os.getuid() and os.access(path, os.R_OK | os.X_OK)
    except OSError:
        return None
    return path if mine else None
