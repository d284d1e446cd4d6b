"""One HTTP exchange as values: a request, its response, and the two errors of an exchange without a response.

The two transports (`direct`, `web_transport`) do the exchange; `requests` decides what to do about its outcome.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from compute_executor.errors import ComputeError

JSON = "application/json"
MSGPACK = "application/msgpack"
BYTES = "application/octet-stream"

T = TypeVar("T")


class Request(NamedTuple):
    """A request. ``repeatable``: doing it twice is the same as doing it once, so it may be sent again when it is
    unknown whether it arrived. ``path`` begins with a slash."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = JSON
    accept: str = JSON
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    repeatable: bool = True

    def all_headers(self) -> dict[str, str]:
        """Return the headers to send, authorisation apart."""
        found = {"Accept": self.accept, **self.headers}
        if self.body is not None:
            found["Content-Type"] = self.content_type
        return found


class Response(NamedTuple):
    """What came back. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the service did what was asked."""
        return 200 <= self.status < 300

    def document(self) -> Any:
        """Return the body as JSON. Raises ComputeError if it is none (a proxy's error page, say)."""
        try:
            return json.loads(self.body or b"null")
        except (ValueError, RecursionError) as error:
            raise self._unreadable("no JSON") from error

    def read(self, kind: type[T]) -> T:
        """Return the body as JSON of a type. Raises ComputeError, with the beginning of the body, if it is
        another."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (ValueError, RecursionError) as error:
            raise self._unreadable(f"not what was asked for ({error})") from error

    def _unreadable(self, what: str) -> ComputeError:
        return ComputeError(
            f"the service answered {self.status}, {len(self.body)} bytes that are {what}: {self.body[:200]!r}"
        )


def mapping(document: Any) -> dict[str, Any]:
    """Return a document that must be an object. Raises ComputeError, with its beginning, if it is none."""
    if isinstance(document, dict):
        return document
    raise ComputeError(f"the service answered with {document!r:.200} where an object was expected")


def sequence(document: Any) -> list[Any]:
    """Return a document that must be a list. Raises ComputeError, with its beginning, if it is none."""
    if isinstance(document, list):
        return document
    raise ComputeError(f"the service answered with {document!r:.200} where a list was expected")


def field(document: Any, name: str) -> Any:
    """Return a field of a document. Raises ComputeError, with the document's beginning, if it is not there."""
    found = mapping(document)
    if name in found:
        return found[name]
    raise ComputeError(f"the service answered without {name!r}: {document!r:.200}")


class Transport(Protocol):
    """Carries requests to one service under one identity. Any thread may call it."""

    def send(self, call: Request) -> Response:
        """Do the exchange once. Raises RequestNotSent or NoAnswer."""
        ...

    def renew(self) -> None:
        """Get another authorization for the next request, if that is possible: the service refused this one."""

    def relocate(self) -> None:
        """Look up anew where the service is, before the next request."""

    def address(self) -> str:
        """Return the service's base URL, without a slash at its end."""
        ...

    def authorization(self) -> str | None:
        """Return the value of the Authorization header, for connections that are made elsewhere."""

    def close(self) -> None:
        """Close the connections. Later requests open new ones."""
