"""A WebSocket with more fragments than any client sends. Over a socket; the application is never reached."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from compute_executor.service.process.peer_connection import PIECE
from compute_executor.service.process.server import Server, bind
from compute_executor.service.process.websocket_connection import FRAGMENTS, MESSAGES

uvloop.new_event_loop().close()  # libuv opens one pipe for all signals of the process, and keeps it

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"\0\0\0\0"
PING = b"\x89\x80" + MASK


async def listens(scope: Any, receive: Any, send: Any) -> None:
    """An application that gives back how long each message is."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": b"%d;" % len(message["bytes"])})


async def nothing() -> None:
    """Before the server ends."""


@asynccontextmanager
async def connected(
    application: Any = listens,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of its own."""
    listener = bind("127.0.0.1", 0)
    server = Server(application, lambda: None, nothing)
    serving = asyncio.ensure_future(server._serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
    try:
        yield reader, writer
    finally:
        writer.close()
        server.stop()
        await serving


async def talk(*said: bytes, until: bytes) -> bytes:
    """What the server says until it says this, after all this was said to it."""
    async with connected() as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        for part in said:
            writer.write(part)
        return await asyncio.wait_for(reader.readuntil(until), 20)


def fragments(number: int, part: bytes) -> bytes:
    """A message in so many fragments."""
    begin, more, end = (bytes([first, 0x80 | len(part)]) + MASK + part for first in (0x02, 0x00, 0x80))
    return begin + more * (number - 2) + end


@pytest.mark.parametrize("part", [b"", b"x"])
def test_a_message_has_a_bounded_number_of_fragments(part: bytes) -> None:
    answered = uvloop.run(talk(fragments(FRAGMENTS, part), until=b";"))
    assert answered.endswith(b"%d;" % (len(part) * FRAGMENTS))
    cut = uvloop.run(talk(fragments(2 * FRAGMENTS, part), until=b"at most"))
    assert (1009).to_bytes(2, "big") in cut


@pytest.mark.parametrize(("size", "expected"), [(200, MESSAGES), (60_000, 2)])  # of 64 KiB
def test_a_busy_application_finds_several_messages_at_once(size: int, expected: int) -> None:
    found: list[int] = []

    async def busy(scope: Any, receive: Any, send: Any) -> None:
        """Takes no message for as long as more come."""
        await receive()
        await send({"type": "websocket.accept"})
        queue = receive.__self__.queue
        while queue.qsize() < expected:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        found.append(queue.qsize())
        await send({"type": "websocket.send", "bytes": b";"})
        while (await receive())["type"] == "websocket.receive":
            pass

    async def many_messages() -> None:
        async with connected(busy) as (reader, writer):
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write((b"\x82\xfe" + size.to_bytes(2, "big") + MASK + b"x" * size) * 2 * MESSAGES)
            await asyncio.wait_for(reader.readuntil(b";"), 20)

    uvloop.run(many_messages())
    assert expected <= found[0] <= expected + PIECE // size  # the last piece is given on whole


def test_pings_between_fragments_are_none() -> None:
    message = fragments(3, b"x")
    size = len(message) // 3
    parts = [message[:size], PING * PIECE, message[size:]]
    assert uvloop.run(talk(*parts, until=b"3;")).count(b"\x8a\x00") == PIECE


async def refused(handshake: bytes) -> bytes:
    """The whole answer to a handshake, up to the end of the connection."""
    async with connected() as (reader, writer):
        writer.write(handshake)
        return await asyncio.wait_for(reader.read(), 20)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (b"Content-Length: 1\r\n\r\nx", b"unsupported request body"),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"transfer codings"),
        (b"Cookie: " + b"a" * 9_000 + b"\r\n\r\n", b"no more than 8192 bytes|line too long"),
        (b"A: b\r\n" * 200 + b"\r\n", b"no more than 128 headers|too many HTTP headers"),
    ],
)
def test_a_handshake_that_is_none_is_answered(wrong: bytes, why: bytes) -> None:
    answer = uvloop.run(refused(UPGRADE[:-2] + wrong))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"this is no handshake of a WebSocket" in answer
    assert re.search(why, answer), answer  # in the words of websockets 17, or before


@pytest.mark.parametrize("parts", [(b"\xff\xfe",), (b"ok \xc3", b"(")])
def test_text_that_is_none_ends_the_stream_quietly(
    parts: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    first, *more = (MASK + part for part in parts)
    said = bytes([0x01 if more else 0x81, 0x80 | len(parts[0])]) + first
    for part in more:
        said += bytes([0x80, 0x80 | len(part) - len(MASK)]) + part
    ended = uvloop.run(talk(said, until=b"UTF-8"))
    assert (1007).to_bytes(2, "big") in ended
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("said", [PING, b"\xff" * 8])
def test_who_speaks_before_the_answer_to_a_handshake_is_refused(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> bytes:
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            asked.set()
            await may_answer.wait()
            if scope["type"] == "websocket":
                await listens(scope, receive, send)

        async with connected(slow) as (reader, writer):
            writer.write(UPGRADE)
            await asked.wait()
            writer.write(said)
            answered = await asyncio.wait_for(reader.read(), 20)
            may_answer.set()
            return answered

    answered = uvloop.run(scenario())
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert b"before the answer" in answered
    assert not [one for one in caplog.records if one.levelno > logging.WARNING]
