"""Whose a bearer token of Globus Auth is: remembered for a while, else asked, by few threads and once per token."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

from compute_executor.errors import LoginUnavailable
from compute_executor.service.access import Identity
from compute_executor.service.auth.authenticators import token_digest
from compute_executor.service.auth.globus_auth.decisions import Decision, Decisions
from compute_executor.service.auth.globus_auth.introspection import GlobusAuthClient, GroupMembership
from compute_executor.service.auth.globus_auth.judging import TokenRefused, judge
from compute_executor.service.auth.globus_auth.registration import AppRegistration

ASKERS = 8
"""Threads that ask: a question takes some 0.1 s, so about 80 new tokens in a second, each good for LIFE."""
MAX_WAITING = 256
"""Questions at a time; whoever comes then is told to come again, so that a flood of bad tokens takes no memory."""

logger: logging.Logger = logging.getLogger(__name__)


class TokenSource(Protocol):
    """What is asked: `introspection.GlobusAuthClient`."""

    def introspect(self, token: str) -> dict[str, Any]:
        """Return what is said of a token."""
        ...

    def groups(self, token: str) -> GroupMembership:
        """Return the groups of its holder."""
        ...


class TokenLookup(NamedTuple):
    """Whose a token is (None: nobody's), and the Unix time at which it expires. ``groups_known``: whether their
    groups could be read."""

    identity: Identity | None
    expires: float
    groups_known: bool = False


class SeenToken(NamedTuple):
    """A token that was good when it was shown, and the Unix time at which it expires. Its repr does not show it."""

    token: str
    expires: float

    def __repr__(self) -> str:
        return f"Shown(expires={self.expires})"


class GlobusAuthenticator:
    """An `access.Authenticator` for tokens of Globus Auth. Owner: the loop thread; only `_ask` runs elsewhere.

    ``changed``: called when somebody turns out to be in other groups than before.
    """

    def __init__(
        self,
        ours: AppRegistration,
        globus: TokenSource | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ours = ours
        self._globus = globus or GlobusAuthClient(ours)
        self._clock = clock
        self._decisions = Decisions()
        self.changed: Callable[[Identity], None] = _nobody
        self._known: dict[str, Identity] = {}  # by id: as they were when last told
        self._shown: dict[bytes, SeenToken] = {}  # good ones, as long as they are remembered or followed
        self._asking: dict[bytes, asyncio.Task[Decision]] = {}
        self._askers = ThreadPoolExecutor(ASKERS, "globus")

    async def identify(self, token: str) -> Identity | None:
        """See Authenticator. Raises LoginUnavailable if Globus Auth or Groups do not answer."""
        digest = token_digest(token)
        decision = self._decisions.get(digest, self._clock()) or await self._decided(digest, token)
        return decision.identity

    def forget(self, token: str) -> None:
        """Decide anew at the next request with this token; a question that is on its way does not count."""
        digest = token_digest(token)
        self._decisions.forget(digest)
        self._asking.pop(digest, None)

    def shown(self, followed: set[bytes]) -> dict[bytes, SeenToken]:
        """Return the tokens of these hashes. Others that no decision is remembered about are forgotten."""
        now = self._clock()
        self._shown = {
            digest: shown
            for digest, shown in self._shown.items()
            if digest in followed or self._decisions.get(digest, now) is not None
        }
        return {digest: shown for digest, shown in self._shown.items() if digest in followed}

    def close(self) -> None:
        """End the threads, without waiting for answers."""
        self._askers.shutdown(wait=False, cancel_futures=True)

    async def _decided(self, digest: bytes, token: str) -> Decision:
        """Ask, together with whoever asks about the same token. Shielded: one who leaves does not end it for all."""
        task = self._asking.get(digest)
        if task is None:
            if len(self._asking) >= MAX_WAITING:
                raise LoginUnavailable(f"{MAX_WAITING} tokens are being looked into already: try again")
            task = self._asking[digest] = asyncio.ensure_future(self._decide(digest, token))
        return await asyncio.shield(task)

    async def _decide(self, digest: bytes, token: str) -> Decision:
        task = asyncio.current_task()
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._askers, self._ask, token)
            now = self._clock()
            self._notice(found)
            if found.identity is not None:
                self._shown[digest] = SeenToken(token, found.expires)
            if self._asking.get(digest) is task:
                return self._decisions.put(digest, found.identity, now, found.expires)
            return Decision(
                found.identity, now
            )  # forgotten meanwhile: good for those who waited, and no longer
        finally:
            if self._asking.get(digest) is task:
                del self._asking[digest]

    def _notice(self, found: TokenLookup) -> None:
        """Tell who is in other groups now. One whose groups cannot be told by this token has not changed."""
        who = found.identity
        if who is None or not found.groups_known:
            return
        before = self._known.get(who.id)
        self._known[who.id] = who
        if before is not None and before != who:
            self.changed(who)

    def _ask(self, token: str) -> TokenLookup:
        """Run in a thread of `_askers`."""
        verdict = judge(self._globus.introspect(token), self._ours, self._clock())
        if isinstance(verdict, TokenRefused):
            logger.info("a token was refused: %s", verdict.why)
            return TokenLookup(None, math.inf)
        groups = self._globus.groups(token)
        if groups.refused:
            logger.warning(
                "groups of %s cannot be told (%s): counted as in none", verdict.name, groups.refused
            )
        identity = Identity(verdict.id, verdict.name, groups.ids)
        return TokenLookup(identity, verdict.expires, groups_known=not groups.refused)


def _nobody(_: Identity) -> None:
    """Note that nobody wants to hear of changes."""
