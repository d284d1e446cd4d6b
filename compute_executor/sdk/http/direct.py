"""Requests with the standard library's http.client: what services of our own are spoken to with.

A request costs 0.26 ms this way and 0.64 ms through requests (and so through globus_sdk), and nothing has to be
imported first. There is one token, which does not expire while the service lives; the embedded service may be
another one with another token after it was idle, so *where* is a question that is asked again when it is gone.
"""

from __future__ import annotations

import ipaddress
import os
import re
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, urlencode, urlsplit

from compute_executor.errors import InvalidRequest, NoAnswer, RequestNotSent, ServiceUnavailable
from compute_executor.sdk.http.transport import Request, Response
from compute_executor.sdk.http.trust import context

if TYPE_CHECKING:
    import http.client
    import ssl

TIMEOUT = 60.0
"""Seconds without a byte after which a request counts as unanswered (as globus_sdk's GLOBUS_SDK_HTTP_TIMEOUT)."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


_HOST = re.compile(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
"""A name, or an address of either version; what urlsplit lets through besides (spaces, NUL) ends in http.client."""
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_TOKEN = re.compile(r"[!-~]+")


class ServerAddress(NamedTuple):
    """Where a service is and what opens it. Its repr does not show the token."""

    url: str
    token: str | None

    def __repr__(self) -> str:
        return f"ServerAddress({self.url!r})"


def fixed_place(url: str, token: str | None, *, insecure: bool = False) -> ServerAddress:
    """Return an address that the user gave. Raises InvalidRequest for a URL that is none, or that would show the
    token.

    ``insecure`` allows plain http to another machine: whoever can read the wire then has the token.
    """
    parts = url_parts(url)
    if parts.username or parts.query or parts.fragment:
        raise InvalidRequest(
            f"the URL of a service at {parts.hostname} holds more than an address and a path"
        )
    if token and not insecure and is_readable(url):
        raise InvalidRequest(
            f"{url} is plain http to another machine, so anyone on the way could read the token. Use https, an ssh "
            "tunnel to localhost, or Client(..., insecure_http=True) if the network is trusted"
        )
    if token is not None and not _TOKEN.fullmatch(token):
        raise InvalidRequest(
            f"the token for {url} is empty or holds what no HTTP header may: blanks, control characters, letters "
            "beyond ASCII. Was a newline read from a file with it?"
        )
    return ServerAddress(url.rstrip("/"), token)


def is_readable(url: str) -> bool:
    """Return whether what is sent to this address can be read on its way: plain http to another machine. Raises
    InvalidRequest for a URL that is none."""
    parts = url_parts(url)
    return parts.scheme == "http" and parts.hostname not in _LOOPBACK


def embedded_address() -> ServerAddress:
    """Return where this user's local service is, which is started if there is none. Raises ServiceUnavailable."""
    from compute_executor.local import embedded

    found = embedded.find_or_start()
    return ServerAddress(found.url, found.token)


def url_parts(url: str) -> SplitResult:
    """Return the parts of a URL that can be connected to. Raises InvalidRequest for any other, before it is used."""
    wrong = f"{url!r:.200} is no http or https URL of a service, such as https://compute.example.org:8443"
    try:
        if _BLANK.search(url):  # urlsplit leaves out some of them
            raise InvalidRequest(f"{wrong}: it holds blanks or control characters")
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        port = parts.port
        if "[" in parts.netloc:  # before Python 3.11.4, urlsplit lets anything stand in brackets
            ipaddress.IPv6Address(parts.hostname)
    except (ValueError, AttributeError, TypeError) as error:  # a bad port, bracket or label; not even text
        raise InvalidRequest(f"{wrong}: {error}") from None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise InvalidRequest(wrong)
    if port == 0:
        raise InvalidRequest(f"{wrong}: there is no port 0")
    if not parts.path.isascii():
        raise InvalidRequest(f"{wrong}: its path is not ASCII")
    return parts


class DirectTransport:
    """Requests to the place that ``locate`` names. Any thread may send.

    Idle connections wait in a deque, whose ends are popped and pushed atomically; a connection in use belongs to
    the thread that uses it.
    """

    def __init__(self, locate: Callable[[], ServerAddress]) -> None:
        self._locate = locate
        self._place: ServerAddress | None = None
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._owner = os.getpid()
        self._locating = threading.Lock()
        weakref.finalize(self, _close_all, self._idle)

    def send(self, call: Request) -> Response:
        """Do the exchange once. Raises RequestNotSent or NoAnswer."""
        place = self._found()
        while True:
            connection, fresh = self._connection(place, reuse=call.repeatable)
            try:
                return self._exchange(connection, place, call)
            except _StaleConnection:
                if fresh:
                    raise NoAnswer(f"{place.url} closed the connection without an answer") from None

    def renew(self) -> None:
        """Look up anew where the service is and what its token is: an embedded one may be another by now."""
        self.relocate()

    def relocate(self) -> None:
        """Look again where the service is, and what its token is now."""
        with self._locating:
            self._place = None

    def address(self) -> str:
        """Return the base URL."""
        return self._found().url

    def authorization(self) -> str | None:
        """Return the value of the Authorization header."""
        token = self._found().token
        return f"Bearer {token}" if token else None

    def close(self) -> None:
        """Close the idle connections."""
        _close_all(self._idle)

    def __repr__(self) -> str:
        return f"<DirectTransport {self._place or 'not located yet'}>"

    def _found(self) -> ServerAddress:
        with self._locating:
            if self._place is None:
                self._place = self._locate()
                self.close()  # they lead to where the service was
            return self._place

    def _connection(self, place: ServerAddress, *, reuse: bool) -> tuple[http.client.HTTPConnection, bool]:
        """Return a connection, and whether it is a new one. After a fork the parent's are not ours to speak on."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self.close()
        try:
            if reuse:
                return self._idle.pop(), False
        except IndexError:
            pass
        return _connected(place, self.relocate), True

    def _exchange(
        self, connection: http.client.HTTPConnection, place: ServerAddress, call: Request
    ) -> Response:
        from http.client import HTTPException, RemoteDisconnected

        try:
            with suppress(
                BrokenPipeError
            ):  # refused before all of it was sent (413): the answer is there to read
                connection.request(call.method, _target(place, call), call.body, _headers(place, call))
            response = connection.getresponse()
            body = response.read()
        except (RemoteDisconnected, ConnectionResetError) as error:
            # Services close connections that were idle for long. Only repeatable calls go out on such a one, so
            # they may go out again on the next; on a fresh one this is NoAnswer.
            connection.close()
            raise _StaleConnection from error
        except (OSError, HTTPException) as error:
            connection.close()
            raise NoAnswer(f"no answer from {place.url} to {call.method} {call.path}: {error}") from error
        self._put_back(connection, response)
        return Response(response.status, {key.lower(): value for key, value in response.getheaders()}, body)

    def _put_back(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)


class _StaleConnection(Exception):
    """The peer had closed the connection by the time we spoke on it."""


def _connected(place: ServerAddress, on_failure: Callable[[], None]) -> http.client.HTTPConnection:
    import http.client  # 10 ms with all it needs, and an Executor whose stream is up makes no request
    import ssl

    parts = urlsplit(place.url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=TIMEOUT, context=context(place.url)
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT)
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        on_failure()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise untrusted(place.url, error) from error
        raise RequestNotSent(
            f"nobody answers at {place.url}: {error.strerror or error}. Is the service running?"
        ) from error
    return connection


_UNKNOWN_SIGNERS = (18, 19, 20, 21)
"""OpenSSL's X509_V_ERR_* for certificates that nobody known here has signed."""
_OUT_OF_TIME = (9, 10)
_OTHER_NAME = (62, 64)


def untrusted(url: str, error: ssl.SSLCertVerificationError) -> ServiceUnavailable:
    """Return what to say of a certificate that does not hold, and what to do about it."""
    said = f"the certificate of {url} does not hold: {error.verify_message.rstrip('.')}"
    if error.verify_code in _UNKNOWN_SIGNERS:
        said += (
            ". If this service is one that you trust, have SSL_CERT_FILE in the environment, or `certificate` of its "
            "profile, name a file with its certificate, or that of whoever signed it"
        )
    elif error.verify_code in _OUT_OF_TIME:
        said += ". Whoever runs the service has to renew it, unless the clock of this machine is wrong"
    elif error.verify_code in _OTHER_NAME:
        said += ". Use an address that the certificate names"
    return ServiceUnavailable(said)


def _target(place: ServerAddress, call: Request) -> str:
    path = urlsplit(place.url).path + call.path
    return f"{path}?{urlencode(call.query)}" if call.query else path


def _headers(place: ServerAddress, call: Request) -> dict[str, str]:
    headers = call.all_headers()
    if place.token:
        headers["Authorization"] = f"Bearer {place.token}"
    return headers


def _close_all(idle: deque[http.client.HTTPConnection]) -> None:
    while idle:
        idle.pop().close()
