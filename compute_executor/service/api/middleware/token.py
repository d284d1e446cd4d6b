"""Nothing is answered without a valid token in the Authorization header: no route, no 404, no handshake."""

from __future__ import annotations

from collections.abc import Callable, Collection
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from compute_executor.errors import ServiceUnavailable
from compute_executor.service.api.error_responses import unauthenticated
from compute_executor.service.auth.authenticators import Authenticator, CachingAuthenticator, token_digest
from compute_executor.service.limits import MAX_HEADER_VALUE

ENDPOINT_STREAM = "/v3/endpoint/stream"
"""The only path that the token of an endpoint opens; and no other token opens it."""

KnownConnection = Callable[[tuple[str, int], str], bool]
"""Is told that a valid token of a user came over the connection of this peer; False: the user has too many."""


def nobody_counts(_peer: tuple[str, int], _user: str) -> bool:
    """Return a KnownConnection where connections are not counted."""
    return True


_NO_CACHE = (b"cache-control", b"no-cache")
_QUERY_NAMES = frozenset({"access_token", "token", "authorization", "bearer"})


class TokenCheck:
    """Puts the caller's Identity into ``scope["identity"]`` and the token's hash into ``scope["token_digest"]``, or
    answers 401.

    Tokens are taken from the header alone: one in a URL would be in logs and histories, so a request that has
    one there is refused even if its header is right. The routes ``elsewhere`` look at credentials themselves.
    With ``Cache-Control: no-cache`` (`Client(force_login=True)` sends it) nothing remembered about the token counts.
    ``known`` hears whose connection it is; what it does not want any more is refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        elsewhere: Collection[str] = frozenset(),
        known: KnownConnection = nobody_counts,
    ) -> None:
        self.app = app
        self.authenticator = authenticator
        self.elsewhere = elsewhere
        self.known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in self.elsewhere:
            await self.app(scope, receive, send)
            return
        token = _token(scope)
        if (
            token is not None
            and _NO_CACHE in scope["headers"]
            and isinstance(self.authenticator, CachingAuthenticator)
        ):
            self.authenticator.forget(token)
        identity = await self.authenticator.identify(token) if token is not None else None
        if token is None or identity is None:
            raise unauthenticated()
        if (identity.endpoint is not None) != (scope["path"] == ENDPOINT_STREAM):
            raise unauthenticated()
        if scope["client"] is not None and not self.known(tuple(scope["client"]), identity.id):
            raise ServiceUnavailable(
                "you have as many connections open as one user may have: close some, or share them"
            )
        scope["identity"] = identity
        scope["token_digest"] = token_digest(token)
        await self.app(scope, receive, send)


def _token(scope: Scope) -> str | None:
    if scope["query_string"] and _in_query(scope["query_string"]):
        return None
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1 or len(given[0]) > MAX_HEADER_VALUE:
        return None
    scheme, _, token = given[0].partition(b" ")
    return token.strip().decode("latin-1") or None if scheme.lower() == b"bearer" else None


def _in_query(query: bytes) -> bool:
    names = (name.lower() for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    return not _QUERY_NAMES.isdisjoint(names)
