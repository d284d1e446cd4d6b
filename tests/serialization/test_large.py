"""Large contents: pieces come out as they went in, whatever the kernel takes of them at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.serialization import large, native


@given(pieces=st.lists(st.binary(max_size=40), max_size=1200), most=st.integers(1, 50))
def test_all_pieces_are_written_however_few_bytes_are_taken_at_a_time(pieces: list[bytes], most: int) -> None:
    written: list[bytes] = []

    def some(_: int, views: list[memoryview]) -> int:
        assert len(views) <= 1024  # IOV_MAX
        taken = b"".join(views)[:most]
        written.append(taken)
        return len(taken)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", some)
        large.write(-1, list(pieces))

    assert b"".join(written) == b"".join(pieces)


def test_bytes_are_one_piece(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        large.write(file.fileno(), b"abc")

    assert (tmp_path / "file").read_bytes() == b"abc"


@pytest.mark.parametrize("length", [0, 5, large.MAPPED - 1, large.MAPPED, large.MAPPED + 1])
def test_a_file_is_read_whole(tmp_path: Path, length: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(length))

    content = large.read(str(path))

    assert bytes(content) == bytes(length)
    assert isinstance(content, memoryview) == (length >= large.MAPPED)


def test_a_view_outlives_the_name_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * large.MAPPED)
    content = large.read(str(path))
    path.unlink()

    assert bytes(content[-3:]) == b"xxx"


LARGE = bytes(1_000_000)


@pytest.mark.parametrize(
    "value", [LARGE, [LARGE, 1, LARGE], {"a": bytearray(LARGE)}, "ä" * 100_000, list(range(50_000))]
)
def test_what_is_large_comes_back_from_its_pieces(value: Any) -> None:
    content = native.dump(value)

    assert isinstance(content, list)
    assert large.size(content) == len(large.whole(content))
    assert native.loads(memoryview(large.whole(content))) == value


def test_large_bytes_are_not_copied() -> None:
    content = native.dump_call((LARGE, 1), {"more": LARGE})

    assert isinstance(content, list)
    assert sum(piece is LARGE for piece in content) == 2
    assert native.loads_call(large.whole(content)) == ((LARGE, 1), {"more": LARGE})


def test_large_arrays_are_not_copied() -> None:
    numpy = pytest.importorskip("numpy")
    table = numpy.arange(100_000.0).reshape(100, 1000)

    for array in (table, table.T, table[::2, ::3]):
        content = native.dump(array)
        assert isinstance(content, list)
        assert large.size(content) == len(large.whole(content))
        assert (native.loads(large.whole(content)) == array).all()


def test_what_is_small_is_one_bytes_object() -> None:
    assert isinstance(native.dump([1, 2]), bytes)
    assert isinstance(native.dump_call(("a", b"b"), {"c": [1]}), bytes)
