"""Task groups: whose they are, who hears of what, and that what nobody needs is not kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.errors import NotFound
from compute_executor.protocol.frames import Blob, Result
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.tasks import groups as module
from compute_executor.service.tasks.groups import RESULT_BYTES, TaskGroups, body_size
from tests.service.fixture import ALICE, BOB, GROUP, Listener

OTHER = b"o" * 16


class Store:
    """A reader: groups with owner, floor and acknowledged number; outcomes by number."""

    def __init__(self) -> None:
        self.known: dict[bytes, tuple[str, int, int]] = {}
        self.stored: list[tuple[bytes, Result]] = []

    def group(self, group: bytes) -> Any:
        return self.known.get(group)

    def last_seq(self) -> int:
        return max((result.seq for _, result in self.stored), default=0)

    def next_seq(self, after: int) -> int:
        return min((result.seq for _, result in self.stored if result.seq > after), default=0)

    def outcomes(self, group: bytes, after: int, until: int) -> Any:
        for its, result in self.stored:
            if its == group and after < result.seq <= until:
                yield result

    def add(self, group: bytes, body: bytes = b"x") -> None:
        seq = len(self.stored) + 1
        self.stored.append((group, Result(seq, b"p" * 12, seq, 0, body, 1.0, 2.0)))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def groups(store: Store) -> TaskGroups:
    return TaskGroups(cast(Any, store), Dispatch())


def batch(group: bytes = GROUP) -> Any:
    return SimpleNamespace(group=group, prefix=b"p" * 12)


def ended(position: int) -> TaskEnded:
    return TaskEnded(1, position, 1, 0, b"v", 1.0, 2.0)


def test_a_group_is_its_first_users(groups: TaskGroups, store: Store) -> None:
    store.known[OTHER] = ("bob", 0, 0)
    groups.claim(ALICE, GROUP)
    groups.known(ALICE, GROUP)
    for group, who in ((GROUP, BOB), (OTHER, ALICE)):
        with pytest.raises(NotFound):
            groups.claim(who, group)
        with pytest.raises(NotFound):
            groups.subscribe(who, Listener(), group)
        with pytest.raises(NotFound):
            groups.acknowledge(who, group, 1)
    with pytest.raises(NotFound):
        groups.known(ALICE, b"?" * 16)


def test_a_new_group_has_nothing_from_before(groups: TaskGroups, store: Store) -> None:
    store.add(OTHER)
    assert groups.subscribe(ALICE, Listener(), GROUP) == 1
    store.known[OTHER] = ("alice", 0, 0)
    assert groups.subscribe(ALICE, Listener(), OTHER) == 0


def test_a_group_is_open_while_a_batch_of_it_is(groups: TaskGroups) -> None:
    groups.claim(ALICE, GROUP)
    groups.opened(GROUP)
    groups.opened(GROUP)
    groups.finished(GROUP)
    assert groups.open(GROUP)
    groups.finished(GROUP)
    assert not groups.open(GROUP)
    assert groups._groups == {}


def test_who_listens_hears_of_its_group_until_it_leaves(groups: TaskGroups) -> None:
    first, second = Listener(), Listener()
    groups.subscribe(ALICE, first, GROUP)
    groups.subscribe(ALICE, first, GROUP)  # once is enough
    groups.subscribe(ALICE, second, OTHER)
    groups.publish(
        5, [(batch(), ended(0)), (batch(), ended(1)), (batch(OTHER), ended(2)), (batch(b"?" * 16), ended(3))]
    )
    assert [(one.seq, one.position) for one in first.got] == [(5, 0), (6, 1)]
    assert [(one.seq, one.position) for one in second.got] == [(7, 2)]
    groups.began([(batch(), 0, 1.5), (batch(b"?" * 16), 1, 1.5)])
    assert first.begun == [(b"p" * 12, 0, 1.5)]
    assert second.begun == []
    groups.stored([(batch(), ended(0)), (batch(), ended(1)), (batch(b"?" * 16), ended(3))])
    assert (first.stored_groups, second.stored_groups) == ([GROUP], [])
    groups.unsubscribe(first)
    groups.publish(9, [(batch(), ended(4))])
    assert len(first.got) == 2
    assert set(groups._groups) == {OTHER}


def test_the_highest_acknowledgement_counts_and_is_taken_once(groups: TaskGroups) -> None:
    groups.claim(ALICE, GROUP)
    for seq in (3, 7, 5):
        groups.acknowledge(ALICE, GROUP, seq)
    assert groups.take_acknowledged() == [(GROUP, 7)]
    assert groups.take_acknowledged() == []


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 300), st.integers(1, 10))
def test_a_replay_in_parts_is_all_of_a_group_once_and_in_order(
    mine: list[bool], limit: int, scan: int
) -> None:
    store, usual = Store(), module.SCAN  # type: ignore[attr-defined]
    groups = TaskGroups(cast(Any, store), Dispatch())
    for one in mine:
        store.add(GROUP if one else OTHER)
    module.SCAN = scan  # type: ignore[attr-defined]
    try:
        found: list[Result] = []
        after, complete = 0, False
        while not complete:
            results, after, complete = groups.replay(GROUP, after, limit)
            found += results
    finally:
        module.SCAN = usual  # type: ignore[attr-defined]
    assert [one.seq for one in found] == [seq for seq, one in enumerate(mine, 1) if one]


def test_numbers_that_a_start_left_out_are_passed_over_at_once(groups: TaskGroups, store: Store) -> None:
    for seq in (1, 100_000):
        store.stored.append((GROUP, Result(seq, b"p" * 12, 0, 0, b"x", 1.0, 2.0)))
    found, until, complete = groups.replay(GROUP, 1, 1000)
    assert ([one.seq for one in found], until, complete) == ([100_000], 100_000, True)


def test_a_result_weighs_what_it_takes_in_a_frame() -> None:
    result = Result(1, b"p" * 12, 0, 0, b"12345", 1.0, 2.0)
    assert body_size(result) == RESULT_BYTES + 5
    assert body_size(Result(1, b"p" * 12, 0, 0, Blob("n", 10**9), 1.0, 2.0)) == 2 * RESULT_BYTES


def test_whose_listener_goes_is_found_without_looking_at_all_groups(groups: TaskGroups) -> None:
    class NotLookedThrough(dict[bytes, module.TaskGroup]):
        def items(self) -> Any:
            raise AssertionError("there may be millions, of others")

    groups._groups = NotLookedThrough()
    first, second = Listener(), Listener()
    for listener, group in ((first, GROUP), (first, OTHER), (second, OTHER), (first, GROUP)):
        groups.subscribe(ALICE, listener, group)
    groups.unsubscribe(first)
    assert (groups.clients(GROUP), groups.clients(OTHER)) == (0, 1)
    groups.unsubscribe(first)
    groups.unsubscribe(second)
    assert not groups._groups
    assert not groups._heard
