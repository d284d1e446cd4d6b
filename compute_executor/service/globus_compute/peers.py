"""The kind of stock Globus Compute endpoints, and what stock SDKs need of the broker. Owner: the loop thread."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from compute_executor.errors import ServiceUnavailable
from compute_executor.protocol.frames import Options
from compute_executor.service.access import Identity
from compute_executor.service.endpoints.registry import EndpointRegistration, Endpoints
from compute_executor.service.endpoints.rows import EndpointRow
from compute_executor.service.globus_compute import documents, management, names
from compute_executor.service.globus_compute.broker_link import BrokerLink
from compute_executor.service.globus_compute.engine import BrokerEngine
from compute_executor.service.globus_compute.heartbeats import is_online
from compute_executor.service.globus_compute.inbox import ResultInbox
from compute_executor.service.globus_compute.result_queues import ResultQueues
from compute_executor.service.globus_compute.task_writer import TaskWriter
from compute_executor.service.globus_compute.user_endpoints import UserEndpoints

if TYPE_CHECKING:
    from compute_executor.endpoint.pool.events import EngineEvents
    from compute_executor.service.blobs.references import BlobReferences
    from compute_executor.service.scheduling.dispatch import Dispatch
    from compute_executor.service.store.committer import Committer
    from compute_executor.service.store.reader import Reader
    from compute_executor.service.tasks.functions import Functions
    from compute_executor.service.tasks.groups import TaskGroups
    from compute_executor.service.tasks.outcomes import Outcomes

KIND = "globus_compute"
"""The name of this kind of endpoints in the store and in documents."""

_SECRET = "broker secret"


class BrokerSettings(NamedTuple):
    """Where the broker is. ``url``: amqp(s), with our credentials; ``public``: how endpoints and SDKs reach it, if
    otherwise; ``management``: http(s) address of its management interface, if not on port 15672 there."""

    url: str
    public: str | None = None
    management: str | None = None

    def __repr__(self) -> str:
        return "BrokerSettings(...)"


class GlobusCompute:
    """Stock Globus Compute endpoints, their user endpoints, and SDKs that listen to the broker; an
    `endpoints.remote_kind.RemoteKind`. ``registered``: called with the id of an endpoint that has registered;
    ``details``: what the workers that run tasks of a batch say of themselves, by its prefix."""

    takes_shared = False
    name = KIND

    def __init__(
        self,
        *,
        read: Reader,
        committer: Committer,
        dispatch: Dispatch,
        functions: Functions,
        groups: TaskGroups,
        outcomes: Outcomes,
        blobs: BlobReferences,
        events: EngineEvents,
        endpoints: Endpoints,
        registered: Callable[[uuid.UUID], object],
        details: Callable[[bytes], dict[str, Any] | None],
        settings: BrokerSettings | None,
    ) -> None:
        self._endpoints = endpoints
        self._registered = registered
        self._read = read
        self._committer = committer
        self._settings = settings
        self._link: BrokerLink | None = None
        self._credentials: management.BrokerCredentials | None = None
        self.users: UserEndpoints = UserEndpoints(read, committer)
        self.queues: ResultQueues = ResultQueues(read, committer, groups, blobs, details)
        self._inbox = ResultInbox(events, dispatch, outcomes, blobs, self.users)
        self.engine: BrokerEngine = BrokerEngine(
            events=events,
            dispatch=dispatch,
            committer=committer,
            endpoints=endpoints,
            users=self.users,
            tasks=TaskWriter(dispatch, functions, blobs),
            inbox=self._inbox,
        )

    # -- life ---------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """See RemoteKind."""
        self.engine.restore()

    async def start(self) -> None:
        """Connect to the broker, if there is one. Returns at once: it may come later."""
        if self._settings is None:
            return
        await self._committer.commit(_tidy)
        self._credentials = management.BrokerCredentials(
            self._settings.url,
            await self._secret(),
            public=self._settings.public,
            management=self._settings.management,
        )
        await self._credentials.probe()
        self._link = BrokerLink(
            self._settings.url,
            asyncio.get_running_loop(),
            opened=self._opened,
            closed=self.engine.closed,
            consumers={names.RESULTS: self._inbox.came, names.HEARTBEATS: self.engine.heartbeat},
        )
        self.engine.connect(self._link, self._user_endpoint_url)
        self.queues.connect(self._link)
        self._link.start()

    def _opened(self) -> None:
        self.engine.opened()
        self.queues.opened()

    async def _secret(self) -> bytes:
        found = self._read.rows("meta_value", (_SECRET,))
        if found:
            return bytes(found[0][0])
        secret = secrets.token_bytes(32)
        await self._committer.commit(lambda writer: writer.run("set_meta", (_SECRET, secret)))
        return secret

    async def close(self) -> None:
        """Leave the broker. What is not stored or not published stays there, or is done by the next service."""
        await self.engine.close()
        await self.queues.close()
        await self._inbox.close()
        if self._link is not None:
            await self._link.close()

    # -- for endpoints ------------------------------------------------------------------------------------

    async def register(
        self, who: Identity, said: EndpointRegistration, endpoint: uuid.UUID | None
    ) -> dict[str, Any]:
        """Return the registration document of an endpoint. Raises ServiceUnavailable, NotFound, EndpointLocked,
        InvalidRequest."""
        link, credentials = self._broker()
        row = await self._endpoints.register(who, KIND, said, endpoint)
        self._registered(row.id)
        await link.declare(names.command_queue(row.id))
        self.engine.parent_restarted(row.id)
        url = await credentials.url(str(row.id), management.endpoint_rights(row.id))
        return documents.registration(row.id, url)

    async def recalled(self, pool: bytes) -> None:
        """See RemoteKind. Stock endpoints give nothing back."""

    def bodies_deleted(self, names: list[str]) -> None:
        """See RemoteKind. Stock endpoints share no values."""

    def outcomes_stored(self) -> None:
        """See RemoteKind. Results are acknowledged one by one (`inbox`)."""

    async def deleted(self, endpoint: EndpointRow) -> None:
        """See RemoteKind. Its queues and credentials are deleted."""
        await self._drop_queues(names.command_queue(endpoint.id))
        for one in self.users.of(endpoint.id):
            self.engine.abandon(one, f"endpoint {endpoint.id} was deleted by its owner")
            await self._drop_queues(names.task_queue(one.row.id), names.log_queue(one.row.id))
            if self._credentials is not None:
                await self._credentials.drop(str(one.row.id))
        if self._credentials is not None:
            await self._credentials.drop(str(endpoint.id))

    async def _drop_queues(self, *queues: str) -> None:
        if self._link is not None and self._link.open:
            for queue in queues:
                await self._link.delete(queue)

    async def _user_endpoint_url(self, user_endpoint: uuid.UUID) -> str:
        _, credentials = self._broker()
        return await credentials.url(str(user_endpoint), management.user_endpoint_rights(user_endpoint))

    def _broker(self) -> tuple[BrokerLink, management.BrokerCredentials]:
        if self._link is None or self._credentials is None:
            raise ServiceUnavailable(
                "this service has no broker: stock endpoints and SDKs need one (compute-executor serve --amqp-url)"
            )
        return self._link, self._credentials

    # -- RemoteKind: pools --------------------------------------------------------------------------------

    def place(self, who: Identity, endpoint: EndpointRow, options: Options) -> bytes:
        """See RemoteKind. The pool is the user endpoint of this user and configuration."""
        return self.users.require(who, endpoint.id, options.user_endpoint_config, options.user_runtime)

    def endpoint_of(self, pool: bytes) -> uuid.UUID | None:
        """See RemoteKind."""
        one = self.users.get(pool)
        return one.row.endpoint if one is not None else None

    def online(self, endpoint: EndpointRow) -> bool:
        """See RemoteKind. By its heartbeats."""
        return is_online(endpoint.state, endpoint.seen, time.time())

    def versions(self, endpoint: EndpointRow) -> dict[str, str]:
        """See RemoteKind. A worker names them with its results."""
        named = next((one.row.details for one in self.users.of(endpoint.id) if one.row.details), {})
        return {name: str(named[name]) for name in ("python_version", "dill_version") if named.get(name)}

    def worker_details(self, pool: bytes) -> dict[str, Any] | None:
        """See RemoteKind."""
        one = self.users.get(pool)
        return (one.row.details or None) if one is not None else None

    def batch_finished(self, pool: bytes, batch: int) -> None:  # noqa: ARG002 - of any of its pools
        """See RemoteKind."""
        self._committer.soon(lambda writer: writer.run("drop_given", (batch,)), lambda _result, _error: None)

    # -- for SDKs -----------------------------------------------------------------------------------------

    async def result_address(self, who: Identity) -> dict[str, str]:
        """Return where results of ``who`` are published. Raises ServiceUnavailable."""
        _, credentials = self._broker()
        prefix = names.result_prefix(who.id)
        url = await credentials.url(prefix + "listener", management.listener_rights(who.id))
        return {"queue_prefix": prefix, "connection_url": url}

    async def broker_trouble(self) -> str:
        """Return why the broker takes no messages; empty if it takes them. Raises ServiceUnavailable."""
        link, credentials = self._broker()
        if not link.open:
            return f"the service has no connection to it: {link.trouble}"
        alarms = await credentials.alarms()
        return alarms or ("it takes no messages of the service" if link.blocked else "")


def _tidy(writer: Any) -> None:
    writer.run("drop_old_given")
    writer.run("drop_old_result_queues")
