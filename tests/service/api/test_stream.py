"""The stream as a client sees it: a WebSocket of queues around the real service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.websockets import WebSocket

from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix
from compute_executor.service.access import Identity
from compute_executor.service.api import stream
from compute_executor.service.api.stream import serve_stream
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.service import Service
from tests.service.fixture import (
    ALICE,
    BOB,
    CODE,
    DEFAULT_POOL,
    DIGEST,
    GROUP,
    POOL,
    SPEC,
    ServiceFixture,
    batch,
    live,
    register,
    serving,
    take,
    turn,
)

encode = msgspec.msgpack.encode
decode = msgspec.msgpack.Decoder(frames.ToClient).decode
HELLO = msgspec.json.encode(frames.Hello(frames.PROTOCOL, "1", "3.11")).decode()


class Client:
    """The other end of a WebSocket. ``reading`` cleared: a client that does not read."""

    def __init__(self, service: Service, who: Identity = ALICE, token: bytes = b"") -> None:
        self._to_service: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_service: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reading = asyncio.Event()
        self.reading.set()
        self._to_service.put_nowait({"type": "websocket.connect"})
        websocket = WebSocket({"type": "websocket", "headers": []}, self._to_service.get, self._take)
        self.task = asyncio.ensure_future(serve_stream(websocket, who, service, token))

    async def _take(self, message: Any) -> None:
        await self.reading.wait()
        self._from_service.put_nowait(message)

    async def message(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._from_service.get(), 10)

    def say(self, *said: Any) -> None:
        for one in said:
            message = (
                {"text": one}
                if isinstance(one, str)
                else {"bytes": one if isinstance(one, bytes) else encode(one)}
            )
            self._to_service.put_nowait({"type": "websocket.receive", **message})

    async def hello(self) -> frames.Welcome:
        assert (await self.message())["type"] == "websocket.accept"
        self.say(HELLO)
        return msgspec.json.decode((await self.message())["text"], type=frames.Welcome)

    async def frame(self) -> Any:
        message = await self.message()
        assert message["type"] == "websocket.send", message
        return decode(message["bytes"])

    async def results(self, count: int) -> list[frames.Result]:
        """Results until there are ``count``; other frames are passed over."""
        found: list[frames.Result] = []
        while len(found) < count:
            frame = await self.frame()
            if isinstance(frame, frames.Results):
                found += frame.results
        return found

    async def closed(self) -> tuple[int, str]:
        while (message := await self.message())["type"] != "websocket.close":
            pass
        await self.task
        return message["code"], message["reason"]

    async def leave(self) -> None:
        self.reading.set()
        self._to_service.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.task, 10)


@contextlib.asynccontextmanager
async def connected(service: Service, who: Identity = ALICE) -> AsyncIterator[Client]:
    client = Client(service, who)
    await client.hello()
    yield client
    await client.leave()


@pytest.fixture
def fixture(tmp_path: Path) -> ServiceFixture:
    return ServiceFixture(tmp_path, echo=True)


# -- the way of most tasks ----------------------------------------------------------------------------------


@live
async def test_hello_is_welcomed(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        client = Client(service)
        welcome = await client.hello()
        assert welcome.compute_executor == frames.PROTOCOL
        assert welcome.blob_folder == str(fixture.blobs.folder)
        assert welcome.default_endpoint == str(service.endpoint)
        assert welcome.limits["inline_limit"] == frames.INLINE_LIMIT
        assert service.busy()
        await client.leave()
        assert not service.busy()


@live
async def test_everything_in_one_go(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service, connected(service) as client:
        sent = batch([b"a", b"b"], pool=POOL)
        client.say(
            frames.OpenPool(POOL, SPEC),
            frames.Register(DIGEST, "f", CODE),
            frames.Subscribe(GROUP),
            sent,
        )
        registered = await client.frame()
        assert (registered.digest, len(registered.function), registered.error) == (DIGEST, 16, None)
        results = await client.results(2)  # they say that the batch is accepted
        assert [(result.prefix, result.position, result.body) for result in results] == [
            (sent.prefix, 0, b"a"),
            (sent.prefix, 1, b"b"),
        ]
        client.say(frames.Ack(GROUP, results[-1].seq), frames.ClosePool(POOL), sent)
        assert await client.frame() == frames.Accepted(sent.prefix)
        assert fixture.engine.closed == [POOL]


@live
async def test_refusals_keep_the_stream_open(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service, connected(service) as client:
        unknown = batch([b"a"])
        client.say(unknown)
        refused = await client.frame()
        assert (refused.prefix, refused.error["name"], refused.position) == (unknown.prefix, "NotFound", None)
        await register(service)
        large = batch([b"a", bytes(70_000)])
        client.say(large)
        refused = await client.frame()
        assert (refused.error["name"], refused.position) == ("PayloadTooLarge", 1)
        client.say(frames.Register(b"d" * 32, "f", CODE))
        registered = await client.frame()
        assert registered.error["name"] == "InvalidRequest"
        client.say(frames.OpenPool(POOL, msgspec.structs.replace(SPEC, max_workers=0)))
        failed = await client.frame()
        assert (failed.pool, "1 to" in failed.message) == (POOL, True)
        client.say(batch([b"a"]))
        assert isinstance(await client.frame(), frames.Accepted)


@live
async def test_what_cannot_be_stored_is_refused(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(fixture) as service, connected(service) as client:
        await register(service)

        def full(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("compute_executor.service.store.writer.Writer.add_batch", full)
        client.say(batch([b"a"]))
        refused = await client.frame()
        assert "a bug" in refused.error["reason"]


@live
async def test_cancelling_and_beginning(fixture: ServiceFixture) -> None:
    fixture.echo = False
    async with serving(fixture) as service, connected(service) as client:
        await register(service)
        sent = batch([b"a", b"b"])
        client.say(frames.Subscribe(GROUP), sent, frames.Cancel(7, [(sent.prefix, [1]), (new_prefix(), [0])]))
        found = [await client.frame() for _ in range(2)]
        assert frames.Cancelled(7, [(sent.prefix, [1])]) in found
        (task,) = fixture.engine.events.take(DEFAULT_POOL, 9)
        fixture.engine.events.began(DEFAULT_POOL, [(*task[:3], 5.0)])
        assert await client.frame() == frames.Began([(sent.prefix, 0, 5.0)])
        fixture.engine.events.broken(DEFAULT_POOL, "gone")


@live
async def test_a_broken_pool_is_told_to_its_user(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service, connected(service) as client:
        client.say(frames.OpenPool(POOL, SPEC))
        while POOL not in fixture.engine.opened:
            await turn()
        fixture.engine.events.broken(POOL, "no interpreter")
        assert await client.frame() == frames.PoolFailed(POOL, "no interpreter")


# -- after a lost connection --------------------------------------------------------------------------------


@live
async def test_what_was_missed_is_replayed_after_the_number(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        async with connected(service) as client:
            client.say(frames.Subscribe(GROUP), batch([b"x"] * 10))
            results = await client.results(10)
        await service.submit(ALICE, batch([b"y"] * 10))
        await turn(20)
        async with connected(service) as client:
            client.say(frames.Subscribe(GROUP, results[6].seq))
            assert [result.seq for result in await client.results(13)] == list(range(8, 21))
            await service.submit(ALICE, batch([b"z"]))
            assert (await client.results(1))[0].seq == 21


@live
async def test_two_clients_of_a_group_get_everything(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service, connected(service) as one, connected(service) as two:
        await register(service)
        for client in (one, two):
            client.say(frames.Subscribe(GROUP))
        await turn(20)
        one.say(batch([b"x"] * 3))
        assert await one.results(3) == await two.results(3)


@live
async def test_a_slow_reader_is_served_from_the_store(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=ServiceLimits(stream_buffer=10_000)) as service:
        await register(service)
        async with connected(service) as slow, connected(service) as quick:
            for client in (slow, quick):
                client.say(frames.Subscribe(GROUP))
            await turn(20)
            slow.reading.clear()
            for _ in range(20):
                await service.submit(ALICE, batch([bytes(500)] * 50))
            assert len(await quick.results(1000)) == 1000
            feeds = [one._feeds[GROUP] for one in service._connections]  # type: ignore[attr-defined]
            assert sorted(feed.live for feed in feeds) == [False, True]
            assert all(one._send_queue.size < 15_000 for one in service._connections)  # type: ignore[attr-defined]
            slow.reading.set()
            assert [result.seq for result in await slow.results(1000)] == list(range(1, 1001))
            await service.submit(ALICE, batch([b"live again"]))
            assert (await slow.results(1))[0].body == b"live again"


@live
async def test_two_slow_groups_share_the_room(fixture: ServiceFixture) -> None:
    async with (
        serving(fixture, limits=ServiceLimits(stream_buffer=5_000)) as service,
        connected(service) as client,
    ):
        await register(service)
        for group in (GROUP, b"o" * 16):
            await service.submit(ALICE, batch([bytes(500)] * 30, group=group))
        await turn(20)
        client.say(frames.Subscribe(GROUP), frames.Subscribe(b"o" * 16))
        assert len(await client.results(60)) == 60


@live
async def test_began_is_left_out_for_a_slow_reader(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=ServiceLimits(stream_buffer=0)) as service, connected(service):
        (connection,) = service._connections
        connection.began([(b"p" * 12, 0, 1.0)])
        assert not connection._send_queue  # type: ignore[attr-defined]


@live
async def test_results_read_from_the_store_before_they_are_told_come_once(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service, connected(service) as client:
        await register(service)
        client.say(frames.Subscribe(GROUP), batch([b"x"] * 3))
        results = await client.results(3)
        (connection,) = service._connections
        connection.results(GROUP, results)
        connection.results(b"u" * 16, results)
        await service.submit(ALICE, batch([b"y"]))
        assert (await client.results(1))[0].body == b"y"


@live
async def test_results_come_before_they_are_stored_if_they_are_kept_until_then(
    fixture: ServiceFixture,
) -> None:
    """Also to one that subscribes after they were told to others, and to those who ask by HTTP."""
    fixture.echo = False
    async with serving(fixture) as service, connected(service) as early, connected(service) as late:
        await register(service)
        early.say(frames.Subscribe(GROUP))
        sent = batch([b"0", b"1"])
        await service.submit(ALICE, sent)
        tasks = take(fixture)
        fixture.engine.end(DEFAULT_POOL, tasks[:1])
        stored = await early.results(1)
        unlock = fixture.lock_store()
        fixture.engine.end(DEFAULT_POOL, tasks[1:], kept=True)
        told = await early.results(1)
        late.say(frames.Subscribe(GROUP))
        assert await late.results(2) == stored + told
        assert service.task(ALICE, sent.prefix, 1).outcome == told[0]
        assert service.task(ALICE, sent.prefix, 0).outcome == stored[0]
        assert fixture.store.read.last_seq() == stored[0].seq
        unlock()
        while fixture.store.read.last_seq() < told[0].seq:
            await asyncio.sleep(0.01)
        assert service.task(ALICE, sent.prefix, 1).outcome == told[0]


@live
async def test_a_client_that_only_sends_is_not_read_for_ever(fixture: ServiceFixture) -> None:
    async with (
        serving(fixture, limits=ServiceLimits(stream_buffer=1_000)) as service,
        connected(service) as client,
    ):
        client.reading.clear()
        for _ in range(200):
            client.say(batch([b"a"]))
        await turn(100)
        assert client._to_service.qsize() > 150
        client.reading.set()
        for _ in range(200):
            assert isinstance(await client.frame(), frames.Refused)


# -- ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code", "says"),
    [
        (b"\xc1", stream.MALFORMED, "cannot be read"),
        (encode([99, 1]), stream.MALFORMED, "cannot be read"),
        (b"\x91" * 100_000, stream.MALFORMED, "cannot be read"),
        ("text", stream.MALFORMED, "cannot be read"),
        (frames.Subscribe(b"f" * 16), stream.FOREIGN, "for you"),
        (frames.Ack(b"f" * 16, 1), stream.FOREIGN, "for you"),
    ],
)
@live
async def test_what_may_not_be_closes_the_stream_and_no_other(
    fixture: ServiceFixture, said: Any, code: int, says: str
) -> None:
    async with serving(fixture) as service, connected(service) as other:
        await register(service, BOB)
        await service.submit(BOB, batch([b"x"], group=b"f" * 16))
        client = Client(service)
        await client.hello()
        client.say(said)
        found, reason = await client.closed()
        assert (found, says in reason) == (code, True)
        assert len(reason.encode()) <= stream.LONGEST_REASON
        await register(service)
        other.say(batch([b"a"]))
        assert isinstance(await other.frame(), frames.Accepted)


@live
async def test_a_stream_carries_so_many_groups(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=ServiceLimits(groups_per_stream=1)) as service:
        client = Client(service)
        await client.hello()
        client.say(frames.Subscribe(GROUP), frames.Subscribe(GROUP), frames.Subscribe(b"o" * 16))
        assert "1 task groups" in (await client.closed())[1]


@live
async def test_requests_that_are_no_answers_close_the_stream(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compute_executor.errors import ServiceUnavailable

    def trouble(*_: object) -> None:
        raise ServiceUnavailable("no")

    async with serving(fixture) as service:
        client = Client(service)
        await client.hello()
        monkeypatch.setattr(service, "ack", trouble)
        client.say(frames.Ack(GROUP, 1))
        assert await client.closed() == (stream.MALFORMED, "no")


@pytest.mark.parametrize(
    ("first", "code", "says"),
    [
        ("{}", stream.MALFORMED, "no Hello"),
        (b"bytes", stream.MALFORMED, "must be text"),
        ('{"compute_executor": 99, "version": "9", "python": "3"}', stream.OTHER_VERSION, "protocol 99"),
        ("no id at all", stream.MALFORMED, "the id of a task group"),
    ],
)
@live
async def test_first_frames_not_understood(fixture: ServiceFixture, first: Any, code: int, says: str) -> None:
    async with serving(fixture) as service:
        client = Client(service)
        await client.message()
        client.say(first)
        found, reason = await client.closed()
        assert (found, says in reason) == (code, True)


@live
async def test_silence_is_not_waited_for(fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HELLO_PATIENCE", 0.01)
    async with serving(fixture) as service:
        assert (await Client(service).closed())[0] == stream.MALFORMED


@live
async def test_a_client_that_goes_before_it_spoke(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        client = Client(service)
        await client.message()
        await client.leave()


@live
async def test_goodbye(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        client = Client(service)
        await client.hello()
        await turn(20)
        await service.say_goodbye("the service ends")
        assert await client.frame() == frames.Goodbye("the service ends")
        assert (await client.closed())[0] == stream.RESTARTING


@live
async def test_a_client_that_goes_while_it_is_sent_to(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        client = Client(service)
        await client.hello()
        client.say(frames.Subscribe(GROUP), batch([b"a"] * 5), frames.Cancel(1, [(new_prefix(), [0])]))
        client.reading.clear()
        await turn(20)
        await client.leave()
        assert not service._connections


@pytest.mark.parametrize("streams", [0, 1])
@live
async def test_a_client_that_is_gone_before_its_handshake_is_answered_is_no_error(
    fixture: ServiceFixture, caplog: pytest.LogCaptureFixture, streams: int
) -> None:
    async def gone(_: Any) -> None:
        raise OSError("as uvicorn raises it")

    async def connect() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async with serving(fixture, limits=ServiceLimits(user_streams=streams)) as service:
        websocket = WebSocket({"type": "websocket", "headers": []}, connect, gone)
        await serve_stream(websocket, ALICE, service)
    assert not [one for one in caplog.records if one.levelno > logging.WARNING]


@live
async def test_what_a_program_says_of_itself_is_kept_in_short(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        client = Client(service)
        assert (await client.message())["type"] == "websocket.accept"
        said = frames.ProgramInfo("l" * 100_000, "n" * 100_000, "h" * 100_000, 7)
        hello = frames.Hello(frames.PROTOCOL, "1", "3.11", program=said)
        client.say(msgspec.json.encode(hello).decode())
        await client.message()
        client.say(frames.Subscribe(GROUP), batch([b"1"]))
        await client.results(1)
        (listed,) = await service.listing.groups(ALICE, everybody=False, limit=10)
        assert len(msgspec.json.encode(listed)) < 10 * stream.LONGEST_TEXT
        await client.leave()


@live
async def test_few_cancels_of_one_stream_are_worked_on_at_once(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(fixture) as service, connected(service) as client:
        answered, began = asyncio.Event(), 0

        async def cancel(_: Identity, tasks: Any) -> Any:
            nonlocal began
            began += 1
            await answered.wait()
            return tasks

        monkeypatch.setattr(service, "cancel", cancel)
        client.say(*(frames.Cancel(number, []) for number in range(50)))
        await turn(100)
        assert began == stream.MOST_CANCELS
        answered.set()
        assert sorted([(await client.frame()).request for _ in range(50)]) == list(range(50))
