"""Who there is: users, clients, groups and tokens, in memory as the store has them. Few and small. No I/O, no clock.

Users and clients are both accounts; names of accounts are unique, names of groups too. Owner: the loop thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.service.access import Identity

USER, CLIENT = "user", "client"


class Account(NamedTuple):
    """A person, or a program with a ``secret`` (its SHA-256). ``id``: a UUID as text. Times: Unix seconds."""

    id: str
    kind: str
    name: str
    secret: bytes | None
    expires: float | None
    created: float


class UserGroup(NamedTuple):
    """Accounts with which things can be shared together."""

    id: str
    name: str
    created: float


class StoredToken(NamedTuple):
    """What opens the service for an account; ``digest`` is its SHA-256, ``id`` what it is revoked by."""

    digest: bytes
    id: str
    account: str
    created: float
    expires: float | None

    def alive(self, now: float) -> bool:
        """Return whether it is good at Unix time ``now``."""
        return self.expires is None or self.expires > now


class AccountBook:
    """The contents of the tables."""

    def __init__(
        self,
        accounts: Iterable[Account] = (),
        groups: Iterable[UserGroup] = (),
        members: Iterable[tuple[str, str]] = (),
        tokens: Iterable[StoredToken] = (),
    ) -> None:
        self.accounts: dict[str, Account] = {one.id: one for one in accounts}
        self.groups: dict[str, UserGroup] = {one.id: one for one in groups}
        self.members: dict[str, set[str]] = {group: set() for group in self.groups}  # by group
        for group, account in members:
            self.members[group].add(account)
        self.tokens: dict[bytes, StoredToken] = {one.digest: one for one in tokens}

    def identity(self, account: str) -> Identity | None:
        """Return who an account is now; None if it is gone."""
        found = self.accounts.get(account)
        if found is None:
            return None
        groups = frozenset(group for group, members in self.members.items() if account in members)
        return Identity(found.id, found.name, groups)

    def account(self, name: str, kind: str | None = None) -> Account:
        """By name or id. Raises NotFound."""
        for one in self.accounts.values():
            if name in (one.name, one.id) and kind in (None, one.kind):
                return one
        raise NotFound(f"there is no {kind or 'user or client'} {name!r}")

    def group(self, name: str) -> UserGroup:
        """By name or id. Raises NotFound."""
        for one in self.groups.values():
            if name in (one.name, one.id):
                return one
        raise NotFound(f"there is no group {name!r}")

    def token(self, token_id: str) -> StoredToken:
        """By id. Raises NotFound."""
        for one in self.tokens.values():
            if one.id == token_id:
                return one
        raise NotFound(f"there is no token {token_id!r}: `token list` shows their ids")

    def require_free(self, name: str, taken: Iterable[Account | UserGroup]) -> None:
        """Raise InvalidRequest unless a new account or group can be called so."""
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise InvalidRequest("a name is 1 to 200 printable characters")
        if any(name in (one.name, one.id) for one in taken):
            raise InvalidRequest(f"the name {name!r} is taken")

    def tokens_of(self, account: str) -> list[StoredToken]:
        """Return all tokens of an account."""
        return [one for one in self.tokens.values() if one.account == account]

    def drop_account(self, account: str) -> None:
        """Forget an account with its tokens and memberships."""
        del self.accounts[account]
        for members in self.members.values():
            members.discard(account)
        for token in self.tokens_of(account):
            del self.tokens[token.digest]
