"""Task ids: a batch prefix and a position, as a UUID."""

from __future__ import annotations

import doctest
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.protocol import ids


@given(position=st.integers(0, 2**32 - 1))
def test_an_id_is_split_into_what_it_was_made_of(position: int) -> None:
    prefix = ids.new_prefix()
    assert ids.split_task_id(ids.task_uuid(prefix, position)) == (prefix, position)
    assert ids.split_task_id(uuid.UUID(ids.task_uuid(prefix, position))) == (prefix, position)


def test_it_is_a_uuid_of_version_8() -> None:
    made = uuid.UUID(ids.task_uuid(ids.new_prefix(), 7))
    assert made.version == 8
    assert made.variant == uuid.RFC_4122


def test_prefixes_differ() -> None:
    assert len({ids.new_prefix() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("text", ["", "no uuid", "01234567-89ab-8def-8123-beef0000010"])
def test_what_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="badly formed"):
        ids.split_task_id(text)


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(ids).failed == 0


def test_parts_are_cut_where_they_are_full() -> None:
    assert list(ids.in_parts([(b"a", [1, 2, 3]), (b"b", [4])], 2)) == [
        [(b"a", [1, 2])],
        [(b"a", [3]), (b"b", [4])],
    ]


@given(
    st.lists(st.tuples(st.binary(max_size=3), st.lists(st.integers(0, 9), max_size=7)), max_size=6),
    st.integers(1, 5),
)
def test_parts_lose_nothing(tasks: list[tuple[bytes, list[int]]], size: int) -> None:
    parts = list(ids.in_parts(tasks, size))

    assert all(0 < sum(len(positions) for _, positions in part) <= size for part in parts)
    assert [(prefix, one) for part in parts for prefix, positions in part for one in positions] == [
        (prefix, one) for prefix, positions in tasks for one in positions
    ]
