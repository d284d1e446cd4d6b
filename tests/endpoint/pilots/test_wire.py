"""The connection between endpoint and pilot: who does not know the secret is not let in, and frames cannot be
forged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from compute_executor.endpoint.pilots import engine as engines
from compute_executor.endpoint.pilots import ticket as tickets
from compute_executor.endpoint.pilots.engine import PilotEngine
from compute_executor.endpoint.pilots.wire import PilotWire, accept, connect
from compute_executor.errors import ComputeError, NotAuthorized, ServiceUnavailable

KEY, OTHER = b"k" * 32, b"o" * 32
Talk = Callable[[PilotWire], Awaitable[object]]


def converse(here: Talk, there: Talk, *, key: bytes = KEY, pilot_key: bytes = KEY) -> list[object]:
    """What each side's function returns or raises, the endpoint's first."""

    async def run() -> list[object]:
        ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        async def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                ended.set_result(await here(await accept(reader, writer, key)))
            except ComputeError as error:
                ended.set_result(error)
            finally:
                writer.close()

        server = await asyncio.start_server(opened, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            wire = await connect("127.0.0.1", port, pilot_key)
            said: object = await there(wire)
            wire.close()
            await wire.closed()
        except ComputeError as error:
            said = error
        found = [await asyncio.wait_for(ended, 10), said]
        server.close()
        await server.wait_closed()
        return found

    return asyncio.run(run())


async def nothing(wire: PilotWire) -> None:
    """Say nothing."""


def test_frames_go_both_ways_in_order() -> None:
    async def here(wire: PilotWire) -> bytes:
        first = await wire.receive()
        await wire.send(first + b"!")
        return await wire.receive()

    async def there(wire: PilotWire) -> bytes:
        await wire.send(b"one")
        await wire.send(b"x" * 3_000_000)
        return await wire.receive()

    assert converse(here, there) == [b"x" * 3_000_000, b"one!"]


@pytest.mark.parametrize(("key", "pilot_key"), [(KEY, OTHER), (OTHER, KEY)])
def test_who_does_not_know_the_secret_is_not_let_in(key: bytes, pilot_key: bytes) -> None:
    endpoint, pilot = converse(nothing, nothing, key=key, pilot_key=pilot_key)
    assert isinstance(endpoint, NotAuthorized)
    assert isinstance(pilot, (NotAuthorized, ServiceUnavailable))


@pytest.mark.parametrize("change", ["content", "repeated"])
def test_a_frame_that_was_tampered_with_ends_the_connection(change: str) -> None:
    async def here(wire: PilotWire) -> bytes:
        await wire.receive()
        return await wire.receive()

    async def there(wire: PilotWire) -> None:
        await wire.send(b"one")
        if change == "repeated":
            wire._sent -= 1
        else:
            wire._sending = b"?" * 32
        await wire.send(b"one")

    assert isinstance(converse(here, there)[0], NotAuthorized)


def test_the_end_of_a_connection_is_told() -> None:
    async def here(wire: PilotWire) -> bytes:
        return await wire.receive()

    assert isinstance(converse(here, nothing)[0], ServiceUnavailable)


def test_a_ticket_is_read_as_it_was_written(tmp_path: object) -> None:
    ticket = tickets.new_ticket([("host", 5), ("127.0.0.1", 5)])
    assert tickets.loads(tickets.dumps(ticket)) == ticket
    assert len(ticket.key) == tickets.SECRET_BYTES
    assert ticket.secret not in repr(ticket)


@pytest.mark.parametrize("text", ["", "{}", '{"addresses": 5, "secret": "x"}', "[]"])
def test_what_is_no_ticket_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        tickets.loads(text)


async def no_longer_listening(engine: PilotEngine) -> None:
    assert engine._server is not None
    assert engine._watch is not None
    engine._server.close()
    engine._watch.cancel()
    await asyncio.gather(engine._watch, return_exceptions=True)


def test_strangers_take_neither_all_connections_nor_one_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "MOST_HANDSHAKES", 3)

    async def run() -> None:
        engine = PilotEngine(cast(Any, None), b"p" * 16, cast(Any, None), tmp_path)
        port = await engine.listen("127.0.0.1", 0, KEY)
        strangers = []
        for _ in range(5):
            strangers.append(await asyncio.open_connection("127.0.0.1", port))
            await strangers[-1][0].readexactly(32)
        pilot = await connect("127.0.0.1", port, KEY)
        for reader, _ in strangers[:3]:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert len(engine._streams) == 3, "two strangers and the pilot"
        pilot.close()
        await pilot.closed()
        for _, writer in strangers:
            writer.close()
            await writer.wait_closed()
        while engine._streams:
            await asyncio.sleep(0.01)
        await no_longer_listening(engine)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_peer_that_reads_nothing_is_cut_after_its_connection_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "CLOSING", 0.0)

    async def run() -> None:
        engine = PilotEngine(cast(Any, None), b"p" * 16, cast(Any, None), tmp_path)
        cut = asyncio.Event()

        async def serve(wire: PilotWire) -> None:
            transport = wire._writer.transport
            wire._writer.write(b"x" * 50_000_000)
            abort = transport.abort
            monkeypatch.setattr(transport, "abort", lambda: (abort(), cut.set()))
            raise ServiceUnavailable("it is over")

        monkeypatch.setattr(engine, "_serve", serve)
        port = await engine.listen("127.0.0.1", 0, KEY)
        pilot = await connect("127.0.0.1", port, KEY)
        cast(asyncio.ReadTransport, pilot._writer.transport).pause_reading()
        await asyncio.wait_for(cut.wait(), 5)
        pilot._writer.transport.abort()
        await no_longer_listening(engine)

    asyncio.run(asyncio.wait_for(run(), 20))
