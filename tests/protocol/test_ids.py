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
