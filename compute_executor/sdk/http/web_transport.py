"""Requests through a globus_sdk web client: what is used where a Globus login is.

The web client authorises each request. Its own repetitions are switched off: they would send a submit again
whose outcome is unknown, and `requests` decides about that for both transports. With a login manager that somebody
brought, the web client may be any object with globus_sdk's ``request``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from compute_executor.errors import NoAnswer, NotAuthorized, RequestNotSent, ServiceUnavailable
from compute_executor.sdk.http.transport import Request, Response


class WebTransport:
    """Requests through the web client that ``make`` gives, which is asked for at the first request: that is when
    globus_sdk is imported."""

    def __init__(self, url: str, make: Callable[[], Any]) -> None:
        self._url = url.rstrip("/")
        self._make = make
        self._client: Any = None
        self._renewing = threading.Lock()
        self._demand: Any = None  # globus_sdk's GARE: what the service demands of the login

    def send(self, call: Request) -> Response:
        """Do the exchange once. Raises RequestNotSent or NoAnswer; NotAuthorized if there is no token to be had,
        ServiceUnavailable if a certificate does not hold."""
        import globus_sdk  # 30 ms, and only logins need it

        self.authorization()  # so that trouble with the login is told from trouble with the request
        try:
            response = self._client.request(
                call.method,
                call.path,
                query_params=dict(call.query) or None,
                data=call.body,
                headers=call.all_headers(),
                encoding="text" if call.body is not None else None,
                allow_redirects=False,
            )
        except globus_sdk.GlobusAPIError as error:
            self._demand = _demand(error)
            return Response(error.http_status, _lower(error.headers), error.text.encode())
        except globus_sdk.NetworkError as error:
            raise _network_trouble(self._url, call, error) from None
        return Response(response.http_status, _lower(response.headers), response.binary_content)

    def renew(self) -> None:
        """Log in again if the service said what it demands. A mere 401 the web client has seen itself: it
        renews for the next request. Raises NotAuthorized if nobody can be asked."""
        demand, self._demand = self._demand, None
        if demand is not None and hasattr(self._client, "authenticate_again"):
            self._authenticate(demand)

    def relocate(self) -> None:
        """Do nothing: the URL was given."""

    def _authenticate(self, demand: Any) -> None:
        import globus_sdk

        try:
            with self._renewing:
                self._client.authenticate_again(demand)
        except EOFError:
            raise NotAuthorized(
                f"the service demands another login ({_said(demand)}), and there is no terminal to ask. Run "
                "`compute-executor login --force`"
            ) from None
        except globus_sdk.GlobusError as error:
            raise NotAuthorized(f"the login that the service demands failed: {error}") from None

    def address(self) -> str:
        """Return the base URL."""
        return self._url

    def authorization(self) -> str | None:
        """Return the value of the Authorization header, renewed if need be; None if the web client does not tell.

        Raises RequestNotSent if Globus Auth cannot be reached, NotAuthorized if it refuses or the login cannot be
        used, ServiceUnavailable if its certificate does not hold.
        """
        import globus_sdk

        try:
            with self._renewing:  # one thread at a time: globus_sdk's apps are not made for more
                return _header(self._web_client())
        except globus_sdk.GlobusAPIError as error:
            raise NotAuthorized(_no_token(error)) from None
        except globus_sdk.NetworkError as error:
            _check_certificate("the server that gives tokens", error)
            raise RequestNotSent(f"Globus Auth cannot be reached for a token: {error}") from None
        except globus_sdk.GlobusError as error:
            raise NotAuthorized(f"the login cannot be used: {error}") from None

    def close(self) -> None:
        """Close the web client's connections."""
        if self._client is not None and hasattr(self._client, "close"):
            self._client.close()

    def __repr__(self) -> str:
        return f"<WebTransport {self._url}>"

    def _web_client(self) -> Any:
        """Called by one thread at a time."""
        if self._client is None:
            client = self._make()
            if hasattr(client, "retry_config"):
                client.retry_config.max_retries = 0
            self._client = client
        return self._client


def _demand(error: Any) -> Any:
    """Return what a refusal demands of the login, as a GARE of globus_sdk; None if nothing."""
    from globus_sdk.gare import to_gare

    return to_gare(error) if error.http_status == 403 else None


def _no_token(error: Any) -> str:
    """Of the answer of Globus Auth, or of a service of one's own in its place, globus_sdk reads the message only;
    RFC 6749, 5.2, has the reason in ``error``."""
    document = error.raw_json if isinstance(error.raw_json, dict) else {}
    reason = error.message or document.get("error") or "no reason given"
    return (
        f"no token for this login: {error.http_status} {reason}. Of a client, check id and secret "
        "(GLOBUS_COMPUTE_CLIENT_ID, GLOBUS_COMPUTE_CLIENT_SECRET, or the `app` that was passed) and that it was not "
        "removed; a person runs `compute-executor login`"
    )


def _said(demand: Any) -> str:
    message: str | None = demand.authorization_parameters.session_message
    return message or "it says no more"


def _header(client: Any) -> str | None:
    if hasattr(client, "authorization"):
        ours: str | None = client.authorization()
        return ours
    authorizer = getattr(client, "authorizer", None)
    return authorizer.get_authorization_header() if authorizer is not None else None


def _network_trouble(url: str, call: Request, error: Any) -> RequestNotSent | NoAnswer:
    """Return whether the request may have arrived, by what lies beneath globus_sdk's error."""
    import globus_sdk
    from urllib3.exceptions import NameResolutionError, NewConnectionError

    _check_certificate(url, error)
    cause = error.underlying_exception
    reason = getattr(cause.args[0] if cause.args else None, "reason", None)
    unreached = isinstance(reason, (NewConnectionError, NameResolutionError))
    if unreached or isinstance(error, globus_sdk.GlobusConnectionTimeoutError):
        return RequestNotSent(f"no connection to {url}: {reason or cause}")
    return NoAnswer(f"no answer from {url} to {call.method} {call.path}: {error}")


def _check_certificate(whose: str, error: Any) -> None:
    """Raise ServiceUnavailable if what lies beneath is a certificate: asking again does not make it hold."""
    from requests.exceptions import SSLError

    cause = error.underlying_exception
    if isinstance(cause, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
        why = str(cause).rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        raise ServiceUnavailable(
            f"the certificate of {whose} does not hold ({why}). If it is one that you trust, have "
            "GLOBUS_SDK_VERIFY_SSL in the environment name a file with it, or with that of whoever signed it"
        ) from None


def _lower(headers: Any) -> dict[str, str]:
    return {str(key).lower(): str(value) for key, value in headers.items()}
