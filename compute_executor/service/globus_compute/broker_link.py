"""One connection to the broker, made again for as long as it is wanted. pika on the service's own loop.

    start -> connecting -> topology declared -> opened() -> ... -> closed() -> pause -> connecting

Three kinds of channels: one to publish on (confirmed by the broker), the *query channel* to declare and inspect
queues on (an error closes its channel, so queries have their own), one for each consumer. When the broker closes one
of the others, or ends a consumer because its queue was deleted, the connection is made again, and with it all that
was deleted. Nothing blocks; all callbacks come on the loop thread, which owns it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from compute_executor.backoff import Backoff
from compute_executor.errors import (
    BrokerUnconfirmed,
    BrokerUnroutable,
    InvalidRequest,
    QueueMissing,
    ServiceUnavailable,
)
from compute_executor.service.globus_compute import names
from compute_executor.service.globus_compute.log_limit import limited_logger
from compute_executor.service.store.committer import settle

if TYPE_CHECKING:  # 30 ms at each start of a service, and only one that has a broker needs it
    import pika
    from pika.adapters.asyncio_connection import AsyncioConnection
    from pika.channel import Channel

log: logging.Logger = limited_logger(__name__)

_T = TypeVar("_T")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds before the connection is tried again: doubled each time, and shortened at random by up to a half."""
PREFETCH = 500
"""Messages that the broker may send before earlier ones are acknowledged."""
PATIENCE = 20.0
"""Seconds that the broker may take to answer."""
CLOSE_PATIENCE = 2.0
"""Seconds that the broker may take to answer when we leave: a service that is told to end does not wait for it."""
NOT_FOUND = 404
"""Why the broker closes a channel on which something is asked about a queue that is not there."""


class QueueDepth(NamedTuple):
    """The state of a queue: messages that wait, and consumers."""

    ready: int
    consumers: int


class WaitingMessage(NamedTuple):
    """A message in a queue. ``redelivered``: a consumer has had it before and ended without acknowledging it."""

    headers: dict[str, Any]
    redelivered: bool


class Delivery(NamedTuple):
    """A message that came, with its routing key. ``done`` acknowledges it and all before it of its queue."""

    body: bytes
    key: str
    done: Callable[[], None]


class BrokerLink:
    """``opened`` is called when queues can be used, ``closed`` when they cannot any more; ``consumers``: what is
    called with each message of a queue."""

    def __init__(
        self,
        url: str,
        loop: asyncio.AbstractEventLoop,
        *,
        opened: Callable[[], None],
        closed: Callable[[], None],
        consumers: dict[str, Callable[[Delivery], None]],
    ) -> None:
        self._parameters = _parameters(url)
        self._loop = loop
        self._on_opened = opened
        self._on_closed = closed
        self._consumers = consumers
        self._connection: AsyncioConnection | None = None
        self._out: Channel | None = None
        self._unconfirmed: OrderedDict[int, asyncio.Future[None]] = OrderedDict()
        self._published = 0
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._timer: asyncio.TimerHandle | None = None
        self._setup: asyncio.Task[None] | None = None
        self._ending: asyncio.Future[None] | None = None
        self._querying = asyncio.Lock()
        self._query_channel: Channel | None = None
        self._query: asyncio.Future[Any] | None = None  # an error closes the query channel
        self.open: bool = False
        self.blocked: bool = False
        self.trouble: str = "not connected yet"

    # -- connecting ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and stay so."""
        from pika.adapters.asyncio_connection import AsyncioConnection

        self._timer = None
        self._connection = AsyncioConnection(
            self._parameters,
            on_open_callback=self._connected,
            on_open_error_callback=self._lost,  # pyright: ignore[reportArgumentType] - of our own connection class
            on_close_callback=self._lost,  # pyright: ignore[reportArgumentType]
            custom_ioloop=self._loop,
        )

    async def close(self) -> None:
        """Disconnect, for good."""
        self._ending = self._loop.create_future()
        if self._timer is not None:
            self._timer.cancel()
        elif self._connection is not None and not self._connection.is_closed:
            if not self._connection.is_closing:
                self._connection.close()
            await asyncio.wait([self._ending], timeout=CLOSE_PATIENCE)
        if self._setup is not None:
            self._setup.cancel()
            await asyncio.gather(self._setup, return_exceptions=True)

    def _connected(self, connection: AsyncioConnection) -> None:
        connection.add_on_connection_blocked_callback(lambda *_: self._block(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._block(False))
        self._setup = self._loop.create_task(self._set_up())

    def _block(self, blocked: bool) -> None:
        log.warning("the broker %s messages", "takes no" if blocked else "takes")
        self.blocked = blocked
        if not blocked and self.open:
            self._on_opened()

    async def _set_up(self) -> None:
        try:
            self._out = await self._channel()
            await self._declare_exchanges(self._out)
            await self._ask(lambda done: self._confirming(self._out, done))
            for queue, callback in self._consumers.items():
                await self._consume(queue, callback)
        except Exception as error:  # whatever it is, the next connection tries again
            log.warning("the broker cannot be used: %s", error)
            if self._connection is not None and self._connection.is_open:
                self._connection.close()
            return
        self.open, self.blocked, self.trouble = True, False, ""
        self._backoff.succeeded()
        log.info("connected to the broker at %s:%s", self._parameters.host, self._parameters.port)
        self._on_opened()

    def _lost(self, _connection: AsyncioConnection, error: Exception | str) -> None:
        was_open, self.open = self.open, False
        self.trouble = _words(error)
        self._out = self._query_channel = None
        waiting, self._unconfirmed = self._unconfirmed, OrderedDict()
        self._published = 0
        for future in waiting.values():
            settle(future, None, BrokerUnconfirmed(f"the broker was lost: {self.trouble}"))
        if was_open:
            self._on_closed()
        if self._ending is not None:
            settle(self._ending, None, None)
            return
        pause = self._backoff.failed(random.random())
        log.warning("no connection to the broker: %s; tried again in %.1f s", self.trouble, pause)
        self._timer = self._loop.call_later(pause, self.start)

    async def _ask(self, send: Callable[[Callable[[Any], None]], Any]) -> Any:
        """Send a question and return the broker's answer; ``send`` is given the callback."""
        self._query = answer = self._loop.create_future()
        send(lambda frame: settle(answer, frame, None))
        return await _answered(answer)

    async def _channel(self) -> Channel:
        connection = self._connection
        if connection is None or not connection.is_open:
            raise ServiceUnavailable(f"there is no connection to the broker: {self.trouble}")
        channel: Channel = await self._ask(lambda done: connection.channel(on_open_callback=done))
        return channel

    # -- queues -------------------------------------------------------------------------------------------

    async def _declare_exchanges(self, channel: Channel) -> None:
        kinds = {names.TASKS: "direct", names.RESULTS: "topic", names.HEARTBEATS: "topic"}
        for exchange, kind in kinds.items():
            await self._ask(functools.partial(_declare_exchange, channel, exchange, kind))
        for queue in (names.RESULTS, names.HEARTBEATS):
            await self._declare(channel, queue, {}, (queue, names.bindings(queue)))

    async def _declare(
        self, channel: Channel, queue: str, arguments: dict[str, Any], binding: tuple[str, str] | None
    ) -> None:
        await self._ask(
            lambda done: channel.queue_declare(queue, durable=True, arguments=arguments, callback=done)
        )
        if binding is not None:
            exchange, key = binding
            await self._ask(lambda done: channel.queue_bind(queue, exchange, key, callback=done))

    async def declare(
        self, queue: str, arguments: dict[str, Any] | None = None, binding: tuple[str, str] | None = None
    ) -> None:
        """Create this durable queue if it is missing, bound to (exchange, key). Raises ServiceUnavailable."""
        async with self._querying:
            await self._declare(await self._queries(), queue, arguments or {}, binding)

    async def delete(self, queue: str) -> None:
        """Delete a queue; one that is missing is no error. Raises ServiceUnavailable."""
        async with self._querying:
            channel = await self._queries()
            await self._ask(lambda done: channel.queue_delete(queue, callback=done))

    async def inspect(self, queue: str) -> QueueDepth:
        """Return the state of a queue. Raises QueueMissing, ServiceUnavailable."""
        async with self._querying:
            channel = await self._queries()
            frame = await self._ask(lambda done: channel.queue_declare(queue, passive=True, callback=done))
        return QueueDepth(frame.method.message_count, frame.method.consumer_count)

    async def _queries(self) -> Channel:
        if self._query_channel is None or not self._query_channel.is_open:
            self._query_channel = await self._channel()
            self._query_channel.add_on_close_callback(self._query_channel_closed)
        return self._query_channel

    def _query_channel_closed(self, _channel: Channel, error: Exception) -> None:
        if self._query is not None:
            settle(self._query, None, _refused(error))

    async def _consume(self, queue: str, callback: Callable[[Delivery], None]) -> None:
        channel = await self._channel()
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.add_on_cancel_callback(lambda _frame: self._start_over(f"queue {queue} was deleted"))
        channel.add_on_close_callback(self._channel_closed)

        def came(channel: Channel, method: Any, _properties: Any, body: bytes) -> None:
            callback(Delivery(body, method.routing_key, lambda: _acknowledge(channel, method.delivery_tag)))

        await self._ask(lambda done: channel.basic_consume(queue, came, callback=done))

    async def peek(self, queue: str) -> list[WaitingMessage] | None:
        """List the messages that wait in a queue, first to last; they stay there. None if a consumer is there, which
        may have more. Note that they count as redelivered from then on. Raises QueueMissing, ServiceUnavailable."""
        return await self._read_all(queue, take=False)

    async def drain(self, queue: str) -> list[WaitingMessage] | None:
        """Take all messages out of a queue, first to last; None, and nothing is taken, if a consumer is there.
        Raises QueueMissing, ServiceUnavailable."""
        return await self._read_all(queue, take=True)

    async def _read_all(self, queue: str, *, take: bool) -> list[WaitingMessage] | None:
        if (await self.inspect(queue)).consumers:
            return None
        channel = await self._channel()
        found: list[WaitingMessage] = []
        last = 0
        try:
            while (got := await self._get(channel, queue)) is not None:
                last, message = got
                found.append(message)
            if take and found:
                _acknowledge(channel, last)
            return found
        finally:
            if channel.is_open:
                channel.close()  # what is not acknowledged goes back to its place

    async def _get(self, channel: Channel, queue: str) -> tuple[int, WaitingMessage] | None:
        from pika.spec import Basic

        answer: asyncio.Future[tuple[int, WaitingMessage] | None] = self._loop.create_future()

        def got(_channel: Channel, method: Any, properties: Any, _body: bytes) -> None:
            message = WaitingMessage(properties.headers or {}, bool(method.redelivered))
            settle(answer, (method.delivery_tag, message), None)

        channel.add_on_close_callback(lambda _channel, error: settle(answer, None, _refused(error)))
        channel.add_callback(lambda _frame: settle(answer, None, None), [Basic.GetEmpty], one_shot=True)
        channel.basic_get(queue, got)
        return await _answered(answer)

    # -- publishing ---------------------------------------------------------------------------------------

    def publish(
        self, exchange: str, key: str, body: bytes, properties: pika.BasicProperties
    ) -> asyncio.Future[None]:
        """Send a message; the future is done when the broker has it.

        Its exception: BrokerUnconfirmed, BrokerUnroutable.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        if not self.open or self._out is None:
            future.set_exception(BrokerUnconfirmed(f"there is no connection to the broker: {self.trouble}"))
            return future
        self._published += 1
        properties.message_id = str(self._published)
        properties.delivery_mode = 2
        self._unconfirmed[self._published] = future
        self._out.basic_publish(exchange, key, body, properties, mandatory=True)
        return future

    def _confirming(self, channel: Channel | None, done: Callable[[Any], None]) -> None:
        assert channel is not None
        channel.add_on_return_callback(self._returned)
        channel.add_on_close_callback(self._channel_closed)
        channel.confirm_delivery(self._confirmed, callback=done)

    def _confirmed(self, frame: Any) -> None:
        from pika.spec import Basic

        tag, refused = frame.method.delivery_tag, isinstance(frame.method, Basic.Nack)
        error = BrokerUnconfirmed("the broker refused a message") if refused else None
        if not frame.method.multiple:
            self._settle(tag, error)
            return
        while self._unconfirmed and next(iter(self._unconfirmed)) <= tag:
            self._settle(next(iter(self._unconfirmed)), error)

    def _settle(self, tag: int, error: Exception | None) -> None:
        future = self._unconfirmed.pop(tag, None)
        if future is not None:
            settle(future, None, error)

    def _returned(self, _channel: Channel, method: Any, properties: Any, _body: bytes) -> None:
        error = BrokerUnroutable(
            f"there is no queue for {method.routing_key!r} at exchange {method.exchange!r}"
        )
        self._settle(int(properties.message_id), error)

    def _channel_closed(self, _channel: Channel, error: Exception) -> None:
        """Connect again: we sent something wrong, an exchange was deleted, or the broker's disk is full."""
        self._start_over(f"the broker closed our channel: {error}")

    def _start_over(self, why: str) -> None:
        if self.open and self._connection is not None and self._connection.is_open:
            log.warning("%s; connecting to the broker again", why)
            self._connection.close()


async def _answered(answer: asyncio.Future[_T]) -> _T:
    """Wait for an answer of the broker. `asyncio.wait`, because `wait_for` loses a cancellation that comes together
    with the answer (before Python 3.12)."""
    await asyncio.wait([answer], timeout=PATIENCE)
    if not answer.done():
        answer.cancel()
        raise ServiceUnavailable(f"the broker has not answered for {PATIENCE:.0f} s")
    return answer.result()


def _refused(error: Exception) -> ServiceUnavailable:
    if getattr(error, "reply_code", None) == NOT_FOUND:
        return QueueMissing(f"the broker has no such queue: {_words(error)}")
    return ServiceUnavailable(f"the broker refuses: {_words(error)}")


def _declare_exchange(channel: Channel, exchange: str, kind: str, done: Callable[[Any], None]) -> None:
    channel.exchange_declare(exchange, kind, durable=True, callback=done)


def _acknowledge(channel: Channel, tag: int) -> None:
    if channel.is_open:
        channel.basic_ack(tag, multiple=True)


def _parameters(url: str) -> pika.URLParameters:
    """Raise InvalidRequest, without the password that may be in it."""
    import pika

    try:
        parameters = pika.URLParameters(url)
    except Exception:
        raise InvalidRequest(
            "the broker's address must look like amqp://user:password@host:port/vhost"
        ) from None
    parameters.client_properties = {"connection_name": "compute-executor"}
    return parameters


def _words(error: Any) -> str:
    """Return what went wrong. pika wraps it, in errors that say nothing themselves."""
    while (inner := _wrapped(error)) is not None:
        error = inner
    return str(error) or type(error).__name__


def _wrapped(error: Any) -> Any:
    for name in ("exceptions", "exception", "args"):
        value = getattr(error, name, None)
        found = value[-1] if isinstance(value, (list, tuple)) and value else value
        if isinstance(found, Exception):
            return found
    return None
