"""A result queue of RabbitMQ, read as messages come: what a hosted service streams results with.

One connection, a channel per task group (a queue that is missing closes its channel, and no other). Messages are
handled when they come; nothing here waits for a fixed time. What a handler has dealt with is acknowledged after it;
what it cannot read is rejected, and not queued again.

Owner: the results thread (`results`); ``wake`` may be called by any.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from compute_executor.errors import NotAuthorized, ServiceUnavailable

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

PREFETCH = 1000
"""Messages on their way to us that are not acknowledged: bounds memory, and is far above what one turn handles."""

PATIENCE = 10.0
"""Seconds for the connection and for each answer of the broker while connecting."""

Handler = Callable[[bytes, bool], bool]
"""Gets a message's body and whether it is marked as high assurance; False if it cannot be read."""


class QueueLost(ConnectionError):
    """The connection is gone, or could not be made; the message says how."""


class ResultQueueConsumer:
    """Open result queues. ``missing``: groups that have none."""

    def __init__(self, url: str, queues: dict[str, str], handle: Handler) -> None:
        """``queues``: name of the queue by group. Raises QueueLost."""
        import pika
        import pika.exceptions

        self._errors = pika.exceptions
        self._handle = handle
        self._tags: dict[int, tuple[Any, int]] = {}  # channel number: the channel, what to acknowledge of it
        self._names = queues
        self.missing: set[str] = set()
        self._connection: BlockingConnection = self._guarded(
            lambda: pika.BlockingConnection(_parameters(url))
        )
        try:
            for group in queues:
                self._consume(group)
        except BaseException:
            self.close()
            raise

    def turn(self, seconds: float) -> None:
        """Handle what comes, or wait so long for it. Raises QueueLost."""
        self._guarded(lambda: self._connection.process_data_events(time_limit=seconds))  # pyright: ignore[reportArgumentType] - any number, in fact
        self._acknowledge()

    def try_missing(self) -> None:
        """Look again for the queues that were not there. Raises QueueLost."""
        missing, self.missing = self.missing, set()
        for group in missing:
            self._consume(group)

    def wake(self) -> None:
        """End a turn early. Any thread."""
        with contextlib.suppress(self._errors.AMQPError):  # closed: nobody is waiting
            self._connection.add_callback_threadsafe(lambda: None)

    def close(self) -> None:
        """Say goodbye; what is not acknowledged stays in the queue."""
        with contextlib.suppress(self._errors.AMQPError, OSError):
            self._connection.close()

    def _consume(self, group: str) -> None:
        queue = self._names[group]
        channel: BlockingChannel = self._guarded(self._connection.channel)
        try:
            channel.add_on_cancel_callback(lambda _: self.missing.add(group))  # the queue was deleted
            channel.basic_qos(prefetch_count=PREFETCH)
            channel.basic_consume(queue, self._message)
        except self._errors.ChannelClosedByBroker:
            self.missing.add(group)
        except (self._errors.AMQPError, OSError) as error:
            raise QueueLost(f"the broker does not let us read {queue}: {error!r}") from error

    def _message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        assured = bool((properties.headers or {}).get("high_assurance"))
        if self._handle(body, assured):
            self._tags[channel.channel_number] = (channel, method.delivery_tag)
        else:
            channel.basic_reject(method.delivery_tag, requeue=False)

    def _acknowledge(self) -> None:
        """Acknowledge all that this turn has handled: messages of a channel are numbered in the order in which they
        came."""
        tags, self._tags = self._tags, {}
        for channel, tag in tags.values():
            self._guarded(functools.partial(channel.basic_ack, tag, multiple=True))

    def _guarded(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except (self._errors.AMQPError, OSError) as error:
            raise QueueLost(f"{type(error).__name__}: {error}") from error


def _parameters(url: str) -> Any:
    import pika

    parameters = pika.URLParameters(url)
    parameters.socket_timeout = PATIENCE
    parameters.stack_timeout = PATIENCE
    parameters.blocked_connection_timeout = PATIENCE
    parameters.connection_attempts = 1
    return parameters


def check(url: str, service: str) -> None:
    """Raise if credentials would go over the net in clear although the service itself is spoken to in secret."""
    scheme = urlsplit(url).scheme
    if scheme not in ("amqp", "amqps"):
        raise ServiceUnavailable(f"the service names a broker at {scheme}://..., which is not AMQP")
    if scheme == "amqp" and urlsplit(service).scheme == "https":
        raise NotAuthorized(
            "the service names a broker without TLS (amqp://): its password is not sent there"
        )


def with_port(url: str, port: int) -> str:
    """Return the same broker by another port.

    >>> with_port("amqps://user:secret@broker.example.org:5671/vhost?heartbeat=30", 443)
    'amqps://user:secret@broker.example.org:443/vhost?heartbeat=30'
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    secret, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{secret}{at}{place}").geturl()


def named(groups: Iterable[str], prefix: str) -> dict[str, str]:
    """Return the queue of each group."""
    return {group: f"{prefix}{group}" for group in groups}
