"""Results of a hosted service through a real RabbitMQ."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from compute_executor import Client, Executor
from compute_executor.session.hosted import results
from integration.hosted.conftest import PREFIX, Broker
from integration.hosted.proxy import Proxy
from tests.hosted_service import HostedService

ENDPOINT = "5a3c0e38-7a31-4f2c-9f0d-1f2d3c4b5a69"


def add_one(x: int) -> int:
    return x + 1


@pytest.fixture
def ex(client: Client) -> Iterator[Executor]:
    with Executor(ENDPOINT, client=client) as executor:
        yield executor


@pytest.fixture
def proxy(service: HostedService, broker: Broker) -> Iterator[Proxy]:
    place = urlsplit(broker.url)
    proxy = Proxy((place.hostname or "localhost", place.port or 5672))
    service.queues = {
        "queue_prefix": PREFIX,
        "connection_url": f"amqp://{place.username}:{place.password}@127.0.0.1:{proxy.port}{place.path}",
    }
    yield proxy
    proxy.close()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def queue_is_read(service: HostedService, ex: Executor) -> None:
    """Have the result queue open: nothing is asked for after this."""
    assert ex.submit(add_one, 0).result(20) == 1
    until(lambda: "connected" in repr(ex) and "connecting" not in repr(ex))
    service.requests.clear()


def test_results_come_when_their_messages_come(service: HostedService, ex: Executor) -> None:
    queue_is_read(service, ex)
    times = []
    for number in range(20):
        began = time.perf_counter()
        assert ex.submit(add_one, number).result(20) == number + 1
        times.append(time.perf_counter() - began)
    assert service.count("/v2/batch_status") == 0
    print(f"median {sorted(times)[10] * 1000:.1f} ms")
    assert sorted(times)[10] < 0.1


def test_a_thousand(service: HostedService, ex: Executor) -> None:
    assert list(ex.map(add_one, range(1000))) == list(range(1, 1001))


def test_messages_are_acknowledged(broker: Broker, ex: Executor) -> None:
    assert list(ex.map(add_one, range(50))) == list(range(1, 51))
    ex.shutdown()
    assert broker.left(str(ex.task_group_id)) == 0


def test_a_message_before_its_future_is_set_is_not_acknowledged(
    broker: Broker, service: HostedService, ex: Executor
) -> None:
    """A callback that hangs holds the message back: it would come again if this process died now."""
    queue_is_read(service, ex)
    service.prompt = False
    go, called = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        called.set()
        go.wait(20)

    first = ex.submit(add_one, 1)
    first.add_done_callback(hang)
    until(lambda: bool(service.waiting))
    service.run()
    assert called.wait(20)
    group = str(ex.task_group_id)
    broker.connection.process_data_events()
    consumers = broker.channel.queue_declare(PREFIX + group, passive=True)
    assert consumers.method.consumer_count == 1
    go.set()
    assert first.result(20) == 2


def test_high_assurance_is_fetched(service: HostedService, ex: Executor) -> None:
    service.headers = {"high_assurance": True}
    assert list(ex.map(add_one, range(10))) == list(range(1, 11))
    assert service.count("/v2/batch_status") > 0


@pytest.mark.parametrize("rubbish", [b"", b"\x02{}", b"\x01{", b'\x01{"message_type": "task", "data": {}}'])
def test_rubbish_is_rejected_and_costs_nothing(
    broker: Broker, service: HostedService, ex: Executor, rubbish: bytes
) -> None:
    queue_is_read(service, ex)
    broker.send(str(ex.task_group_id), rubbish)
    assert ex.submit(add_one, 1).result(20) == 2
    ex.shutdown()
    assert broker.left(str(ex.task_group_id)) == 0


def test_an_unreadable_message_of_a_task_has_it_fetched(
    broker: Broker, service: HostedService, ex: Executor
) -> None:
    queue_is_read(service, ex)
    service.prompt = False
    future = ex.submit(add_one, 1)
    until(lambda: bool(service.waiting))
    task_id = service.waiting[0][0]
    broker.silent = True
    service.run()
    broken = {"message_type": "result", "data": {"task_id": task_id, "data": 7}}
    broker.send(str(ex.task_group_id), b"\x01" + json.dumps(broken).encode())
    assert future.result(20) == 2
    assert service.count("/v2/batch_status") == 1


def test_results_that_come_twice_and_foreign_ones(
    broker: Broker, service: HostedService, ex: Executor
) -> None:
    twice = service.publish
    assert twice is not None

    def publish(group: str, body: bytes, headers: dict[str, Any]) -> None:
        twice(group, body, headers)
        twice(group, body, headers)

    service.publish = publish
    assert list(ex.map(add_one, range(20))) == list(range(1, 21))
    foreign = {"task_id": "99999999-9999-4999-8999-999999999999", "data": "00\ngAROLg==\n"}
    broker.send(
        str(ex.task_group_id), b"\x01" + json.dumps({"message_type": "result", "data": foreign}).encode()
    )
    assert ex.submit(add_one, 1).result(20) == 2


def test_the_broker_goes_and_comes_back(
    service: HostedService, client: Client, proxy: Proxy, broker: Broker
) -> None:
    with Executor(ENDPOINT, client=client) as ex:
        queue_is_read(service, ex)
        service.prompt = False
        futures = [ex.submit(add_one, number) for number in range(30)]
        until(lambda: len(service.waiting) == 30)
        proxy.refusing = True
        proxy.cut()
        service.run()
        assert [one.result(20) for one in futures] == list(range(1, 31))  # by asking
        assert service.count("/v2/batch_status") > 0
        proxy.refusing = False
        last = ex.submit(add_one, 99)
        until(lambda: len(service.waiting) == 1)
        until(lambda: "stream: connected" in repr(ex), 40)
        assert service.count("/v2/get_amqp") >= 2  # credentials of its own for each connection
        service.requests.clear()
        service.run()
        assert last.result(20) == 100


def test_a_queue_that_is_gone_is_no_end(service: HostedService, broker: Broker, ex: Executor) -> None:
    queue_is_read(service, ex)
    service.prompt = False
    future = ex.submit(add_one, 1)
    until(lambda: bool(service.waiting))
    broker.channel.queue_delete(PREFIX + str(ex.task_group_id))
    broker.made.clear()
    service.publish = None
    service.run()
    assert future.result(30) == 2


def test_no_connection_when_nothing_is_open(
    service: HostedService, ex: Executor, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LINGER", 0.2)
    assert ex.submit(add_one, 1).result(20) == 2
    until(lambda: not [one for one in threading.enumerate() if one.name == "compute-executor-results"])
    assert (
        broker.channel.queue_declare(PREFIX + str(ex.task_group_id), passive=True).method.consumer_count == 0
    )
    assert ex.submit(add_one, 2).result(20) == 3
