from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.service.access import Identity
from compute_executor.service.auth.accounts.accounts import Accounts
from compute_executor.service.auth.accounts.book import CLIENT, USER
from compute_executor.service.auth.authenticators import token_digest
from compute_executor.service.auth.clients import LIFE
from compute_executor.service.store.store import Operation, Store
from tests.service.fixture import live, turn


class Told:
    """Whoever must hear of changes."""

    def __init__(self) -> None:
        self.dead: list[bytes] = []
        self.users: list[tuple[str, Identity | None]] = []
        self.news = asyncio.Event()

    def reconsider(self, user: str, identity: Identity | None) -> None:
        self.users.append((user, identity))

    def token_died(self, digest: bytes) -> None:
        self.dead.append(digest)
        self.news.set()


class Town:
    """Accounts over a store, with a clock that stands still."""

    def __init__(self, store: Store) -> None:
        self.now = 1000.0
        self.store = store
        self.told = Told()
        self.accounts = self.again()
        self.accounts.concerned = self.told

    def again(self) -> Accounts:
        """As after a restart."""

        async def commit(operation: Operation) -> Any:
            (done,) = self.store.run([operation])
            assert done.error is None
            return done.result

        return Accounts(self.store.read, commit, lambda: self.now)


@pytest.fixture
def town(store: Store) -> Town:
    return Town(store)


@live
async def test_a_token_is_its_users_until_it_expires(town: Town) -> None:
    ann = await town.accounts.add_user("ann")
    token, _ = await town.accounts.new_token("ann", 60)
    for accounts in (town.accounts, town.again()):
        assert await accounts.identify(token) == Identity(ann.id, "ann")
        assert await accounts.identify(token + "x") is None
    town.now += 60
    assert await town.accounts.identify(token) is None
    await town.accounts.expire()
    assert town.told.dead == [token_digest(token)]
    assert town.again().book.tokens == {}


@live
async def test_a_revoked_token_is_dead_and_the_users_other_one_is_not(town: Town) -> None:
    await town.accounts.add_user("ann")
    first, kept = await town.accounts.new_token("ann")
    second, _ = await town.accounts.new_token("ann")
    await town.accounts.revoke_token(kept.id)
    for accounts in (town.accounts, town.again()):
        assert await accounts.identify(first) is None
        assert await accounts.identify(second) is not None
    assert (town.told.dead, town.told.users) == ([token_digest(first)], [])


@live
async def test_a_removed_user_is_nobody(town: Town) -> None:
    ann = await town.accounts.add_user("ann")
    group = await town.accounts.add_group("lab")
    await town.accounts.join("lab", "ann")
    token, _ = await town.accounts.new_token("ann")
    town.told.users.clear()
    await town.accounts.remove("ann", USER)
    assert town.told.users == [(ann.id, None)]
    assert town.told.dead == [token_digest(token)]
    for accounts in (town.accounts, town.again()):
        assert await accounts.identify(token) is None
        assert accounts.book.members == {group.id: set()}
    assert (await town.accounts.add_user("ann")).id != ann.id


@live
async def test_memberships_are_told_at_once(town: Town) -> None:
    ann = await town.accounts.add_user("ann")
    group = await town.accounts.add_group("lab")
    member, alone = Identity(ann.id, "ann", frozenset({group.id})), Identity(ann.id, "ann")
    await town.accounts.join("lab", "ann")
    await town.accounts.join("lab", "ann")
    assert town.again().book.identity(ann.id) == member
    await town.accounts.leave("lab", "ann")
    await town.accounts.join("lab", ann.id)
    await town.accounts.remove_group("lab")
    assert [identity for _, identity in town.told.users] == [member, member, alone, member, alone]
    assert town.again().book.identity(ann.id) == alone


@live
async def test_a_client_logs_in_while_its_secret_is_good(town: Town) -> None:
    client, secret = await town.accounts.add_client("ci", LIFE + 10)
    who = await town.accounts.check_client(client.id, secret)
    assert who == Identity(client.id, "ci")
    assert await town.accounts.check_client(client.id, "wrong") is None
    assert await town.accounts.check_client("other", secret) is None
    issued = await town.accounts.issue_token(who)
    assert issued.expires == town.now + LIFE
    assert await town.accounts.identify(issued.token) == who
    town.now += LIFE
    assert (await town.accounts.issue_token(who)).expires == town.now + 10
    town.now += 10
    assert await town.accounts.check_client(client.id, secret) is None
    await town.accounts.remove("ci", CLIENT)


@live
async def test_wrong_names(town: Town) -> None:
    ann = await town.accounts.add_user("ann")
    for name in ("ann", ann.id, "", " ", "a\nb", "x" * 201):
        with pytest.raises(InvalidRequest):
            await town.accounts.add_user(name)
    with pytest.raises(NotFound, match="client 'ann'"):
        await town.accounts.remove("ann", CLIENT)
    with pytest.raises(NotFound, match="group 'lab'"):
        await town.accounts.join("lab", "ann")
    with pytest.raises(NotFound, match="token"):
        await town.accounts.revoke_token("x")


@live
async def test_expiry_is_noticed_by_itself(town: Town) -> None:
    await town.accounts.add_user("ann")
    async with town.accounts.watching(town.told):
        await turn()  # it waits for long now
        token, _ = await town.accounts.new_token("ann", 5)
        town.now += 5
        await town.told.news.wait()
    assert town.told.dead == [token_digest(token)]


@live
async def test_no_token_or_secret_is_stored(town: Town, path: Path) -> None:
    await town.accounts.add_user("ann")
    token, _ = await town.accounts.new_token("ann")
    _, secret = await town.accounts.add_client("ci")
    written = b"".join(one.read_bytes() for one in path.parent.glob("store.sqlite*"))
    assert token_digest(token) in written
    assert token.encode() not in written
    assert secret.encode() not in written
