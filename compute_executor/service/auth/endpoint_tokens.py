"""The tokens of endpoints of our own: each opens the stream of one endpoint, and nothing else.

Made when an endpoint is registered, shown once, kept as their hashes. Owner: the loop thread.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from compute_executor.service.access import Identity
from compute_executor.service.auth.authenticators import new_token, token_digest
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.reader import Reader


class EndpointTokens:
    """An Authenticator. ``died``: called with the hash of each token that is no longer valid."""

    def __init__(self, read: Reader, committer: Committer, most: int) -> None:
        self._most = most
        self.died: Callable[[bytes], object] = lambda _: None
        self._committer = committer
        self._endpoints = {
            bytes(digest): uuid.UUID(bytes=endpoint) for digest, endpoint in read.rows("all_endpoint_tokens")
        }

    async def identify(self, token: str) -> Identity | None:
        """See Authenticator. Found by its hash, so the time taken says nothing about it."""
        endpoint = self._endpoints.get(token_digest(token))
        if endpoint is None:
            return None
        name = f"endpoint {endpoint}"
        return Identity(name, name, endpoint=endpoint)

    async def issue(self, endpoint: uuid.UUID) -> str:
        """Return a new token for an endpoint; its others stay good, for its other machines, but only as many as there
        may be."""
        token = new_token()
        digest, now = token_digest(token), time.time()
        await self._committer.commit(
            lambda writer: writer.run("add_endpoint_token", (digest, endpoint.bytes, now))
        )
        self._endpoints[digest] = endpoint
        its = [one for one, named in self._endpoints.items() if named == endpoint]
        for old in its[: max(0, len(its) - self._most)]:
            await self._drop(old)
        return token

    async def _drop(self, digest: bytes) -> None:
        del self._endpoints[digest]
        await self._committer.commit(lambda writer: writer.run("drop_endpoint_token", (digest,)))
        self.died(digest)

    async def revoke(self, endpoint: uuid.UUID) -> int:
        """Return no token of this endpoint is good any more; how many there were."""
        dead = [digest for digest, its in self._endpoints.items() if its == endpoint]
        await self._committer.commit(lambda writer: writer.run("drop_endpoint_tokens", (endpoint.bytes,)))
        for digest in dead:
            del self._endpoints[digest]
            self.died(digest)
        return len(dead)
