"""Result queues: read as messages come, acknowledged after they are dealt with, and lost in a way that is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pika
import pytest

from compute_executor.errors import NotAuthorized, ServiceUnavailable
from compute_executor.session.hosted import amqp
from compute_executor.session.hosted.amqp import QueueLost, ResultQueueConsumer
from tests.session.hosted.broker import URL, FakeBroker

NAMES = amqp.named(["a", "b"], "q.")


class Handled:
    """A handler; what it gets, and what it cannot read."""

    def __init__(self, broker: FakeBroker) -> None:
        self.got: list[tuple[bytes, bool]] = []
        self._broker = broker

    def __call__(self, body: bytes, assured: bool) -> bool:
        assert self._broker.acknowledged == [], "acknowledged before it was dealt with"
        self.got.append((body, assured))
        return body != b"rubbish"


@pytest.fixture
def handled(broker: FakeBroker) -> Handled:
    from collections import deque

    broker.queues.update({"q.a": deque(), "q.b": deque()})
    return Handled(broker)


@contextmanager
def opened(handled: Handled) -> Iterator[ResultQueueConsumer]:
    queues = ResultQueueConsumer(URL, NAMES, handled)
    try:
        yield queues
    finally:
        queues.close()


def test_messages_are_acknowledged_after_they_were_handled(broker: FakeBroker, handled: Handled) -> None:
    with opened(handled) as queues:
        broker.send("q.a", b"one")
        broker.send("q.b", b"two", headers={"high_assurance": True})
        queues.turn(1)
        assert handled.got == [(b"one", False), (b"two", True)]
        assert broker.acknowledged == [("q.a", 1), ("q.b", 1)]
        assert [one.prefetch for one in broker.connections[0].channels] == [amqp.PREFETCH] * 2


def test_one_acknowledgement_stands_for_all_of_a_turn(broker: FakeBroker, handled: Handled) -> None:
    with opened(handled) as queues:
        queues._handle = lambda body, assured: True
        connection = broker.connections[0]
        for number in range(3):
            broker.send("q.a", b"%d" % number)
        for _ in range(2):
            connection.process_data_events(0)
        queues.turn(0)
        assert broker.acknowledged == [("q.a", 3)]


def test_what_cannot_be_read_is_rejected_for_good(broker: FakeBroker, handled: Handled) -> None:
    with opened(handled) as queues:
        broker.send("q.a", b"rubbish")
        queues.turn(1)
        assert broker.rejected == [("q.a", 1)]
        assert broker.acknowledged == []


def test_a_queue_that_is_missing_does_not_stop_the_others(broker: FakeBroker, handled: Handled) -> None:
    gone = broker.queues.pop("q.a")
    with opened(handled) as queues:
        assert queues.missing == {"a"}
        broker.send("q.b", b"two")
        queues.turn(1)
        assert handled.got == [(b"two", False)]
        queues.try_missing()
        assert queues.missing == {"a"}
        broker.queues["q.a"] = gone
        queues.try_missing()
        assert queues.missing == set()


def test_a_queue_that_is_deleted_is_missing(broker: FakeBroker, handled: Handled) -> None:
    with opened(handled) as queues:
        broker.connections[0].channels[1].cancelled(None)
        assert queues.missing == {"b"}


@pytest.mark.parametrize(
    "error",
    [
        pika.exceptions.ProbableAuthenticationError("(403, 'ACCESS_REFUSED')"),
        pika.exceptions.AMQPConnectionError("no"),
        ConnectionRefusedError("no"),
    ],
)
def test_no_connection_is_told_without_the_password(
    broker: FakeBroker, handled: Handled, error: Exception
) -> None:
    broker.refuses = error
    with pytest.raises(QueueLost, match=type(error).__name__) as caught:
        ResultQueueConsumer(URL, NAMES, handled)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        pika.exceptions.StreamLostError("reset"),
        OSError("broken pipe"),
        pika.exceptions.ConnectionBlockedTimeout(),
    ],
)
def test_a_connection_that_fails_is_lost(broker: FakeBroker, handled: Handled, error: Exception) -> None:
    with opened(handled) as queues:
        broker.lose(error)
        with pytest.raises(QueueLost):
            queues.turn(1)
        with pytest.raises(QueueLost):
            queues._consume("a")


def test_acknowledging_may_fail_too(broker: FakeBroker, handled: Handled) -> None:
    def handle(body: bytes, assured: bool) -> bool:
        broker.lose(pika.exceptions.StreamLostError("reset"))
        return True

    with opened(handled) as queues:
        queues._handle = handle
        broker.send("q.a", b"one")
        with pytest.raises(QueueLost, match="StreamLostError"):
            queues.turn(1)


def test_queues_that_may_not_be_read_end_the_connection(broker: FakeBroker, handled: Handled) -> None:
    broker.forbids = pika.exceptions.ConnectionClosedByBroker(403, "not yours")
    with pytest.raises(QueueLost, match=r"does not let us read q\.a"):
        ResultQueueConsumer(URL, NAMES, handled)
    assert broker.connections[0].closed


def test_a_turn_can_be_ended_early(broker: FakeBroker, handled: Handled) -> None:
    with opened(handled) as queues:
        timer = threading.Timer(0.01, queues.wake)
        timer.start()
        queues.turn(60)
        timer.join()
    queues.wake()  # closed: nobody waits
    queues.close()


def test_no_step_of_connecting_takes_for_ever(broker: FakeBroker, handled: Handled) -> None:
    with opened(handled):
        parameters = broker.urls[0]
        assert parameters.socket_timeout == parameters.stack_timeout == amqp.PATIENCE
        assert parameters.blocked_connection_timeout == amqp.PATIENCE


@pytest.mark.parametrize("service", ["http://here", "https://there"])
def test_a_broker_with_tls_may_have_the_password(service: str) -> None:
    amqp.check("amqps://u:p@b", service)


def test_a_password_does_not_go_in_clear_where_the_service_is_secret() -> None:
    amqp.check("amqp://u:p@b", "http://127.0.0.1:1")
    with pytest.raises(NotAuthorized, match="without TLS") as caught:
        amqp.check("amqp://u:hidden@b", "https://there")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "http://b", "redis://b"])
def test_what_is_no_broker_is_none(url: str) -> None:
    with pytest.raises(ServiceUnavailable, match="not AMQP"):
        amqp.check(url, "https://there")
