"""Which service a session speaks to: its HTTP API, and what kinds of endpoints it has."""

from __future__ import annotations

import threading
import uuid
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.local import config
from compute_executor.protocol.endpoint_kind import EndpointKind, kind_of
from compute_executor.sdk.http.direct import DirectTransport, embedded_address
from compute_executor.sdk.http.requests import ApiClient
from compute_executor.sdk.login_manager.environments import BUILT_IN_ENDPOINT, TUTORIAL_ENDPOINT
from compute_executor.sdk.own_api import OwnApi
from compute_executor.serialization.python_versions import Versions

if TYPE_CHECKING:
    from compute_executor.sdk.client import Client

NO_ENDPOINT = (
    "endpoint_id is missing: Globus Compute has no endpoint of its own. Say Executor(endpoint_id=...)"
)


class ServiceLocator(Protocol):
    """Finds a service and its credentials. May block, start a service, renew a token; raises ComputeError."""

    def api(self) -> OwnApi:
        """Return the HTTP API of a service of this package: always the same object."""
        ...

    @property
    def hosted(self) -> bool:
        """Whether it is known, without asking, that the service is no one of this package."""
        ...

    def kind(self, endpoint: bytes) -> EndpointKind:
        """Return who runs the tasks of this endpoint."""
        ...

    def endpoint_named(self, name: str) -> bytes:
        """Return the id of the endpoint of this package that has this name on the service. Raises NotFound."""
        ...

    def client(self) -> Client:
        """Return a Client of the service."""
        ...

    def borrowed_client(self) -> AbstractContextManager[Client]:
        """Return a Client of the service for one use, after which one that was given is as open as before."""
        ...


class EmbeddedLocator:
    """This user's local service, started when there is none."""

    hosted: bool = False

    def __init__(self) -> None:
        self._api = OwnApi(ApiClient(DirectTransport(embedded_address)))
        self._versions = Versions()

    def api(self) -> OwnApi:
        """Return its API."""
        return self._api

    def kind(self, endpoint: bytes) -> EndpointKind:
        """Return its own workers, or an endpoint that has connected to it."""
        text = str(uuid.UUID(bytes=endpoint))
        if text in (BUILT_IN_ENDPOINT, TUTORIAL_ENDPOINT):
            return EndpointKind.OURS
        try:
            found = self._api.find_endpoint(text)
        finally:
            self._api.close()
        self._versions.check(text, {"python_version": found.python})
        return EndpointKind.AGENT

    def endpoint_named(self, name: str) -> bytes:
        """Looked up there. The connection is not kept: an Executor that is never used is never shut down."""
        try:
            return self._api.endpoint_named(name)
        finally:
            self._api.close()

    def client(self) -> Client:
        """Make a Client with the service's own token."""
        from compute_executor.sdk.client import Client  # 30 ms, and only what is rare needs it

        found = embedded_address()
        return Client(base_url=found.url, token=found.token)

    def borrowed_client(self) -> AbstractContextManager[Client]:
        """Return a Client with the service's own token."""
        return self.client()


class ClientLocator:
    """The service of a given Client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._api = client.own_api()
        self._versions = Versions()

    def api(self) -> OwnApi:
        """Return its API, under the Client's login."""
        if self._client.hosted:
            raise InvalidRequest(NO_ENDPOINT)
        return self._api

    @property
    def hosted(self) -> bool:
        """As the Client knows."""
        return self._client.hosted

    def kind(self, endpoint: bytes) -> EndpointKind:
        """Found out by asking the service, and of one of ours its endpoint."""
        if not self._client.is_own_service():
            return EndpointKind.HOSTED
        endpoint_id = uuid.UUID(bytes=endpoint)
        document = self._client.get_endpoint_metadata(endpoint_id)
        kind = kind_of(document)
        if kind is not EndpointKind.OURS:
            self._versions.check(str(endpoint_id), document)  # before anything is sent that they may not read
        return kind

    def endpoint_named(self, name: str) -> bytes:
        """Looked up there. Hosted services have no names that are unique."""
        if not self._client.is_own_service():
            raise InvalidRequest(
                f"{name!r} is no endpoint id: on Globus Compute's own service it must be a UUID"
            )
        return self._api.endpoint_named(name)

    def client(self) -> Client:
        """Return the client itself."""
        return self._client

    def borrowed_client(self) -> AbstractContextManager[Client]:
        """Return the client itself, which stays open."""
        return nullcontext(self._client)


class LoginLocator:
    """The service that ``Client(profile=profile)`` means, by the login of this user. The Client is made when it is
    first needed."""

    def __init__(self, profile: str | None = None) -> None:
        self._profile = profile
        self._lock = threading.Lock()
        self._found: ClientLocator | None = None

    def api(self) -> OwnApi:
        """As of any Client."""
        return self._peer().api()

    @property
    def hosted(self) -> bool:
        """As the Client knows."""
        return self._peer().client().hosted

    def kind(self, endpoint: bytes) -> EndpointKind:
        """Found out as of any Client; without a login only this user's own service can be asked."""
        try:
            return self._peer().kind(endpoint)
        except NotFound as error:
            raise NotFound(
                f"{error}. Nobody is logged in to Globus Compute here, so this user's own service was asked: run "
                "`compute-executor login`, or pass client=Client(base_url=...)"
            ) from None

    def endpoint_named(self, name: str) -> bytes:
        """Found out as of any Client."""
        return self._peer().endpoint_named(name)

    def client(self) -> Client:
        """Return the Client."""
        return self._peer().client()

    def borrowed_client(self) -> AbstractContextManager[Client]:
        """Return the Client."""
        return self._peer().borrowed_client()

    def _peer(self) -> ClientLocator:
        with self._lock:
            if self._found is None:
                from compute_executor.sdk.client import Client

                self._found = ClientLocator(Client(profile=self._profile))
            return self._found


def locator(client: Client | None, profile: str | None, *, own: bool) -> ServiceLocator:
    """Return the service of an Executor that was given these. ``own``: it is to run tasks in workers of its own.
    Raises InvalidRequest if there is no such profile."""
    if client is not None:
        return ClientLocator(client)
    if not own or config.find_profile(profile) is not None:
        return LoginLocator(profile)
    return EmbeddedLocator()
