"""A scripted hosted service with result queues in a real RabbitMQ.

``HOSTED_AMQP_URL`` names the broker (default: one of Debian's on port 5799, as ``stock.sh broker-up`` starts it);
without one these tests are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from compute_executor import Client
from tests.hosted_service import HostedService

URL = os.environ.get("HOSTED_AMQP_URL", "amqp://guest:guest@127.0.0.1:5799/%2F")
PREFIX = "results."


class Broker:
    """Publishes as the service does, into queues named after their group."""

    def __init__(self) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(URL))
        self.channel = self.connection.channel()
        self.made: set[str] = set()
        self.silent = False

    def publish(self, group: str, body: bytes, headers: dict[str, Any]) -> None:
        self.make(group)
        if not self.silent:
            self.send(group, body, headers)

    def make(self, group: str) -> None:
        if group not in self.made:
            self.channel.queue_declare(PREFIX + group, durable=True, arguments={"x-expires": 600_000})
            self.made.add(group)

    def send(self, group: str, body: bytes, headers: dict[str, Any] | None = None) -> None:
        properties = pika.BasicProperties(headers=headers or {}, delivery_mode=2)
        self.channel.basic_publish("", PREFIX + group, body, properties)

    def left(self, group: str) -> int:
        """Messages in the queue that nobody has taken."""
        return int(self.channel.queue_declare(PREFIX + group, passive=True).method.message_count)

    def close(self) -> None:
        for group in self.made:
            self.channel.queue_delete(PREFIX + group)
        self.connection.close()


@pytest.fixture
def broker() -> Iterator[Broker]:
    try:
        broker = Broker()
    except pika.exceptions.AMQPConnectionError:
        pytest.skip(f"no broker at {URL.rpartition('@')[2]}")
    yield broker
    broker.close()


@pytest.fixture
def service(broker: Broker) -> Iterator[HostedService]:
    service = HostedService(broker.publish, {"queue_prefix": PREFIX, "connection_url": URL})
    yield service
    service.close()


@pytest.fixture
def client(service: HostedService) -> Iterator[Client]:
    with Client(base_url=service.url, token="t") as client:
        yield client
