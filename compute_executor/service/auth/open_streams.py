"""The open streams: whose each is now, and with which token it came. Owner: the loop thread.

A request is over before its token can die; a stream may last for weeks. So whoever knows of users and tokens says
here when one of them changes: a stream then goes on with the new identity, or ends. Of a token only the hash
(`authenticators.token_digest`) is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from compute_executor.service.access import Identity
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.quotas import is_bounded, require_quota

USER_GONE = "this user is no longer known here"
TOKEN_DEAD = "the token of this stream is no longer valid: connect with a new one"


class StreamRevoked(Exception):
    """The stream must end, for this reason."""


class StreamSession:
    """One open stream. ``who``: whose it is now; to be asked anew for each thing that is done for it."""

    def __init__(self, who: Identity, token: bytes) -> None:
        self.who = who
        self.token = token
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, reason: str) -> None:
        """Note that the stream ends as soon as the loop gets to it."""
        if not self._over.done():
            self._over.set_result(reason)

    async def during(self, conversation: Coroutine[Any, Any, None]) -> None:
        """Run the conversation of the stream. Raises StreamRevoked if the session is ended before that."""
        talk = asyncio.ensure_future(conversation)
        try:
            await asyncio.wait((talk, self._over), return_when=asyncio.FIRST_COMPLETED)
            if self._over.done():
                raise StreamRevoked(self._over.result())
            talk.result()
        finally:
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)


class OpenStreams:
    """All open streams. ``catching_up``: is held by the one that reads on from the store."""

    def __init__(self, limits: ServiceLimits) -> None:
        self._limits = limits
        self.catching_up: asyncio.Lock = asyncio.Lock()
        self._sessions: set[StreamSession] = set()

    def enter(self, who: Identity, token: bytes) -> StreamSession:
        """Note a stream that has opened. ``token``: the hash of the token that it came with. Raises QuotaExceeded."""
        if is_bounded(who):
            require_quota(
                self._limits, who, "user_streams", sum(one.who.id == who.id for one in self._sessions)
            )
        session = StreamSession(who, token)
        self._sessions.add(session)
        return session

    def leave(self, session: StreamSession) -> None:
        """Note that a stream has ended."""
        self._sessions.discard(session)

    def tokens(self) -> set[bytes]:
        """Return the hashes of the tokens that the open streams came with."""
        return {session.token for session in self._sessions}

    def changed(self, user: str, identity: Identity | None) -> None:
        """Note that all streams of this user get the new identity, or end if there is none."""
        for session in self._sessions:
            if session.who.id != user:
                continue
            if identity is None:
                session.end(USER_GONE)
            else:
                session.who = identity

    def token_died(self, token: bytes) -> None:
        """Note that the token of this hash is no longer valid: its streams end."""
        for session in self._sessions:
            if session.token == token:
                session.end(TOKEN_DEAD)
