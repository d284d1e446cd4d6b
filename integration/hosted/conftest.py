"""A scripted hosted service with result queues in a real RabbitMQ, which is started for these tests.

What cannot be installed skips them, and says so in the last lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest

from compute_executor import Client
from integration.debian import CannotInstall
from integration.stock import broker as rabbitmq
from tests.hosted_service import HostedService

PREFIX = "results."


class Broker:
    """Publishes as the service does, into queues named after their group."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
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


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        rabbitmq.require_rabbitmq()
    except CannotInstall as error:
        pytest.skip(str(error))
    server = rabbitmq.Broker(tmp_path_factory.mktemp("hosted") / "broker")
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    broker = Broker(broker_url)
    yield broker
    broker.close()


@pytest.fixture
def service(broker: Broker) -> Iterator[HostedService]:
    service = HostedService(broker.publish, {"queue_prefix": PREFIX, "connection_url": broker.url})
    yield service
    service.close()


@pytest.fixture
def client(service: HostedService) -> Iterator[Client]:
    with Client(base_url=service.url, token="t") as client:
        yield client
