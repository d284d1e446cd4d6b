"""Tokens of open streams, looked at again and again: a stream may last for weeks, its token's right to it may not.

While Globus Auth is in trouble a stream goes on, but not beyond the end of its token. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from compute_executor.errors import LoginUnavailable
from compute_executor.service.access import Identity
from compute_executor.service.auth.globus_auth.authenticator import GlobusAuthenticator, SeenToken
from compute_executor.service.auth.globus_auth.decisions import LIFE

logger: logging.Logger = logging.getLogger(__name__)


class StreamOwner(Protocol):
    """What is told of tokens and users: a service, which has open streams."""

    def reconsider(self, user: str, identity: Identity | None) -> None:
        """Note that this user is in other groups now."""

    def token_died(self, digest: bytes) -> None:
        """Note that the token of this hash is not valid any more."""

    def stream_tokens(self) -> set[bytes]:
        """Return the hashes of the tokens of the open streams."""
        ...


class TokenFollower:
    """Keeps a service told of what happens to the tokens of its streams, and to the groups of whoever comes."""

    def __init__(
        self, globus: GlobusAuthenticator, service: StreamOwner, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._globus = globus
        self._service = service
        self._clock = clock
        globus.changed = lambda who: service.reconsider(who.id, who)

    async def run(self) -> None:
        """Look every LIFE seconds, for ever."""
        while True:
            await asyncio.sleep(LIFE)
            try:
                await self.look()
            except Exception:  # the next look may go better, and there must be one
                logger.exception("tokens of open streams could not be looked at")

    async def look(self) -> None:
        """Look at each token once. Changed groups are told by the authenticator as it meets them."""
        for digest, shown in self._globus.shown(self._service.stream_tokens()).items():
            if not await self._alive(shown):
                self._service.token_died(digest)

    async def _alive(self, shown: SeenToken) -> bool:
        if shown.expires <= self._clock():
            return False
        try:
            return await self._globus.identify(shown.token) is not None
        except LoginUnavailable as trouble:
            logger.warning("a stream goes on although its token cannot be looked at: %s", trouble)
            return True
