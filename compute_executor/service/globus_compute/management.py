"""Users and permissions in RabbitMQ, made through its management interface (HTTP), where that can be reached.

Each endpoint, user endpoint and listening user gets a user of its own, that may read its own queue only, and publish
as itself only. Passwords are derived from a secret of the service, so that none is stored and all stay the same.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import re
import threading
import urllib.error
import urllib.request
import uuid
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from compute_executor.errors import ServiceUnavailable
from compute_executor.service.globus_compute import names
from compute_executor.service.store.committer import settle

log: logging.Logger = logging.getLogger(__name__)

PORT = 15672
PATIENCE = 10.0
MOST_OF_AN_ERROR = 500
"""Bytes of what the interface says of an error, that are told."""
"""Seconds that the management interface may take to answer."""


class BrokerRights(NamedTuple):
    """What a user may do: regular expressions for queues and exchanges, and routing keys by topic exchange."""

    write: str
    read: str
    topics: dict[str, str]


def endpoint_rights(endpoint: uuid.UUID) -> BrokerRights:
    """Of an endpoint: read its commands, send its heartbeats."""
    return BrokerRights(
        f"^{names.HEARTBEATS}$",
        _exactly(names.command_queue(endpoint)),
        {names.HEARTBEATS: _exactly(names.routing_key(endpoint, names.HEARTBEATS)), names.RESULTS: "^$"},
    )


def user_endpoint_rights(user_endpoint: uuid.UUID) -> BrokerRights:
    """Of a user endpoint: read its tasks, send its results and heartbeats."""
    return BrokerRights(
        f"^({names.RESULTS}|{names.HEARTBEATS})$",
        _exactly(names.task_queue(user_endpoint)),
        {
            exchange: _exactly(names.routing_key(user_endpoint, exchange))
            for exchange in (names.RESULTS, names.HEARTBEATS)
        },
    )


def listener_rights(owner: str) -> BrokerRights:
    """Of a user's SDKs: read that user's result queues."""
    return BrokerRights(
        "^$", f"^{re.escape(names.result_prefix(owner))}", {names.RESULTS: "^$", names.HEARTBEATS: "^$"}
    )


def _exactly(name: str) -> str:
    return f"^{re.escape(name)}$"


class BrokerCredentials:
    """The addresses that others are given. ``url``: the broker's with our own credentials; ``public``: as others
    see it, without credentials (None: as we do); ``management``: address of its interface."""

    def __init__(self, url: str, secret: bytes, *, public: str | None, management: str | None) -> None:
        self._own = urlsplit(url)
        self._public = urlsplit(public or url)
        self._secret = secret
        self._management = management or f"http://{self._own.hostname}:{PORT}"
        self._vhost = unquote(self._own.path[1:]) or "/"
        self._made: set[str] = set()
        self.separate: bool = False

    async def probe(self) -> None:
        """Find out whether users can be made; say so in the log."""
        try:
            await self._ask("GET", "/api/whoami")
            self.separate = True
            log.info("endpoints get credentials of their own through %s", self._management)
        except ServiceUnavailable as error:
            log.warning(
                "all endpoints and SDKs share the credentials of the service at the broker, and could read each "
                "other's messages: %s. Enable rabbitmq_management and give the service an administrator",
                error,
            )

    async def url(self, name: str, rights: BrokerRights) -> str:
        """Return the broker's address with credentials for ``name``. Raises ServiceUnavailable."""
        if not self.separate:
            return self._address(
                unquote(self._own.username or "guest"), unquote(self._own.password or "guest")
            )
        password = hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()
        if name not in self._made:
            await self._make(name, password, rights)
            self._made.add(name)
        return self._address(name, password)

    async def alarms(self) -> str:
        """Return why the broker takes no messages, by its own account; empty if it takes them, or cannot be asked."""
        if not self.separate:
            return ""
        try:
            await self._ask("GET", "/api/health/checks/alarms")
        except ServiceUnavailable as error:
            return str(error)
        return ""

    async def drop(self, name: str) -> None:
        """Note that there is no such user any more."""
        self._made.discard(name)
        if self.separate:
            try:
                await self._ask("DELETE", f"/api/users/{quote(name, safe='')}")
            except ServiceUnavailable as error:
                log.warning("user %s stays at the broker: %s", name, error)

    async def _make(self, name: str, password: str, rights: BrokerRights) -> None:
        user, vhost = quote(name, safe=""), quote(self._vhost, safe="")
        await self._ask("PUT", f"/api/users/{user}", {"password": password, "tags": ""})
        permissions = {"configure": "^$", "write": rights.write, "read": rights.read}
        await self._ask("PUT", f"/api/permissions/{vhost}/{user}", permissions)
        for exchange, keys in rights.topics.items():
            topic = {"exchange": exchange, "write": keys, "read": "^$"}
            await self._ask("PUT", f"/api/topic-permissions/{vhost}/{user}", topic)

    def _address(self, user: str, password: str) -> str:
        host, port = self._public.hostname or "localhost", self._public.port
        place = f"{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        path = self._public.path or "/%2F"
        return urlunsplit((self._public.scheme, f"{login}@{place}", path, self._public.query, ""))

    async def _ask(self, method: str, path: str, document: Any = None) -> None:
        """Raise ServiceUnavailable. In a thread that the end of the process does not wait for."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()

        def ask() -> None:
            error: Exception | None = None
            try:
                self._ask_now(method, path, document)
            except Exception as found:
                error = found
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, answer, None, error)

        threading.Thread(target=ask, name="broker management", daemon=True).start()
        await answer

    def _ask_now(self, method: str, path: str, document: Any) -> None:
        login = f"{unquote(self._own.username or 'guest')}:{unquote(self._own.password or 'guest')}"
        request = urllib.request.Request(
            self._management + path,
            data=json.dumps(document).encode() if document is not None else None,
            headers={
                "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
                "Content-Type": "application/json",
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                answer.read()
        except (OSError, ValueError) as error:
            words = str(error)
            if isinstance(error, urllib.error.HTTPError):
                with error:  # it holds the connection
                    words = f"{error} {error.read(MOST_OF_AN_ERROR).decode(errors='replace')}".strip()
            raise ServiceUnavailable(
                f"the broker's management interface at {self._management}: {words}"
            ) from None
