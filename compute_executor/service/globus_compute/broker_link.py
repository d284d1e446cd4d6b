"""One connection to the broker, made again for as long as it is wanted. pika on the service's own loop.

    start -> connecting -> topology declared -> opened() -> ... -> closed() -> pause -> connecting

Three channels: one to publish on (confirmed by the broker), one to look at queues on (an error closes a channel, so
looking has its own), one for each consumer. Nothing blocks; all callbacks come on the loop thread, which owns it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from compute_executor.errors import BrokerUnconfirmed, BrokerUnroutable, InvalidRequest, ServiceUnavailable
from compute_executor.service.globus_compute import names
from compute_executor.service.store.committer import settle

if TYPE_CHECKING:  # 30 ms at each start of a service, and only one that has a broker needs it
    import pika
    from pika.adapters.asyncio_connection import AsyncioConnection
    from pika.channel import Channel

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds before the connection is tried again: doubled each time, and shortened at random by up to a half."""
PREFETCH = 500
"""Messages that the broker may send before earlier ones are acknowledged."""
PATIENCE = 20.0
"""Seconds that the broker may take to answer."""


class QueueDepth(NamedTuple):
    """What is seen of a queue: messages that wait, and consumers."""

    ready: int
    consumers: int


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
        self._pause = FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._setup: asyncio.Task[None] | None = None
        self._ending: asyncio.Future[None] | None = None
        self._looking = asyncio.Lock()
        self._eye: Channel | None = None
        self._asked: asyncio.Future[Any] | None = None  # by the eye, which is closed for a wrong question
        self.open = False
        self.blocked = False
        self.trouble = "not connected yet"

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
            if self._connection.is_open:
                self._connection.close()
            await asyncio.wait([self._ending], timeout=PATIENCE)
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
            await self._told(lambda done: self._confirming(self._out, done))
            for queue, callback in self._consumers.items():
                await self._consume(queue, callback)
        except Exception as error:  # whatever it is, the next connection tries again
            log.warning("the broker cannot be used: %s", error)
            if self._connection is not None and self._connection.is_open:
                self._connection.close()
            return
        self.open, self.blocked, self.trouble = True, False, ""
        self._pause = FIRST_PAUSE
        log.info("connected to the broker at %s:%s", self._parameters.host, self._parameters.port)
        self._on_opened()

    def _lost(self, _connection: AsyncioConnection, error: Exception | str) -> None:
        was_open, self.open = self.open, False
        self.trouble = _words(error)
        self._out = self._eye = None
        waiting, self._unconfirmed = self._unconfirmed, OrderedDict()
        self._published = 0
        for future in waiting.values():
            settle(future, None, BrokerUnconfirmed(f"the broker was lost: {self.trouble}"))
        if was_open:
            self._on_closed()
        if self._ending is not None:
            settle(self._ending, None, None)
            return
        log.warning("no connection to the broker: %s; tried again in %.1f s", self.trouble, self._pause)
        self._timer = self._loop.call_later(self._pause * random.uniform(0.5, 1.0), self.start)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _told(self, ask: Callable[[Callable[[Any], None]], Any]) -> Any:
        """The broker's answer to what ``ask`` sends; ``ask`` is given the callback."""
        self._asked = answer = self._loop.create_future()
        ask(lambda frame: settle(answer, frame, None))
        try:
            return await asyncio.wait_for(answer, PATIENCE)
        except asyncio.TimeoutError:
            raise ServiceUnavailable(f"the broker has not answered for {PATIENCE:.0f} s") from None

    async def _channel(self) -> Channel:
        connection = self._connection
        if connection is None or not connection.is_open:
            raise ServiceUnavailable(f"there is no connection to the broker: {self.trouble}")
        channel: Channel = await self._told(lambda done: connection.channel(on_open_callback=done))
        return channel

    # -- queues -------------------------------------------------------------------------------------------

    async def _declare_exchanges(self, channel: Channel) -> None:
        kinds = {names.TASKS: "direct", names.RESULTS: "topic", names.HEARTBEATS: "topic"}
        for exchange, kind in kinds.items():
            await self._told(functools.partial(_declare_exchange, channel, exchange, kind))
        for queue in (names.RESULTS, names.HEARTBEATS):
            await self._declare(channel, queue, {}, (queue, names.bindings(queue)))

    async def _declare(
        self, channel: Channel, queue: str, arguments: dict[str, Any], binding: tuple[str, str] | None
    ) -> None:
        await self._told(
            lambda done: channel.queue_declare(queue, durable=True, arguments=arguments, callback=done)
        )
        if binding is not None:
            exchange, key = binding
            await self._told(lambda done: channel.queue_bind(queue, exchange, key, callback=done))

    async def declare(
        self, queue: str, arguments: dict[str, Any] | None = None, binding: tuple[str, str] | None = None
    ) -> None:
        """There is this durable queue, bound to (exchange, key). Raises ServiceUnavailable."""
        async with self._looking:
            await self._declare(await self._eyes(), queue, arguments or {}, binding)

    async def delete(self, queue: str) -> None:
        """There is no such queue any more. Raises ServiceUnavailable."""
        async with self._looking:
            channel = await self._eyes()
            await self._told(lambda done: channel.queue_delete(queue, callback=done))

    async def purge(self, queue: str) -> None:
        """Drop all messages that wait in a queue. Raises ServiceUnavailable."""
        async with self._looking:
            channel = await self._eyes()
            await self._told(lambda done: channel.queue_purge(queue, callback=done))

    async def look(self, queue: str) -> QueueDepth:
        """What is seen of a queue. Raises ServiceUnavailable, also if there is no such queue."""
        async with self._looking:
            channel = await self._eyes()
            frame = await self._told(lambda done: channel.queue_declare(queue, passive=True, callback=done))
        return QueueDepth(frame.method.message_count, frame.method.consumer_count)

    async def _eyes(self) -> Channel:
        if self._eye is None or not self._eye.is_open:
            self._eye = await self._channel()
            self._eye.add_on_close_callback(self._eye_closed)
        return self._eye

    def _eye_closed(self, _channel: Channel, error: Exception) -> None:
        if self._asked is not None:
            settle(self._asked, None, ServiceUnavailable(f"the broker refuses: {_words(error)}"))

    async def _consume(self, queue: str, callback: Callable[[Delivery], None]) -> None:
        channel = await self._channel()
        channel.basic_qos(prefetch_count=PREFETCH)

        def came(channel: Channel, method: Any, _properties: Any, body: bytes) -> None:
            callback(Delivery(body, method.routing_key, lambda: _acknowledge(channel, method.delivery_tag)))

        await self._told(lambda done: channel.basic_consume(queue, came, callback=done))

    async def peek(self, queue: str) -> list[dict[str, Any]] | None:
        """The headers of all messages that wait in a queue, first to last. They stay there. None if somebody
        consumes it, so that this says nothing. Raises ServiceUnavailable."""
        if (await self.look(queue)).consumers:
            return None
        channel = await self._channel()
        found: list[dict[str, Any]] = []
        try:
            while (headers := await self._get(channel, queue)) is not None:
                found.append(headers)
            return found
        finally:
            if channel.is_open:
                channel.close()  # what it had got goes back to its place

    async def _get(self, channel: Channel, queue: str) -> dict[str, Any] | None:
        from pika.spec import Basic

        answer: asyncio.Future[dict[str, Any] | None] = self._loop.create_future()

        def got(_channel: Channel, _method: Any, properties: Any, _body: bytes) -> None:
            settle(answer, properties.headers or {}, None)

        channel.add_callback(lambda _frame: settle(answer, None, None), [Basic.GetEmpty], one_shot=True)
        channel.basic_get(queue, got)
        return await asyncio.wait_for(answer, PATIENCE)

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
        channel.add_on_close_callback(self._out_closed)
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

    def _out_closed(self, _channel: Channel, error: Exception) -> None:
        """Something that we did was wrong, or the broker's disk is full: everything anew."""
        if self.open and self._connection is not None and self._connection.is_open:
            log.warning("the broker closed our channel: %s", error)
            self._connection.close()


def _declare_exchange(channel: Channel, exchange: str, kind: str, done: Callable[[Any], None]) -> None:
    channel.exchange_declare(exchange, kind, durable=True, callback=done)


def _acknowledge(channel: Channel, tag: int) -> None:
    if channel.is_open:
        channel.basic_ack(tag, multiple=True)


def _parameters(url: str) -> pika.URLParameters:
    """Raises InvalidRequest, without the password that may be in it."""
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
    """What went wrong. pika wraps it, in errors that say nothing themselves."""
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
