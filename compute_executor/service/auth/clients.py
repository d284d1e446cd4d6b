"""Clients that log in with an id and a secret (OAuth 2 client credentials), as stock peers do.

A seam: whoever keeps clients implements `Clients`. `ConfiguredClient` is the smallest: the one that whoever started
the service has named.
"""

from __future__ import annotations

import hmac
import time
from typing import NamedTuple, Protocol

from compute_executor.service.access import Identity
from compute_executor.service.auth.authenticators import new_token, token_digest

LIFE = 48 * 3600
"""Seconds that a token is good for: as long as Globus Auth's."""


class Issued(NamedTuple):
    """A token, and the Unix time at which it expires."""

    token: str
    expires: float


class Clients(Protocol):
    """Knows clients, and gives them tokens."""

    async def check_client(self, client_id: str, secret: str) -> Identity | None:
        """Return whose client it is; None if nobody's, or if the secret is wrong."""
        ...

    async def issue_token(self, identity: Identity) -> Issued:
        """Return a new token for an identity."""
        ...


class ConfiguredClient:
    """One client; its tokens are kept as hashes, and forgotten with the process: stock peers then log in again.
    An Authenticator of these as well. ``further``: who knows other clients."""

    def __init__(self, client_id: str, secret: str, further: Clients | None = None) -> None:
        self._id = client_id
        self._secret = token_digest(secret)
        self._further = further
        self._tokens: dict[bytes, tuple[Identity, float]] = {}

    async def check_client(self, client_id: str, secret: str) -> Identity | None:
        """See Clients. Hashes are compared, so the time taken says nothing about the secret."""
        if client_id != self._id:
            return await self._further.check_client(client_id, secret) if self._further else None
        right = hmac.compare_digest(token_digest(secret), self._secret)
        return Identity(self._id, f"{self._id}@clients") if right else None

    async def issue_token(self, identity: Identity) -> Issued:
        """See Clients."""
        if identity.id != self._id and self._further is not None:
            return await self._further.issue_token(identity)
        now, token = time.time(), new_token()
        self._tokens = {digest: kept for digest, kept in self._tokens.items() if kept[1] > now}
        self._tokens[token_digest(token)] = (identity, now + LIFE)
        return Issued(token, now + LIFE)

    async def identify(self, token: str) -> Identity | None:
        """See Authenticator."""
        found = self._tokens.get(token_digest(token))
        return found[0] if found is not None and found[1] > time.time() else None
