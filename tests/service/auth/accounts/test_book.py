"""Who there is, as plain values."""

from __future__ import annotations

import pytest

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.service.access import Identity
from compute_executor.service.auth.accounts.book import (
    CLIENT,
    USER,
    Account,
    AccountBook,
    StoredToken,
    UserGroup,
)

ANN = Account("id-ann", USER, "ann", None, None, 1.0)
BOB = Account("id-bob", USER, "bob", None, None, 1.0)
CI = Account("id-ci", CLIENT, "ci", b"secret", 50.0, 1.0)
LAB, CLUB = UserGroup("id-lab", "lab", 1.0), UserGroup("id-club", "club", 1.0)
FIRST, SECOND = StoredToken(b"1", "t1", "id-ann", 1.0, None), StoredToken(b"2", "t2", "id-ann", 1.0, 10.0)
OTHER = StoredToken(b"3", "t3", "id-bob", 1.0, None)


@pytest.fixture
def book() -> AccountBook:
    members = [("id-lab", "id-ann"), ("id-lab", "id-ci"), ("id-club", "id-ann")]
    return AccountBook([ANN, BOB, CI], [LAB, CLUB], members, [FIRST, SECOND, OTHER])


def test_an_identity_has_the_groups_of_the_moment(book: AccountBook) -> None:
    assert book.identity("id-ann") == Identity("id-ann", "ann", frozenset({"id-lab", "id-club"}))
    assert book.identity("id-bob") == Identity("id-bob", "bob")
    assert book.identity("id-ci") == Identity("id-ci", "ci", frozenset({"id-lab"}))
    book.members["id-lab"].discard("id-ann")
    assert book.identity("id-ann") == Identity("id-ann", "ann", frozenset({"id-club"}))


def test_nobody_has_no_identity_and_no_account_is_an_admin(book: AccountBook) -> None:
    assert book.identity("id-eve") is None
    assert book.identity("ann") is None  # that is a name
    assert not any(book.identity(one).admin for one in book.accounts)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["ann", "id-ann"])
def test_accounts_are_found_by_name_and_by_id(book: AccountBook, name: str) -> None:
    assert book.account(name) == book.account(name, USER) == ANN


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("eve", None, "there is no user or client 'eve'"),
        ("ann", CLIENT, "there is no client 'ann'"),
        ("ci", USER, "there is no user 'ci'"),
        ("", None, "there is no user or client ''"),
    ],
)
def test_an_account_of_another_kind_is_none(
    book: AccountBook, name: str, kind: str | None, said: str
) -> None:
    with pytest.raises(NotFound, match=said):
        book.account(name, kind)


def test_groups_and_tokens_are_found(book: AccountBook) -> None:
    assert book.group("lab") == book.group("id-lab") == LAB
    assert book.token("t2") == SECOND
    with pytest.raises(NotFound, match="there is no group 'ann'"):
        book.group("ann")
    with pytest.raises(NotFound, match=r"there is no token 't9': `token list` shows"):
        book.token("t9")


@pytest.mark.parametrize("name", ["", " \t", "x" * 201, "two\nlines", "bell\a"])
def test_what_is_no_name(book: AccountBook, name: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 200 printable"):
        book.require_free(name, [])


@pytest.mark.parametrize("name", ["ann", "id-ann", "ci"])
def test_names_and_ids_are_taken_by_users_and_clients_alike(book: AccountBook, name: str) -> None:
    with pytest.raises(InvalidRequest, match="is taken"):
        book.require_free(name, book.accounts.values())
    book.require_free(name, book.groups.values())


def test_free_names(book: AccountBook) -> None:
    for name in ("dora", "Ann", "x" * 200, "Åsa Öberg"):
        book.require_free(name, book.accounts.values())


def test_a_token_is_alive_until_its_second() -> None:
    assert FIRST.alive(1e12)
    assert SECOND.alive(9.99)
    assert not SECOND.alive(10.0)


def test_a_dropped_account_leaves_nothing_of_its_own(book: AccountBook) -> None:
    assert book.tokens_of("id-ann") == [FIRST, SECOND]
    book.drop_account("id-ann")
    assert set(book.accounts) == {"id-bob", "id-ci"}
    assert book.members == {"id-lab": {"id-ci"}, "id-club": set()}
    assert list(book.tokens.values()) == [OTHER]
    assert book.tokens_of("id-ann") == []
