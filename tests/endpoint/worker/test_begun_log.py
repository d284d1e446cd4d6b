"""What had begun, read from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from compute_executor.endpoint.worker import begun_log
from compute_executor.endpoint.worker.begun_log import CAPACITY, BegunLog

KEYS = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))


@settings(max_examples=20)
@given(st.lists(KEYS, max_size=20, unique=True))
def test_marks_are_read_back(tmp_path_factory: Any, keys: Any) -> None:
    folder = tmp_path_factory.mktemp("rings")
    ring = BegunLog(str(folder / "a.ring"))
    for key in keys:
        ring.mark(*key)
    assert begun_log.begun(folder) == set(keys)
    assert ring.count() == len(keys)
    assert list(ring.recent(3)) == keys[::-1][:3]


def test_a_ring_keeps_the_last_ones(tmp_path: Path) -> None:
    ring = BegunLog(str(tmp_path / "a.ring"))
    for position in range(CAPACITY + 10):
        ring.mark(1, position, 2)
    assert begun_log.begun(tmp_path) == {(1, position, 2) for position in range(10, CAPACITY + 10)}
    assert list(ring.recent(2)) == [(1, CAPACITY + 9, 2), (1, CAPACITY + 8, 2)]
    assert len(list(ring.recent(2 * CAPACITY))) == CAPACITY


def test_both_sides_see_the_same_and_the_next_worker_goes_on(tmp_path: Path) -> None:
    path = str(tmp_path / "a.ring")
    engine, worker = BegunLog(path), BegunLog(path)
    worker.mark(1, 2, 3)
    assert list(engine.recent(5)) == [(1, 2, 3)]
    BegunLog(path).mark(4, 5, 6)
    assert list(engine.recent(5)) == [(4, 5, 6), (1, 2, 3)]


def test_other_and_unfinished_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "half.ring").write_bytes(b"\1")
    (tmp_path / "other").write_bytes(b"")
    BegunLog(str(tmp_path / "a.ring")).mark(1, 1, 1)
    assert begun_log.begun(tmp_path) == {(1, 1, 1)}


def test_clearing_removes_rings_only(tmp_path: Path) -> None:
    BegunLog(str(tmp_path / "a.ring"))
    (tmp_path / "other").write_bytes(b"")
    begun_log.clear(tmp_path)
    assert os.listdir(tmp_path) == ["other"]


def test_a_ring_is_its_owners_alone(tmp_path: Path) -> None:
    BegunLog(str(tmp_path / "a.ring"))
    assert (tmp_path / "a.ring").stat().st_mode & 0o777 == 0o600
