from __future__ import annotations

import asyncio
import pickle

import pytest

from compute_executor.errors import InvalidRequest, LoginUnavailable, NotFound, from_document
from compute_executor.service import access
from compute_executor.service.access import RULES, SERVICE, Identity, Owned, absent, check, may, shareable
from compute_executor.service.auth.authenticators import (
    AuthenticatorChain,
    CachingAuthenticator,
    LocalToken,
    new_token,
)

ANN = Identity("ann", "Ann")
BOB = Identity("bob", "Bob", frozenset({"physics"}))
ROOT = Identity("root", "Root", admin=True)

SECRET = Owned("ann")
SHARED = Owned("ann", group="physics")
OPEN = Owned("ann", public=True)

# action: who may do it to what of Ann's, besides Ann
TABLE = {
    "read function": {(BOB, SHARED), (BOB, OPEN), (ROOT, OPEN)},
    "run function": {(BOB, SHARED), (BOB, OPEN), (ROOT, OPEN)},
    "delete function": {(ROOT, SECRET), (ROOT, SHARED), (ROOT, OPEN)},
    "read task": set(),
    "cancel task": {(ROOT, SECRET), (ROOT, SHARED), (ROOT, OPEN)},
    "read group": set(),
    "cancel group": {(ROOT, SECRET), (ROOT, SHARED), (ROOT, OPEN)},
    "use pool": set(),
    "read endpoint": {(BOB, SHARED), (BOB, OPEN), (ROOT, OPEN)},
    "run on endpoint": {(BOB, SHARED), (BOB, OPEN), (ROOT, OPEN)},
    "manage endpoint": {(ROOT, SECRET), (ROOT, SHARED), (ROOT, OPEN)},
    "use container": set(),
    "manage accounts": {(ROOT, SECRET), (ROOT, SHARED), (ROOT, OPEN)},
    "see service": {(ROOT, SECRET), (ROOT, SHARED), (ROOT, OPEN)},
    "stop service": {(ROOT, SECRET), (ROOT, SHARED), (ROOT, OPEN)},
}


def test_the_table_is_the_whole_table() -> None:
    assert TABLE.keys() == RULES.keys()


@pytest.mark.parametrize("action", RULES)
@pytest.mark.parametrize("thing", [SECRET, SHARED, OPEN])
def test_who_may_what(action: str, thing: Owned) -> None:
    others = {(who, thing) for who in (BOB, ROOT) if may(who, action, thing)}
    assert others == {pair for pair in TABLE[action] if pair[1] is thing}
    assert may(ANN, action, thing) == (action not in ("manage accounts", "see service", "stop service"))


def test_an_action_that_is_not_in_the_table_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        may(ANN, "fly", SECRET)


def test_nobody_owns_the_service() -> None:
    assert may(ROOT, "stop service", SERVICE)
    assert not may(ANN, "stop service", SERVICE)


def test_a_foreign_thing_and_an_absent_one_look_the_same() -> None:
    with pytest.raises(NotFound, match=r"(?m)^there is no task 5 for you$"):
        check(BOB, "read task", SECRET, "task 5")
    check(ANN, "read task", SECRET, "task 5")


def test_what_is_shared_is_shared_with_a_group_of_ones_own() -> None:
    team = "0a1b2c3d-0000-4000-8000-00000000000f"
    member = Identity("eve", "Eve", frozenset({team}))
    for text in (team, team.upper(), f"urn:uuid:{team}"):
        assert shareable(member, text) == team
        assert shareable(Identity("local", "local"), text) == team
        for who in (BOB, ROOT):
            with pytest.raises(NotFound, match=f"(?m)^there is no group {team} for you$"):
                shareable(who, text)
    assert shareable(BOB, None) is None
    with pytest.raises(InvalidRequest, match="'physics' is no group id"):
        shareable(BOB, "physics")


@pytest.mark.parametrize(
    ("name", "code"),
    {
        "function f": 3,
        "endpoint e": 4,
        "container c": 5,
        "task t": 6,
        "group g": 7,
        "task group g": 20,
        "pool p": 6,
    }.items(),
)
def test_not_found_says_of_what_kind(name: str, code: int) -> None:
    error = absent(name)
    assert error.document()["code"] == code
    assert type(from_document(error.document())) is NotFound


def test_the_local_token_is_the_local_user() -> None:
    token = new_token()
    door = LocalToken(token)
    identity = asyncio.run(door.identify(token))
    assert identity is not None
    assert identity.admin
    for wrong in ("", token[:-1], token + "x", token.upper(), "\udcff", new_token()):
        assert asyncio.run(door.identify(wrong)) is None


def test_the_token_itself_is_not_kept() -> None:
    token = new_token()
    assert len(token) >= 43
    assert token.encode() not in pickle.dumps(vars(LocalToken(token)))


# -- several authenticators -----------------------------------------------------------------------------------


class Knows:
    """An Authenticator that knows some tokens, and what it was asked."""

    def __init__(self, **known: Identity) -> None:
        self.known = known
        self.asked: list[str] = []

    async def identify(self, token: str) -> Identity | None:
        self.asked.append(token)
        return self.known.get(token)


class Remembers(Knows):
    """One that remembers, too."""

    def __init__(self, **known: Identity) -> None:
        super().__init__(**known)
        self.forgotten: list[str] = []

    def forget(self, token: str) -> None:
        self.forgotten.append(token)


def test_the_first_that_knows_a_token_says_whose_it_is() -> None:
    first, second = Knows(one=ANN), Knows(one=BOB, two=BOB)
    chain = AuthenticatorChain(first, second)
    assert asyncio.run(chain.identify("one")) == ANN
    assert second.asked == []  # a token is shown to nobody who need not see it
    assert asyncio.run(chain.identify("two")) == BOB
    assert (first.asked, second.asked) == (["one", "two"], ["two"])


def test_a_token_that_none_knows_is_nobodys() -> None:
    first, second = Knows(one=ANN), Knows()
    assert asyncio.run(AuthenticatorChain(first, second).identify("three")) is None
    assert first.asked == second.asked == ["three"]
    assert asyncio.run(AuthenticatorChain().identify("three")) is None


def test_trouble_of_one_is_not_passed_over() -> None:
    """Else the next might take for a stranger, or for somebody else, whom the first could not find out."""

    class Troubled(Knows):
        async def identify(self, token: str) -> Identity | None:
            raise LoginUnavailable("Globus Auth does not answer")

    after = Knows(one=BOB)
    with pytest.raises(LoginUnavailable):
        asyncio.run(AuthenticatorChain(Troubled(), after).identify("one"))
    assert after.asked == []


def test_those_that_remember_forget_in_chains_of_chains_too() -> None:
    near, far = Remembers(), Remembers()
    chain = AuthenticatorChain(Knows(), near, AuthenticatorChain(Knows(), far))
    assert isinstance(chain, CachingAuthenticator)
    chain.forget("one")
    assert near.forgotten == far.forgotten == ["one"]


def test_the_folders_token_is_good_beside_others() -> None:
    chain = AuthenticatorChain(LocalToken("local"), Knows(one=ANN))
    local = asyncio.run(chain.identify("local"))
    assert local is not None
    assert local.admin
    assert asyncio.run(chain.identify("one")) == ANN


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (access.absent("task 1", "read"), "read"),
        (access.absent("task 1"), None),
        (ValueError("another"), None),
    ],
)
def test_what_was_forbidden_is_known_to_the_log_alone(error: Exception, action: str | None) -> None:
    assert access.forbidden_action(error) == action
    assert str(error) == str(error).replace("read", "")


def test_the_cause_of_an_error_is_looked_at() -> None:
    error = ValueError("another")
    error.__cause__ = access.absent("task 1", "read")
    assert access.forbidden_action(error) == "read"


def test_identities_have_uuids_for_stock_peers() -> None:
    known = "4c4e1a4e-7f9f-4b8f-9f6e-0d0a3b6b8f11"
    assert access.subject(known) == known
    assert access.subject("ann") == access.subject("ann") != access.subject("bob")
    assert len(access.subject("ann")) == 36


def test_what_is_not_there_is_nobodys() -> None:
    assert access.owned_by(None) == access.NOBODYS
    assert access.owned_by("ann") == Owned("ann")
    with pytest.raises(NotFound):
        check(Identity("ann", "ann", admin=True), "read task", access.owned_by(None), "task 1")
