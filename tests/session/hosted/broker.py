"""A broker in memory, at the seam of pika's BlockingConnection: a consumer for each queue."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pika
import pytest

URL = "amqp://me:secret@broker:5672/%2F"


class FakeBroker:
    """``refuses``: what connecting raises; ``forbids``: what reading a queue raises."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.queues: dict[str, deque[tuple[bytes, dict[str, Any] | None]]] = {}
        self.connections: list[FakeConnection] = []
        self.urls: list[Any] = []
        self.acknowledged: list[tuple[str, int]] = []
        self.rejected: list[tuple[str, int]] = []
        self.refuses: Exception | None = None
        self.forbids: Exception | None = None

    def connect(self, parameters: Any) -> FakeConnection:
        """In place of pika.BlockingConnection."""
        with self.changed:
            self.urls.append(parameters)
            self.changed.notify_all()
            if self.refuses is not None:
                raise self.refuses
            made = FakeConnection(self)
            self.connections.append(made)
            return made

    def send(self, queue: str, *bodies: bytes, headers: dict[str, Any] | None = None) -> None:
        with self.changed:
            self.queues[queue].extend((body, headers) for body in bodies)
            self.changed.notify_all()

    def lose(self, error: Exception) -> None:
        """The newest connection fails at its next turn."""
        with self.changed:
            self.connections[-1].error = error
            self.changed.notify_all()

    def until(self, condition: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 5), "it did not happen"


class FakeConnection:
    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.channels: list[FakeChannel] = []
        self.error: Exception | None = None
        self.closed = False
        self.woken = 0

    def channel(self) -> FakeChannel:
        if self.error is not None:
            raise self.error
        made = FakeChannel(self, len(self.channels) + 1)
        self.channels.append(made)
        return made

    def process_data_events(self, time_limit: float) -> None:
        end = time.monotonic() + time_limit
        broker = self.broker
        with broker.changed:
            while not (self.error or self.woken or self._ready()) and (left := end - time.monotonic()) > 0:
                broker.changed.wait(left)
            self.woken = 0
            if self.error is not None:
                raise self.error
            deliveries = [(one, *one.take()) for one in self._ready()]
        for channel, tag, body, headers in deliveries:
            assert channel.came is not None
            method = SimpleNamespace(delivery_tag=tag)
            channel.came(channel, method, SimpleNamespace(headers=headers), body)
        with broker.changed:
            broker.changed.notify_all()

    def _ready(self) -> list[FakeChannel]:
        return [one for one in self.channels if one.queue is not None and self.broker.queues[one.queue]]

    def add_callback_threadsafe(self, callback: Callable[[], None]) -> None:
        if self.closed:
            raise pika.exceptions.ConnectionWrongStateError
        with self.broker.changed:
            callback()
            self.woken += 1
            self.broker.changed.notify_all()

    def close(self) -> None:
        with self.broker.changed:
            already, self.closed = self.closed, True
            self.broker.changed.notify_all()
        if already or self.error is not None:
            raise pika.exceptions.ConnectionWrongStateError


class FakeChannel:
    def __init__(self, connection: FakeConnection, number: int) -> None:
        self.connection = connection
        self.broker = connection.broker
        self.channel_number = number
        self.queue: str | None = None
        self.came: Callable[..., None] | None = None
        self.cancelled: Callable[[Any], object] = lambda _: None
        self.prefetch = 0
        self.delivered = 0

    def take(self) -> tuple[int, bytes, dict[str, Any] | None]:
        assert self.queue is not None
        self.delivered += 1
        return (self.delivered, *self.broker.queues[self.queue].popleft())

    def add_on_cancel_callback(self, callback: Callable[[Any], object]) -> None:
        self.cancelled = callback

    def basic_qos(self, prefetch_count: int) -> None:
        self.prefetch = prefetch_count

    def basic_consume(self, queue: str, came: Callable[..., None]) -> None:
        if self.broker.forbids is not None:
            raise self.broker.forbids
        if queue not in self.broker.queues:
            raise pika.exceptions.ChannelClosedByBroker(404, f"no queue {queue}")
        self.queue, self.came = queue, came

    def basic_ack(self, tag: int, *, multiple: bool) -> None:
        assert multiple
        if self.connection.error is not None:
            raise self.connection.error
        with self.broker.changed:
            self.broker.acknowledged.append((str(self.queue), tag))
            self.broker.changed.notify_all()

    def basic_reject(self, tag: int, *, requeue: bool) -> None:
        assert not requeue
        with self.broker.changed:
            self.broker.rejected.append((str(self.queue), tag))
            self.broker.changed.notify_all()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    broker = FakeBroker()
    monkeypatch.setattr(pika, "BlockingConnection", broker.connect)
    return broker
