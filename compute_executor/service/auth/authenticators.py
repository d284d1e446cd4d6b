"""Authentication: a bearer token becomes an `Identity` through an `Authenticator`.

The embedded service has one, of one token (`LocalToken`). Users with stored tokens (`auth.accounts`), and the
introspection of tokens of Globus Auth (`auth.globus_auth`), are further classes with the same method; it is a
coroutine because those must look something up.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Protocol, runtime_checkable

from compute_executor.service.access import LOCAL_USER, Identity


class Authenticator(Protocol):
    """Knows tokens."""

    async def identify(self, token: str) -> Identity | None:
        """Return whose token it is; None if nobody's."""
        ...


@runtime_checkable
class CachingAuthenticator(Protocol):
    """An Authenticator that remembers for a while what it was told elsewhere."""

    def forget(self, token: str) -> None:
        """Find out anew at the next request whose token it is, and in which groups they are."""
        ...


class LocalToken:
    """One token, that of the user whose service this is. Only its hash is kept."""

    def __init__(self, token: str, identity: Identity | None = None) -> None:
        self._digest = token_digest(token)
        self._identity = identity or Identity(LOCAL_USER, LOCAL_USER, admin=True)

    async def identify(self, token: str) -> Identity | None:
        """Return the local user, if it is the token. Hashes are compared, so the time taken says nothing about it."""
        return self._identity if hmac.compare_digest(token_digest(token), self._digest) else None


class AuthenticatorChain:
    """Several Authenticators, asked in order."""

    def __init__(self, *authenticators: Authenticator) -> None:
        self._authenticators = authenticators

    async def identify(self, token: str) -> Identity | None:
        """Whoever the first that knows the token says."""
        for one in self._authenticators:
            if (found := await one.identify(token)) is not None:
                return found
        return None

    def forget(self, token: str) -> None:
        """See CachingAuthenticator: those that remember a token forget it."""
        for one in self._authenticators:
            if isinstance(one, CachingAuthenticator):
                one.forget(token)


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """Return what is kept of a token: its SHA-256 (a token has 256 random bits, so nothing slower is needed)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
