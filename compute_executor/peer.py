"""The service that a session speaks to: where it is, what opens it, and one HTTP request to it.

HTTP is for what is rare on our path (large bodies, and everything while the stream is down), so one connection
per request of the standard library is enough here.
"""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from compute_executor import __version__
from compute_executor.errors import NotFound, ServiceUnavailable, from_document

if TYPE_CHECKING:
    from compute_executor.sdk.client import Client

MSGPACK = "application/msgpack"
OCTETS = "application/octet-stream"
PATIENCE = 20.0
"""Seconds that the service may take to answer a request."""


class Address(NamedTuple):
    """A service at this moment. Its ``authorization`` is shown to nobody."""

    url: str
    authorization: str

    def __repr__(self) -> str:
        return f"Address(url={self.url!r}, authorization=...)"


class Peer(Protocol):
    """Whoever knows the address. May block, start a service, renew a token; raises ComputeError."""

    def address(self) -> Address:
        """The address, looked up anew."""
        ...


class Embedded:
    """This user's local service, started when there is none."""

    def address(self) -> Address:
        """Where it listens now."""
        from compute_executor.service.embedded import find_or_start

        found = find_or_start()
        return Address(found.url, f"Bearer {found.token}")


class OfClient:
    """The service of a Client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def address(self) -> Address:
        """What the client says."""
        return Address(self._client.address(), self._client.authorization() or "")


def request(
    address: Address,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    kind: str = MSGPACK,
    headers: dict[str, str] | None = None,
    patience: float = PATIENCE,
) -> bytes:
    """The body of the answer. Raises the ComputeError that the answer describes, or ServiceUnavailable."""
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
