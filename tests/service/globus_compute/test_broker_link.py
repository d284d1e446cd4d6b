"""The service's connection to the broker: what it sets up, publishes, sees, and does when the broker fails it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import pika
import pytest

from compute_executor.errors import (
    BrokerUnconfirmed,
    BrokerUnroutable,
    InvalidRequest,
    QueueMissing,
    ServiceUnavailable,
)
from compute_executor.service.globus_compute import broker_link as module
from compute_executor.service.globus_compute.broker_link import BrokerLink, Delivery
from tests.service.fixture import live, turn
from tests.service.globus_compute.broker import FakeBroker

URL = "amqp://me:secret@broker:5673/%2F"


class Story:
    """What a Link told its owner, and the messages that came."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.came: list[Delivery] = []
        self.news = asyncio.Event()

    def opened(self) -> None:
        self.said.append("opened")
        self.news.set()

    def closed(self) -> None:
        self.said.append("closed")
        self.news.set()

    async def until(self, *said: str) -> None:
        while self.said != list(said):
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 5)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    broker = FakeBroker()
    monkeypatch.setattr("pika.adapters.asyncio_connection.AsyncioConnection", broker.connection)
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    return broker


@contextlib.asynccontextmanager
async def linked(story: Story, *, wait: bool = True) -> AsyncIterator[BrokerLink]:
    link = BrokerLink(
        URL,
        asyncio.get_running_loop(),
        opened=story.opened,
        closed=story.closed,
        consumers={"results": story.came.append},
    )
    link.start()
    try:
        if wait:
            await story.until("opened")
        yield link
    finally:
        await link.close()


def properties() -> pika.BasicProperties:
    return pika.BasicProperties()


async def seen(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), 5)


# -- connecting -------------------------------------------------------------------------------------------------


@live
async def test_everything_is_there_when_it_says_so(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        assert link.open
        assert not link.blocked
        assert link.trouble == ""
        assert broker.bound == {
            ("results", "results", "*.results"),
            ("heartbeats", "heartbeats", "*.heartbeats"),
        }
        channel, _ = broker.consumers["results"]
        assert channel.prefetch == module.PREFETCH
        assert broker.last.parameters.client_properties == {"connection_name": "compute-executor"}
    assert broker.last.is_closed


@pytest.mark.parametrize("url", ["amqp://me:hidden@host:port/x", "amqp://me:hidden@host/?heartbeat=x"])
@live
async def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidRequest, match="must look like") as caught:
        BrokerLink(url, asyncio.get_running_loop(), opened=print, closed=print, consumers={})
    assert "hidden" not in str(caught.value)
    assert caught.value.__suppress_context__


@live
async def test_a_wrong_password_is_tried_again_with_growing_pauses_and_not_told(
    broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.refuses = pika.exceptions.ProbableAuthenticationError("(403, 'ACCESS_REFUSED')")
    story = Story()
    with caplog.at_level(logging.INFO):
        async with linked(story, wait=False) as link:
            await seen(lambda: len(broker.connections) >= 4)
            assert "ACCESS_REFUSED" in link.trouble
            assert not link.open
            assert link._backoff.failures >= 3
            broker.refuses = None
            await story.until("opened")
            assert link._backoff.failures == 0
            assert story.said == ["opened"]  # what was never open is not closed
    assert "secret" not in caplog.text


@live
async def test_pauses_end_growing(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.003)
    broker.refuses = OSError("no route")
    async with linked(Story(), wait=False):
        await seen(lambda: len(broker.connections) >= 20)


@live
async def test_an_error_without_words_is_told_by_its_kind(broker: FakeBroker) -> None:
    broker.refuses = ConnectionResetError()
    async with linked(Story(), wait=False) as link:
        await seen(lambda: link.trouble == "ConnectionResetError")


@live
async def test_a_lost_connection_is_made_again(broker: FakeBroker) -> None:
    story = Story()
    async with linked(story) as link:
        broker.last.lose(RuntimeError("(320, 'CONNECTION_FORCED')"))
        await story.until("opened", "closed", "opened")
        assert link.open
        assert len(broker.connections) == 2


@live
async def test_a_broker_that_does_not_answer_is_tried_again(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    broker.deaf = {"exchange_declare"}
    story = Story()
    async with linked(story, wait=False):
        await seen(lambda: len(broker.connections) >= 2)
        broker.deaf = set()
        await story.until("opened")
    assert "has not answered" in caplog.text


@live
async def test_closing_before_anything_came_of_it(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.deaf = {"channel"}
    async with linked(Story(), wait=False) as link:
        await turn()
        setup = link._setup
    assert setup is not None
    assert setup.done()
    monkeypatch.setattr(module, "FIRST_PAUSE", 100.0)
    broker.refuses = OSError("away")
    async with linked(Story(), wait=False) as link:
        await seen(lambda: link._timer is not None)
    count = len(broker.connections)
    await turn()
    assert len(broker.connections) == count


@live
async def test_a_connection_that_goes_while_being_set_up(broker: FakeBroker) -> None:
    broker.deaf = {"channel"}
    story = Story()
    async with linked(story, wait=False) as link:
        await turn()
        broker.last.is_open = False
        with pytest.raises(ServiceUnavailable, match="no connection"):
            await link._channel()
        broker.last.is_open = True
        broker.deaf = set()
        broker.last.lose(RuntimeError("gone"))
        await story.until("opened")


# -- publishing -------------------------------------------------------------------------------------------------


@live
async def test_published_is_what_the_broker_has_confirmed(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        broker.answers = None
        sent = [link.publish("tasks", "k", b"%d" % number, properties()) for number in range(4)]
        await turn()
        assert not any(one.done() for one in sent)
        broker.confirm(2)
        assert [one.done() for one in sent] == [False, True, False, False]
        broker.confirm(2)  # once more changes nothing
        broker.confirm(3, multiple=True)
        assert [one.done() for one in sent] == [True, True, True, False]
        broker.confirm(4)
        await asyncio.gather(*sent)
        assert [(key, body) for _, key, body, _ in broker.published] == [("k", b"%d" % n) for n in range(4)]


@live
async def test_what_the_broker_refuses_is_not_published(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        broker.answers = "nack"
        with pytest.raises(BrokerUnconfirmed, match="refused"):
            await link.publish("tasks", "k", b"", properties())


@live
async def test_without_a_queue_it_comes_back(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        with pytest.raises(BrokerUnroutable, match="no queue for 'nowhere'"):
            await link.publish("", "nowhere", b"", properties())
        await link.declare("somewhere")
        await link.publish("", "somewhere", b"", properties())


@live
async def test_what_was_on_its_way_is_unconfirmed_when_the_broker_goes(broker: FakeBroker) -> None:
    story = Story()
    async with linked(story) as link:
        broker.answers = None
        sent = link.publish("tasks", "k", b"", properties())
        broker.last.lose(RuntimeError("gone"))
        with pytest.raises(BrokerUnconfirmed, match="lost: gone"):
            await sent
        with pytest.raises(BrokerUnconfirmed, match="no connection"):
            await link.publish("tasks", "k", b"", properties())
        broker.answers = "ack"
        await story.until("opened", "closed", "opened")
        await link.publish("tasks", "k", b"", properties())  # numbers begin anew with the channel


@live
async def test_whoever_waits_may_go(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        broker.answers = None
        link.publish("tasks", "k", b"", properties()).cancel()
        broker.confirm(1)


@live
async def test_a_channel_that_the_broker_closes_is_a_new_connection(broker: FakeBroker) -> None:
    story = Story()
    async with linked(story):
        broker.last.channels[0].fail(RuntimeError("(541, 'disk full')"))
        await story.until("opened", "closed", "opened")
        assert len(broker.connections) == 2


@live
async def test_a_broker_that_takes_no_messages_is_told_from_one_that_does(broker: FakeBroker) -> None:
    story = Story()
    async with linked(story) as link:
        broker.last.block(None, None)
        assert link.blocked
        assert link.open
        broker.last.unblock(None, None)
        assert not link.blocked
        assert story.said == ["opened", "opened"]


# -- queues -----------------------------------------------------------------------------------------------------


@live
async def test_queues_are_made_looked_at_emptied_and_dropped(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        await link.declare("q", {"x-expires": 5}, ("tasks", "key"))
        assert broker.arguments["q"] == {"x-expires": 5}
        assert ("q", "tasks", "key") in broker.bound
        broker.queues["q"] += [(b"", {"n": 1}), (b"", {"n": 2})]
        assert await link.inspect("q") == (2, 0)
        assert await link.inspect("results") == (0, 1)
        assert await link.drain("q") == [({"n": 1}, False), ({"n": 2}, False)]
        assert await link.inspect("q") == (0, 0)
        await link.delete("q")
        assert "q" not in broker.queues


@live
async def test_a_wrong_question_costs_only_its_channel(broker: FakeBroker) -> None:
    story = Story()
    async with linked(story) as link:
        for _ in range(2):
            with pytest.raises(ServiceUnavailable, match="no queue missing"):
                await link.inspect("missing")
        await link.declare("q")
        assert await link.inspect("q") == (0, 0)
        assert story.said == ["opened"]


@live
async def test_questions_do_not_mix(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        await asyncio.gather(*(link.declare(f"q{number}") for number in range(10)))
        broker.queues["q3"] += [(b"", {})] * 3
        sights = await asyncio.gather(*(link.inspect(f"q{number}") for number in range(10)))
        assert [sight.ready for sight in sights] == [0, 0, 0, 3, 0, 0, 0, 0, 0, 0]


@live
async def test_a_question_that_is_not_answered_ends(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(Story()) as link:
        broker.deaf = {"queue_declare"}
        monkeypatch.setattr(module, "PATIENCE", 0.01)
        with pytest.raises(ServiceUnavailable, match="has not answered"):
            await link.declare("q")
        broker.deaf = set()
        await link.declare("q")


@live
async def test_what_waits_is_seen_and_stays(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        await link.declare("q")
        broker.queues["q"] += [(b"a", {"n": 1}), (b"b", None), (b"c", {"n": 3})]  # type: ignore[list-item]
        for _ in range(2):
            found = await link.peek("q")
            assert [message.headers for message in found or []] == [{"n": 1}, {}, {"n": 3}]
        assert [body for body, _ in broker.queues["q"]] == [b"a", b"b", b"c"]


@live
async def test_a_queue_that_somebody_reads_says_nothing(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        assert await link.peek("results") is None


# -- what comes -------------------------------------------------------------------------------------------------


@live
async def test_messages_are_acknowledged_when_they_are_done_with(broker: FakeBroker) -> None:
    story = Story()
    async with linked(story):
        broker.deliver("results", b"body", "x.results", tag=7)
        assert story.came[0][:2] == (b"body", "x.results")
        assert broker.acknowledged == []
        story.came[0].done()
        assert broker.acknowledged == [7]


@live
async def test_after_the_connection_is_lost_nothing_is_acknowledged(broker: FakeBroker) -> None:
    story = Story()
    async with linked(story):
        broker.deliver("results", b"body", "x.results")
        broker.last.lose(RuntimeError("gone"))
        await story.until("opened", "closed", "opened")
        story.came[0].done()  # it will come again
        assert broker.acknowledged == []


def test_the_reason_is_what_pika_has_wrapped() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    inner = pika.adapters.utils.connection_workflow.AMQPConnectorSocketConnectError(refused)
    outer = pika.adapters.utils.connection_workflow.AMQPConnectionWorkflowFailed([ValueError("first"), inner])
    assert module._words(outer) == "[Errno 111] Connection refused"
    assert module._words(pika.exceptions.AMQPConnectionError(outer)) == "[Errno 111] Connection refused"
    assert module._words("lost") == "lost"
    assert module._words(TimeoutError()) == "TimeoutError"


# -- what was deleted -------------------------------------------------------------------------------------------


@live
async def test_a_consumer_whose_queue_was_deleted_is_there_again(broker: FakeBroker) -> None:
    story = Story()
    async with linked(story):
        del broker.queues["results"]
        channel, _ = broker.consumers.pop("results")
        channel.cancelled(None)
        await story.until("opened", "closed", "opened")
        assert "results" in broker.queues
        assert "results" in broker.consumers


@live
async def test_a_consumer_whose_channel_is_closed_is_there_again(broker: FakeBroker) -> None:
    story = Story()
    async with linked(story):
        channel, _ = broker.consumers.pop("results")
        channel.fail(pika.exceptions.ChannelClosedByBroker(406, "consumer ack timed out"))
        await story.until("opened", "closed", "opened")
        assert "results" in broker.consumers


@live
async def test_a_missing_queue_is_an_error_of_its_own(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        for ask in (link.inspect, link.peek, link.drain):
            with pytest.raises(QueueMissing, match="no queue gone"):
                await ask("gone")


@live
async def test_what_was_delivered_before_is_told_from_what_was_not(broker: FakeBroker) -> None:
    async with linked(Story()) as link:
        await link.declare("q")
        broker.queues["q"] += [(b"a", {"n": 1}), (b"b", {"n": 2})]
        broker.delivered_before.add(b"a")
        assert [one.redelivered for one in await link.drain("q") or []] == [True, False]
        assert broker.queues["q"] == []
        broker.queues["q"] += [(b"c", {})]
        await link.peek("q")
        assert broker.queues["q"] == [(b"c", {})]


@live
async def test_a_broker_that_does_not_say_goodbye_is_left(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_PATIENCE", 0.01)
    async with linked(Story()) as link:
        monkeypatch.setattr(broker.last, "close", lambda: None)
        await asyncio.wait_for(link.close(), 1)
        monkeypatch.undo()
