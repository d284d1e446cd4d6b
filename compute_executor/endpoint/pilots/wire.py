"""The connection between an endpoint and a pilot: frames over TCP, each with a code that proves who sent it.

    endpoint -> 32 random bytes
    pilot    -> 32 random bytes, and proof that it knows the ticket's secret
    endpoint -> its own proof
    then both ways: length u32, frame, code of 16 bytes over its number and content (keyed BLAKE2b)

The keys of a connection follow from secret and random bytes, one for each direction, and frames are numbered: nobody
else on the cluster's network can send, change, repeat or leave out a frame. They can read it: what travels is not
encrypted.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import struct
from collections.abc import Coroutine
from typing import Any

from compute_executor.errors import NotAuthorized, ServiceUnavailable
from compute_executor.protocol.frames import MAX_FRAME

NONCE, PROOF, CODE = 32, 32, 16
HANDSHAKE_WITHIN = 10.0
"""Seconds for the handshake."""

HIGH_WATER = 1 << 20
"""Bytes that may wait to be written before whoever writes has to wait."""

_LENGTH = struct.Struct(">I")
_NUMBER = struct.Struct(">Q")
_ENDPOINT, _PILOT = b"endpoint", b"pilot"


class PilotWire:
    """An open connection, past the handshake."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sending: bytes, receiving: bytes
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._sending = sending
        self._receiving = receiving
        self._sent = self._received = 0

    async def send(self, frame: bytes) -> None:
        """Write a frame; waits while the peer does not read. Raises ConnectionError."""
        code = _code(self._sending, self._sent, frame)
        self._sent += 1
        self._writer.write(_LENGTH.pack(len(frame)) + frame + code)
        await self._writer.drain()

    async def receive(self) -> bytes:
        """Return the next frame. Raises ServiceUnavailable when the connection has ended, NotAuthorized for a frame
        that is not the peer's."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MAX_FRAME:
                raise NotAuthorized(f"a frame of {length} bytes is too long")
            frame = await self._reader.readexactly(length)
            code = await self._reader.readexactly(CODE)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ServiceUnavailable(f"the connection has ended: {error}") from None
        if not hmac.compare_digest(code, _code(self._receiving, self._received, frame)):
            raise NotAuthorized("a frame does not come from whoever opened the connection")
        self._received += 1
        return frame

    def close(self) -> None:
        """End the connection."""
        self._writer.close()

    async def closed(self) -> None:
        """Return when it is ended."""
        try:
            await asyncio.wait_for(self._writer.wait_closed(), 1.0)
        except (OSError, asyncio.TimeoutError):
            return


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes) -> PilotWire:
    """Return the endpoint's side of the handshake. Raises NotAuthorized, ServiceUnavailable."""
    writer.transport.set_write_buffer_limits(HIGH_WATER)
    return await _within(_accept(reader, writer, key))


async def _accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes) -> PilotWire:
    mine = secrets.token_bytes(NONCE)
    writer.write(mine)
    await writer.drain()
    answer = await reader.readexactly(NONCE + PROOF)
    theirs, proof = answer[:NONCE], answer[NONCE:]
    if not hmac.compare_digest(proof, _proof(key, _PILOT, mine, theirs)):
        raise NotAuthorized("a pilot does not know the secret of this endpoint")
    writer.write(_proof(key, _ENDPOINT, mine, theirs))
    await writer.drain()
    return PilotWire(
        reader,
        writer,
        _proof(key, b"key of " + _ENDPOINT, mine, theirs),
        _proof(key, b"key of " + _PILOT, mine, theirs),
    )


async def connect(host: str, port: int, key: bytes) -> PilotWire:
    """Return the pilot's side: a connection to the endpoint. Raises NotAuthorized, ServiceUnavailable."""
    return await _within(_connect(host, port, key))


async def _connect(host: str, port: int, key: bytes) -> PilotWire:
    reader, writer = await asyncio.open_connection(host, port, limit=HIGH_WATER)
    try:
        writer.transport.set_write_buffer_limits(HIGH_WATER)
        theirs, mine = await reader.readexactly(NONCE), secrets.token_bytes(NONCE)
        writer.write(mine + _proof(key, _PILOT, theirs, mine))
        await writer.drain()
        proof = await reader.readexactly(PROOF)
        if not hmac.compare_digest(proof, _proof(key, _ENDPOINT, theirs, mine)):
            raise NotAuthorized(f"whoever listens at {host} port {port} is not the endpoint")
    except BaseException:
        writer.close()
        raise
    return PilotWire(
        reader,
        writer,
        _proof(key, b"key of " + _PILOT, theirs, mine),
        _proof(key, b"key of " + _ENDPOINT, theirs, mine),
    )


async def _within(handshake: Coroutine[Any, Any, PilotWire]) -> PilotWire:
    try:
        return await asyncio.wait_for(handshake, HANDSHAKE_WITHIN)
    except (asyncio.IncompleteReadError, asyncio.TimeoutError, OSError) as error:
        if isinstance(error, NotAuthorized):
            raise
        raise ServiceUnavailable(
            f"no connection between endpoint and pilot: {error or 'it took too long'}"
        ) from None


def _proof(key: bytes, who: bytes, one: bytes, other: bytes) -> bytes:
    """Return what only somebody with the key can make of these."""
    return hmac.digest(key, who + one + other, "sha256")


def _code(key: bytes, number: int, frame: bytes) -> bytes:
    return hashlib.blake2b(frame, digest_size=CODE, key=key, salt=_NUMBER.pack(number)).digest()
