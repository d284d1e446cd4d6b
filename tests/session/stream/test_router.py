"""The router as a value: each outcome reaches its future once, whatever else comes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.batch import CallBatch, Target
from compute_executor.protocol.frames import VALUE, Options, Result, Results
from compute_executor.session.stream.router import Router

TARGET = Target(b"", None, Options())
GROUP = b"g" * 16


def batch(prefix: bytes, size: int, target: Target = TARGET) -> CallBatch:
    futures: list[Any] = [f"{prefix!r} {position}" for position in range(size)]
    return CallBatch(target, [], futures, prefix)


def results(*seqs: int, group: bytes = GROUP) -> Results:
    return Results(group, [Result(seq, b"a", 0, VALUE, b"") for seq in seqs])


def test_a_result_finds_its_future_once() -> None:
    router = Router()
    router.add(batch(b"a", 2))

    assert router.pop(b"a", 1) == "b'a' 1"
    assert router.pop(b"a", 1) is None
    assert (router.open, router.duplicates, router.unknown) == (1, 1, 0)


def test_a_finished_batch_is_forgotten() -> None:
    router = Router()
    router.add(batch(b"a", 1))
    router.pop(b"a", 0)

    assert router.open == 0
    assert list(router.tasks()) == []
    assert router.pop(b"a", 0) is None
    assert router.unknown == 1


def test_strangers_are_counted() -> None:
    router = Router()
    router.add(batch(b"a", 1))

    assert router.pop(b"b", 0) is None
    assert router.pop(b"a", 7) is None
    assert (router.open, router.duplicates, router.unknown) == (1, 1, 1)


def test_find_leaves_it_open() -> None:
    router = Router()
    router.add(batch(b"a", 1))

    assert router.find(b"a", 0) == "b'a' 0"
    assert router.find(b"a", 1) is None
    assert router.find(b"b", 0) is None
    assert router.open == 1


def test_what_is_expected_of_a_pool() -> None:
    router = Router()
    router.add(batch(b"a", 1, Target(b"", b"pool", Options())))

    assert router.expects(b"a", b"pool")
    assert not router.expects(b"a", b"other")
    assert not router.expects(b"b", b"pool")


def test_a_batch_is_added_once() -> None:
    router = Router()
    first = batch(b"a", 2)

    assert router.add(first)
    assert not router.add(batch(b"a", 2))
    assert router.open == 2


def test_a_removed_batch_expects_nothing() -> None:
    router = Router()
    router.add(batch(b"a", 2))
    router.pop(b"a", 0)

    router.remove(b"a")
    router.remove(b"a")

    assert router.open == 0
    assert router.futures() == []


def test_what_is_open() -> None:
    router = Router()
    router.add(batch(b"a", 2))
    router.add(batch(b"b", 1))
    router.pop(b"a", 0)

    assert router.futures() == ["b'a' 1", "b'b' 0"]
    assert list(router.tasks()) == [(b"a", [1]), (b"b", [0])]


def test_how_far_a_group_has_been_read() -> None:
    router = Router()
    router.read_up_to(results(3, 5, 4))
    router.read_up_to(results(2))
    router.read_up_to(results())
    router.read_up_to(results(1, group=b"h" * 16))

    assert router.read == {GROUP: 5, b"h" * 16: 1}


@given(
    sizes=st.dictionaries(st.binary(min_size=12, max_size=12), st.integers(1, 5), max_size=5),
    data=st.data(),
)
def test_any_order_with_duplicates_and_strangers(sizes: dict[bytes, int], data: st.DataObject) -> None:
    router = Router()
    for prefix, size in sizes.items():
        router.add(batch(prefix, size))
    tasks = [(prefix, position) for prefix, size in sizes.items() for position in range(size)]
    stranger = st.tuples(st.binary(min_size=12, max_size=12), st.integers(0, 9))
    noise = data.draw(st.lists(st.sampled_from(tasks) | stranger if tasks else stranger, max_size=20))
    arriving = data.draw(st.permutations(tasks + noise))

    ended = [task for task in arriving if router.pop(*task) is not None]

    assert sorted(ended) == sorted(tasks)
    assert router.open == 0
    assert router.duplicates + router.unknown == len(noise)


def test_it_names_what_is_open() -> None:
    router = Router()
    one = batch(b"p" * 12, 3)
    router.add(one)
    router.pop(b"p" * 12, 1)

    assert router.batches() == [one]
    assert list(router.tasks()) == [(b"p" * 12, [0, 2])]
    assert router.futures() == [future for future in one.futures if future is not None]
    assert len(router.futures()) == 2


def test_results_of_a_group_can_be_wanted_again() -> None:
    router = Router()
    for number in range(1, 30):
        router.read_up_to(Results(b"g" * 16, [Result(number, b"p" * 12, 0, 0, b"")]))
    assert 0 < router.resume_from(b"g" * 16) < 29

    router.read_anew(b"g" * 16)

    assert router.resume_from(b"g" * 16) == 0
