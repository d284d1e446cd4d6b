"""Changes to users, clients, groups and tokens: store first, then book, then whoever must hear of it.

    identify(token), check_client(id, secret), issue_token(identity)      for requests: `Authenticator` and `Clients`
    add_user, join, revoke_token, ...                                     for administrators: `commands`

Tokens and secrets have 256 random bits, are returned once, and kept as SHA-256. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from compute_executor.service.access import Identity
from compute_executor.service.auth.accounts.book import (
    CLIENT,
    USER,
    Account,
    AccountBook,
    StoredToken,
    UserGroup,
)
from compute_executor.service.auth.authenticators import new_token, token_digest
from compute_executor.service.auth.clients import LIFE, Issued
from compute_executor.service.store.reader import Reader
from compute_executor.service.store.store import Operation

SHORTEST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds between two looks for expired tokens: the disk may be full, the clock be set."""

Commit = Callable[[Operation], Awaitable[Any]]


class IdentityListener(Protocol):
    """Who must hear of changes: the service."""

    def reconsider(self, user: str, identity: Identity | None) -> None:
        """Note that this account is somebody else now, or nobody."""

    def token_died(self, digest: bytes) -> None:
        """Note that the token of this hash is no longer valid."""


def load_book(read: Reader) -> AccountBook:
    """Return what the store has."""
    return AccountBook(
        (Account(*row) for row in read.rows("all_accounts")),
        (UserGroup(*row) for row in read.rows("all_user_groups")),
        read.rows("all_members"),
        (StoredToken(*row) for row in read.rows("all_tokens")),
    )


class Accounts:
    """An Authenticator and Clients. ``commit`` runs an operation of the store; ``clock`` tells Unix time."""

    def __init__(self, read: Reader, commit: Commit, clock: Callable[[], float] = time.time) -> None:
        self._commit = commit
        self._clock = clock
        self.concerned: IdentityListener | None = None
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()  # one change at a time: names are checked before they are stored
        self.book: AccountBook = load_book(read)

    # -- who asks -----------------------------------------------------------------------------------------

    async def identify(self, token: str) -> Identity | None:
        """See Authenticator. Found by its hash, so the time taken says nothing about it."""
        found = self.book.tokens.get(token_digest(token))
        return self.book.identity(found.account) if found is not None and found.alive(self._clock()) else None

    async def check_client(self, client_id: str, secret: str) -> Identity | None:
        """See Clients."""
        found = self.book.accounts.get(client_id)
        if found is None or found.secret is None:
            return None
        right = hmac.compare_digest(token_digest(secret), found.secret)
        alive = found.expires is None or found.expires > self._clock()
        return self.book.identity(client_id) if right and alive else None

    async def issue_token(self, identity: Identity) -> Issued:
        """See Clients. It is good no longer than the secret that it was given for."""
        account = self.book.account(identity.id)
        life = LIFE if account.expires is None else min(LIFE, account.expires - self._clock())
        token, kept = await self.new_token(account.id, life)
        assert kept.expires is not None
        return Issued(token, kept.expires)

    # -- users and clients --------------------------------------------------------------------------------

    async def add_user(self, name: str) -> Account:
        """Return a new user, without a token. Raises InvalidRequest if the name is taken."""
        return await self._add_account(USER, name, None, None)

    async def add_client(self, name: str, life: float | None = None) -> tuple[Account, str]:
        """Return a new client and its secret, which is good for ``life`` seconds (None: until removed)."""
        secret = new_token()
        return await self._add_account(CLIENT, name, token_digest(secret), self._end(life)), secret

    async def _add_account(
        self, kind: str, name: str, secret: bytes | None, expires: float | None
    ) -> Account:
        async with self._lock:
            self.book.require_free(name, self.book.accounts.values())
            one = Account(str(uuid.uuid4()), kind, name, secret, expires, self._clock())
            await self._commit(lambda writer: writer.run("add_account", one))
            self.book.accounts[one.id] = one
        return one

    async def remove(self, name: str, kind: str) -> Account:
        """Remove a user or client; its tokens are revoked, its queued tasks do not run."""
        async with self._lock:
            one = self.book.account(name, kind)
            dead = [token.digest for token in self.book.tokens_of(one.id)]

            def drop(writer: Any) -> None:
                for query in ("drop_tokens_of", "drop_memberships_of", "drop_account"):
                    writer.run(query, (one.id,))

            await self._commit(drop)
            self.book.drop_account(one.id)
        self._tell({one.id}, dead)
        return one

    # -- groups -------------------------------------------------------------------------------------------

    async def add_group(self, name: str) -> UserGroup:
        """Return a new, empty group. Raises InvalidRequest if the name is taken."""
        async with self._lock:
            self.book.require_free(name, self.book.groups.values())
            one = UserGroup(str(uuid.uuid4()), name, self._clock())
            await self._commit(lambda writer: writer.run("add_user_group", one))
            self.book.groups[one.id], self.book.members[one.id] = one, set()
        return one

    async def remove_group(self, name: str) -> UserGroup:
        """Remove a group: what was shared with it is shared with nobody."""
        async with self._lock:
            one = self.book.group(name)

            def drop(writer: Any) -> None:
                writer.run("drop_members_of", (one.id,))
                writer.run("drop_user_group", (one.id,))

            await self._commit(drop)
            del self.book.groups[one.id]
            members = self.book.members.pop(one.id)
        self._tell(members)
        return one

    async def join(self, group: str, account: str) -> None:
        """Make a user or client a member."""
        await self._membership("add_member", group, account)

    async def leave(self, group: str, account: str) -> None:
        """End a membership, if there is one."""
        await self._membership("drop_member", group, account)

    async def _membership(self, query: str, group: str, account: str) -> None:
        async with self._lock:
            its, who = self.book.group(group).id, self.book.account(account).id
            await self._commit(lambda writer: writer.run(query, (its, who)))
            members = self.book.members[its]
            members.add(who) if query == "add_member" else members.discard(who)
        self._tell({who})

    # -- tokens -------------------------------------------------------------------------------------------

    async def new_token(self, account: str, life: float | None = None) -> tuple[str, StoredToken]:
        """Return a new token of an account, good for ``life`` seconds (None: until revoked); and what is kept of
        it."""
        token = new_token()
        async with self._lock:
            who = self.book.account(account).id
            kept = StoredToken(token_digest(token), str(uuid.uuid4()), who, self._clock(), self._end(life))
            await self._commit(lambda writer: writer.run("add_token", kept))
            self.book.tokens[kept.digest] = kept
        self._changed.set()
        return token, kept

    async def revoke_token(self, token_id: str) -> None:
        """From now on it opens nothing, and the streams that it opened end."""
        async with self._lock:
            await self._drop_tokens([self.book.token(token_id)])

    async def expire(self) -> None:
        """Forget the tokens whose time is over, and end their streams."""
        async with self._lock:
            now = self._clock()
            await self._drop_tokens([one for one in self.book.tokens.values() if not one.alive(now)])

    async def _drop_tokens(self, tokens: list[StoredToken]) -> None:
        def drop(writer: Any) -> None:
            for one in tokens:
                writer.run("drop_token", (one.digest,))

        if tokens:
            await self._commit(drop)
        for one in tokens:
            del self.book.tokens[one.digest]
        self._tell((), [one.digest for one in tokens])

    @contextlib.asynccontextmanager
    async def watching(self, concerned: IdentityListener) -> AsyncIterator[None]:
        """Inside the ``with``, changes and expiries are told to ``concerned``."""
        self.concerned = concerned
        watch = asyncio.ensure_future(self._watch())
        try:
            yield
        finally:
            self.concerned = None
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            with contextlib.suppress(ConnectionError):  # the disk: such tokens open nothing all the same
                await self.expire()
            ends = [one.expires for one in self.book.tokens.values() if one.expires is not None]
            wait = min([LONGEST_WAIT, *(end - self._clock() for end in ends)])
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(SHORTEST_WAIT, wait))

    def _end(self, life: float | None) -> float | None:
        return None if life is None else self._clock() + life

    def _tell(self, accounts: Any, dead: list[bytes] | None = None) -> None:
        if self.concerned is None:
            return
        for digest in dead or ():
            self.concerned.token_died(digest)
        for account in accounts:
            self.concerned.reconsider(account, self.book.identity(account))
