"""Who leaves when there are too many connections. Values only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.service.process.admission import PER_NETWORK, Admission, Peer, network_of


def enter(admission: Admission, *ports: int, host: str = "192.0.2.1") -> list[Peer | None]:
    return [admission.enter((host, port)) for port in ports]


def test_the_oldest_stranger_of_an_address_leaves_for_the_next() -> None:
    admission = Admission(16_384)
    assert enter(admission, *range(PER_NETWORK)) == [None] * PER_NETWORK
    assert enter(admission, 1000, 1001) == [("192.0.2.1", 0), ("192.0.2.1", 1)]
    assert admission.enter(("192.0.2.2", 5)) is None


def test_who_has_shown_a_token_stays() -> None:
    admission = Admission(16_384)
    enter(admission, 7)
    assert admission.known(("192.0.2.1", 7), "ann")
    assert ("192.0.2.1", 7) not in enter(admission, *range(1000, 3000))


def test_users_have_what_strangers_may_not_take() -> None:
    admission = Admission(64)
    for port in range(64):
        enter(admission, port, host=f"192.0.2.{port}")  # each from elsewhere: no address has too many
    assert admission.enter(("198.51.100.1", 1)) is not None
    for port in range(48):
        enter(admission, port, host="203.0.113.9")
        assert admission.known(("203.0.113.9", port), f"user {port}")


def test_one_user_cannot_take_all() -> None:
    admission = Admission(64)
    granted = []
    for port in range(64):
        enter(admission, port)
        granted.append(admission.known(("192.0.2.1", port), "eve"))
    assert granted.count(True) == 48
    enter(admission, 99)
    assert admission.known(("192.0.2.1", 99), "ann")


def test_where_all_are_users_a_newcomer_has_no_place_until_one_leaves() -> None:
    admission = Admission(4)
    for port in range(4):
        enter(admission, port)
        admission.known(("192.0.2.1", port), f"user {port}")
    assert enter(admission, 9) == [("192.0.2.1", 9)]
    admission.leave(("192.0.2.1", 0))
    assert enter(admission, 10) == [None]


def test_an_ipv6_network_counts_as_one_address() -> None:
    admission = Admission(16_384)
    found = [admission.enter((f"2001:db8::{number:x}", 1)) for number in range(PER_NETWORK + 1)]
    assert found[-1] == ("2001:db8::0", 1)
    assert admission.enter(("2001:db8:0:1::1", 1)) is None


def test_an_ipv4_address_is_the_same_one_in_ipv6() -> None:
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.7")


PEERS = st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), st.integers(0, 30))


@given(
    most=st.integers(1, 40),
    steps=st.lists(st.tuples(st.sampled_from(["enter", "known", "leave"]), PEERS, st.sampled_from("ab"))),
)
def test_no_bound_is_ever_broken(most: int, steps: list[tuple[str, Peer, str]]) -> None:
    admission = Admission(most)
    strangers: set[Peer] = set()
    users: dict[Peer, str] = {}
    for step, peer, user in steps:
        if step == "enter" and peer not in strangers and peer not in users:
            leaving = admission.enter(peer)
            strangers.add(peer)
            if leaving is not None:
                assert leaving in strangers, "a user never leaves for a stranger"
                strangers.remove(leaving)
        elif step == "known" and peer in strangers and admission.known(peer, user):
            strangers.remove(peer)
            users[peer] = user
        elif step == "leave":
            admission.leave(peer)
            strangers.discard(peer)
            users.pop(peer, None)
        assert len(strangers) <= admission.strangers
        assert len(strangers) + len(users) <= most
        assert all(list(users.values()).count(one) <= admission.per_user for one in "ab")


@pytest.mark.parametrize("most", [1, 2, 3, 64])
def test_there_is_always_room_for_somebody(most: int) -> None:
    assert enter(Admission(most), 1) == [None]
