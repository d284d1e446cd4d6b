"""The service that a session speaks to: where it is, what opens it, and one HTTP request to it.

HTTP is for what is rare on our path (large bodies, and everything while the stream is down), so one connection
per request of the standard library is enough here.
"""

from __future__ import annotations

import enum
import json
import threading
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from compute_executor._version import __version__
from compute_executor.errors import InvalidRequest, NotFound, ServiceUnavailable, from_document
from compute_executor.serialization.python_versions import Versions

if TYPE_CHECKING:
    import http.client

    from compute_executor.sdk.client import Client

MSGPACK = "application/msgpack"
OCTETS = "application/octet-stream"
NO_ENDPOINT = (
    "endpoint_id is missing: Globus Compute has no endpoint of its own. Say Executor(endpoint_id=...)"
)
PATIENCE = 20.0
"""Seconds that the service may take to answer a request."""


class ServiceEndpoint(NamedTuple):
    """A service at this moment. Its ``authorization`` is shown to nobody."""

    url: str
    authorization: str

    def __repr__(self) -> str:
        return f"Address(url={self.url!r}, authorization=...)"


class EndpointKind(enum.Enum):
    """Who runs what is submitted, which decides how it travels."""

    OURS = "workers of this package, at a service of this package"
    STOCK = "a stock Globus Compute endpoint at a service of this package"
    HOSTED = "an endpoint at a service that is not of this package: Globus Compute's own"


class ServiceLocator(Protocol):
    """Whoever knows the address. May block, start a service, renew a token; raises ComputeError."""

    def address(self) -> ServiceEndpoint:
        """The address, looked up anew."""
        ...

    def renewed(self, refused: ServiceEndpoint) -> ServiceEndpoint | None:
        """The address after its authorization was refused, with another one; None if there is no other."""
        ...

    def kind(self, endpoint: bytes) -> EndpointKind:
        """Who runs the tasks of this endpoint."""
        ...

    def client(self) -> Client:
        """The Client of a hosted service."""
        ...


class EmbeddedLocator:
    """This user's local service, started when there is none."""

    def address(self) -> ServiceEndpoint:
        """Where it listens now."""
        from compute_executor.local.embedded import find_or_start

        found = find_or_start()
        return ServiceEndpoint(found.url, f"Bearer {found.token}")

    def renewed(self, refused: ServiceEndpoint) -> ServiceEndpoint | None:
        """That of the service which has taken its place, if one has."""
        return _another(self.address(), refused)

    def kind(self, endpoint: bytes) -> EndpointKind:  # noqa: ARG002 - the interface's
        """Its own workers, whatever the endpoint is called: it has no others."""
        return EndpointKind.OURS

    def client(self) -> Client:
        """Nobody asks: it is not hosted."""
        raise InvalidRequest("this user's local service is no hosted one")


class ClientLocator:
    """The service of a Client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._versions = Versions()

    def address(self) -> ServiceEndpoint:
        """What the client says."""
        if self._client.hosted:
            raise InvalidRequest(NO_ENDPOINT)
        return ServiceEndpoint(self._client.address(), self._client.authorization() or "")

    def renewed(self, refused: ServiceEndpoint) -> ServiceEndpoint | None:
        """By a request: one that is refused has the client log in again."""
        self._client.look()
        return _another(self.address(), refused)

    def kind(self, endpoint: bytes) -> EndpointKind:
        """Found out by asking the service, and of one of ours its endpoint."""
        if not self._client.is_own_service():
            return EndpointKind.HOSTED
        endpoint_id = uuid.UUID(bytes=endpoint)
        document = self._client.get_endpoint_metadata(endpoint_id)
        if document.get("built_in"):
            return EndpointKind.OURS
        self._versions.check(str(endpoint_id), document)  # before anything is sent that they may not read
        return EndpointKind.STOCK

    def client(self) -> Client:
        """The client itself."""
        return self._client


class LoginLocator:
    """The service of whoever is logged in: what ``Client()`` means. The Client is made when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: ClientLocator | None = None

    def address(self) -> ServiceEndpoint:
        """What the Client says."""
        return self._peer().address()

    def renewed(self, refused: ServiceEndpoint) -> ServiceEndpoint | None:
        """As of any Client."""
        return self._peer().renewed(refused)

    def kind(self, endpoint: bytes) -> EndpointKind:
        """Found out as of any Client; without a login only this user's own service can be asked."""
        try:
            return self._peer().kind(endpoint)
        except NotFound as error:
            raise NotFound(
                f"{error}. Nobody is logged in to Globus Compute here, so this user's own service was asked: run "
                "`compute-executor login`, or pass client=Client(base_url=...)"
            ) from None

    def client(self) -> Client:
        """The Client."""
        return self._peer().client()

    def _peer(self) -> ClientLocator:
        with self._lock:
            if self._found is None:
                from compute_executor.sdk.client import Client

                self._found = ClientLocator(Client())
            return self._found


def _another(found: ServiceEndpoint, refused: ServiceEndpoint) -> ServiceEndpoint | None:
    return found if found.authorization != refused.authorization else None


def request(
    address: ServiceEndpoint,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    kind: str = MSGPACK,
    headers: dict[str, str] | None = None,
    patience: float = PATIENCE,
) -> bytes:
    """The body of the answer. Raises the ComputeError that the answer describes, or ServiceUnavailable."""
    import http.client  # 10 ms, which a program on the service's own machine never needs

    sent = {
        "Authorization": address.authorization,
        "User-Agent": f"compute-executor/{__version__}",
        "Accept": MSGPACK,
        **({"Content-Type": kind} if body is not None else {}),
        **(headers or {}),
    }
    connection = _connection(address.url, patience)
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServiceUnavailable(f"{method} {path} at {address.url} failed: {error!r}") from error
    finally:
        connection.close()
    if answer.status >= 300:
        raise _refusal(answer.status, content, f"{method} {path}")
    return content


def _connection(url: str, patience: float) -> http.client.HTTPConnection:
    import http.client

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "localhost", parts.port, timeout=patience)


def _refusal(status: int, content: bytes, what: str) -> Exception:
    try:
        document: Any = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {"reason": f"{what} was answered with HTTP {status}"}
    if status == 404 and "name" not in document:
        return NotFound(str(document.get("reason", what)))
    return from_document(document, http_status=status)
