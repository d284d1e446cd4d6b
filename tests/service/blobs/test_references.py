"""What is referred to must be there, whole; what nothing refers to goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compute_executor.errors import InvalidRequest, PayloadTooLarge
from compute_executor.protocol.frames import Blob
from compute_executor.service.blobs.disk import DiskUse
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.blobs.references import BlobReferences
from tests.service.fixture import live

A, B = "a" * 32, "b" * 32


def care(folder: Path, limit: int = 100) -> BlobReferences:
    def in_use(name: str) -> bool:
        return name == B

    return BlobReferences(BlobFolder(folder), limit, in_use, lambda _: False, DiskUse(folder, 0))


def test_a_blob_must_be_there_whole_and_not_too_large(tmp_path: Path) -> None:
    (tmp_path / A).write_bytes(b"12345")
    care(tmp_path).require([Blob(A, 5)])
    with pytest.raises(InvalidRequest, match="5 bytes, not 6"):
        care(tmp_path).require([Blob(A, 6)])
    with pytest.raises(InvalidRequest, match="not there"):
        care(tmp_path).require([Blob(B, 5)])
    with pytest.raises(PayloadTooLarge, match="500"):
        care(tmp_path).require([Blob(A, 500)])


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 32, "", "a" * 31 + "\0"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="no blob name"):
        care(tmp_path).require([Blob(name, 5)])


def test_deleting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / A).write_bytes(b"1")
    (tmp_path / B).mkdir()
    care(tmp_path).delete([A, B, "c" * 32])
    assert [path.name for path in tmp_path.iterdir()] == [B]
    assert B in caplog.text


def test_the_sweep_takes_what_is_old_and_unused(tmp_path: Path) -> None:
    for name in (A, B, f"{A}.1234.part", "c" * 32):
        (tmp_path / name).write_bytes(b"1")
    for name in (A, B, f"{A}.1234.part"):
        os.utime(tmp_path / name, (1.0, 1.0))
    assert care(tmp_path).sweep(3600.0) == 2
    assert {path.name for path in tmp_path.iterdir()} == {B, "c" * 32}


@live
async def test_keeping_and_reading(tmp_path: Path) -> None:
    kept = care(tmp_path)
    assert await kept.keep(b"small") == b"small"
    large = await kept.keep(bytes(70_000))
    assert isinstance(large, Blob)
    assert await kept.keep(large) is large
    assert kept.read(large) == bytes(70_000)
