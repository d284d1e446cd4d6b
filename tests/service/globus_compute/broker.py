"""A broker in memory, at pika's seam: what `link` says to a connection and a channel, and how those answer.

Callbacks come on the loop's next turn, as pika's do. A test says how it misbehaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pika

Reply = Callable[..., Any]


class FakeBroker:
    """See the module. ``refuses``: what connecting ends with; ``answers``: ack, nack, or None for silence;
    ``deaf``: questions that are never answered, by the name of the method."""

    def __init__(self) -> None:
        self.queues: dict[str, list[tuple[bytes, dict[str, Any]]]] = {}
        self.arguments: dict[str, dict[str, Any]] = {}
        self.bound: set[tuple[str, str, str]] = set()
        self.consumers: dict[str, tuple[FakeChannel, Reply]] = {}
        self.connections: list[FakeConnection] = []
        self.acknowledged: list[int] = []
        self.delivered_before: set[bytes] = set()
        self.published: list[tuple[str, str, bytes, pika.BasicProperties]] = []
        self.refuses: Exception | None = None
        self.answers: str | None = "ack"
        self.deaf: set[str] = set()

    def connection(self, parameters: Any, **callbacks: Any) -> FakeConnection:
        """In place of AsyncioConnection."""
        made = FakeConnection(self, parameters, **callbacks)
        self.connections.append(made)
        return made

    @property
    def last(self) -> FakeConnection:
        return self.connections[-1]

    def deliver(self, queue: str, body: bytes, key: str, tag: int = 1) -> None:
        """A message comes to whoever consumes a queue."""
        channel, callback = self.consumers[queue]
        callback(channel, SimpleNamespace(routing_key=key, delivery_tag=tag), None, body)

    def confirm(self, tag: int, *, multiple: bool = False, nack: bool = False) -> None:
        """Say that it has what was published last, or not."""
        kind = pika.spec.Basic.Nack if nack else pika.spec.Basic.Ack
        self.last.confirming(SimpleNamespace(method=kind(delivery_tag=tag, multiple=multiple)))


class FakeConnection:
    def __init__(
        self,
        broker: FakeBroker,
        parameters: Any,
        *,
        on_open_callback: Reply,
        on_open_error_callback: Reply,
        on_close_callback: Reply,
        custom_ioloop: asyncio.AbstractEventLoop,
    ) -> None:
        self.broker = broker
        self.parameters = parameters
        self.loop = custom_ioloop
        self.is_open = self.is_closed = self.is_closing = False
        self.channels: list[FakeChannel] = []
        self.block: Reply = lambda: None
        self.unblock: Reply = lambda: None
        self.confirming: Reply = lambda _frame: None
        self._on_close = on_close_callback
        if broker.refuses is not None:
            self.is_closed = True
            self.loop.call_soon(on_open_error_callback, self, broker.refuses)
        else:
            self.is_open = True
            self.loop.call_soon(on_open_callback, self)

    def add_on_connection_blocked_callback(self, callback: Reply) -> None:
        self.block = callback

    def add_on_connection_unblocked_callback(self, callback: Reply) -> None:
        self.unblock = callback

    def channel(self, on_open_callback: Reply) -> None:
        made = FakeChannel(self)
        self.channels.append(made)
        if "channel" not in self.broker.deaf:
            self.loop.call_soon(on_open_callback, made)

    def close(self) -> None:
        self.lose(RuntimeError("(200, 'Normal shutdown')"))

    def lose(self, error: Exception) -> None:
        """The connection ends."""
        if self.is_open:
            self.is_open, self.is_closed = False, True
            for channel in self.channels:
                channel.is_open = False
            self.loop.call_soon(self._on_close, self, error)


class FakeChannel:
    def __init__(self, connection: FakeConnection) -> None:
        self.connection = connection
        self.broker = connection.broker
        self.is_open = True
        self.prefetch = 0
        self.out = 0
        self._closed: list[Reply] = []
        self._returned: list[Reply] = []
        self._empty: Reply = lambda _frame: None
        self._got: list[tuple[str, tuple[bytes, dict[str, Any]]]] = []

    def _soon(self, name: str, callback: Reply, *args: Any) -> None:
        if name not in self.broker.deaf:
            self.connection.loop.call_soon(callback, *args)

    def close(self) -> None:
        """What was got and not acknowledged is in its queue again."""
        self.is_open = False
        for queue, message in reversed(self._got):
            self.broker.queues[queue].insert(0, message)
            self.broker.delivered_before.add(message[0])

    def fail(self, error: Exception) -> None:
        """The broker closes it."""
        self.is_open = False
        for callback in self._closed:
            self.connection.loop.call_soon(callback, self, error)

    def exchange_declare(self, exchange: str, kind: str, *, durable: bool, callback: Reply) -> None:
        self._soon("exchange_declare", callback, None)

    def queue_declare(
        self,
        queue: str,
        *,
        callback: Reply,
        durable: bool = False,
        passive: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        if passive and queue not in self.broker.queues:
            self.fail(pika.exceptions.ChannelClosedByBroker(404, f"no queue {queue}"))
            return
        waiting = self.broker.queues.setdefault(queue, [])
        if not passive:
            self.broker.arguments[queue] = arguments or {}
        seen = SimpleNamespace(message_count=len(waiting), consumer_count=int(queue in self.broker.consumers))
        self._soon("queue_declare", callback, SimpleNamespace(method=seen))

    def queue_bind(self, queue: str, exchange: str, key: str, *, callback: Reply) -> None:
        self.broker.bound.add((queue, exchange, key))
        self._soon("queue_bind", callback, None)

    def queue_delete(self, queue: str, *, callback: Reply) -> None:
        self.broker.queues.pop(queue, None)
        self._soon("queue_delete", callback, None)

    def basic_qos(self, prefetch_count: int) -> None:
        self.prefetch = prefetch_count

    def basic_consume(self, queue: str, came: Reply, *, callback: Reply) -> None:
        self.broker.consumers[queue] = (self, came)
        self._soon("basic_consume", callback, None)

    def add_callback(self, callback: Reply, _replies: list[Any], one_shot: bool) -> None:
        assert one_shot
        self._empty = callback

    def basic_get(self, queue: str, got: Reply) -> None:
        waiting = self.broker.queues[queue]
        if not waiting:
            self._soon("basic_get", self._empty, None)
            return
        message = waiting.pop(0)
        self._got.append((queue, message))
        body, headers = message
        method = SimpleNamespace(
            delivery_tag=len(self._got), redelivered=body in self.broker.delivered_before
        )
        self._soon("basic_get", got, self, method, SimpleNamespace(headers=headers), body)

    def basic_ack(self, tag: int, *, multiple: bool) -> None:
        assert multiple
        assert self.is_open
        self._got = self._got[tag:]
        self.broker.acknowledged.append(tag)

    def add_on_close_callback(self, callback: Reply) -> None:
        self._closed.append(callback)

    def add_on_cancel_callback(self, callback: Reply) -> None:
        self.cancelled = callback

    def add_on_return_callback(self, callback: Reply) -> None:
        self._returned.append(callback)

    def confirm_delivery(self, confirmed: Reply, *, callback: Reply) -> None:
        self.connection.confirming = confirmed
        self._soon("confirm_delivery", callback, None)

    def basic_publish(
        self, exchange: str, key: str, body: bytes, properties: pika.BasicProperties, *, mandatory: bool
    ) -> None:
        assert mandatory
        assert properties.delivery_mode == 2
        self.out += 1
        self.broker.published.append((exchange, key, body, properties))
        if exchange == "" and key not in self.broker.queues:
            for callback in self._returned:
                method = SimpleNamespace(routing_key=key, exchange=exchange)
                self._soon("basic_publish", callback, self, method, properties, body)
        if self.broker.answers is not None:
            self._soon(
                "basic_publish",
                lambda tag: self.broker.confirm(tag, nack=self.broker.answers == "nack"),
                self.out,
            )
