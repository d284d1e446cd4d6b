from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect

from compute_executor.errors import InvalidRequest, NotFound, ServiceUnavailable
from compute_executor.protocol.frames import INLINE_LIMIT, Blob
from compute_executor.service.blobs.folder import BlobFolder

NAME = "0123456789abcdef" * 2


async def parts(*given: bytes) -> AsyncIterator[bytes]:
    for part in given:
        yield part


@pytest.fixture(params=[False, True], ids=["process", "machine"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path, sync=request.param)


def test_small_data_stays_what_it_is(blobs: BlobFolder) -> None:
    data = b"x" * INLINE_LIMIT
    assert asyncio.run(blobs.keep(data)) is data
    assert blobs.read(data) is data
    assert os.listdir(blobs.folder) == []


def test_large_data_is_a_file_of_ours(blobs: BlobFolder) -> None:
    data = os.urandom(INLINE_LIMIT + 1)
    blob = asyncio.run(blobs.keep(data))
    assert isinstance(blob, Blob)
    assert blob.size == len(data)
    assert os.listdir(blobs.folder) == [blob.name]
    assert blobs.path(blob.name).stat().st_mode & 0o777 == 0o600
    assert blobs.read(blob) == data


def test_a_blob_never_changes(blobs: BlobFolder) -> None:
    assert asyncio.run(blobs.receive(NAME, parts(b"one", b"", b"two"))) == 6
    assert asyncio.run(blobs.receive(NAME, parts(b"other"))) == 5
    assert blobs.read(Blob(NAME, 6)) == b"onetwo"
    assert os.listdir(blobs.folder) == [NAME]


def test_what_breaks_off_leaves_nothing(blobs: BlobFolder) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise ClientDisconnect

    with pytest.raises(ClientDisconnect):
        asyncio.run(blobs.receive(NAME, broken()))
    assert os.listdir(blobs.folder) == []


def test_a_full_disk_has_a_name(blobs: BlobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(ServiceUnavailable, match="no space left"):
        asyncio.run(blobs.keep(b"x" * (INLINE_LIMIT + 1)))
    assert os.listdir(blobs.folder) == []


def test_a_blob_that_is_gone_has_a_name(blobs: BlobFolder) -> None:
    with pytest.raises(NotFound, match=rf"5 bytes \({NAME}\) was taken by its client before"):
        blobs.read(Blob(NAME, 5))


@pytest.mark.parametrize(
    "name", ["", "..", "../" * 4 + "etc/passwd", "/etc/passwd", "a" * 31, "A" * 32, "a" * 31 + "\n", "a" * 32 + "\n",
             "\0" * 32, "%2e" * 10 + "aa", "\u0661" * 32],
)  # fmt: skip
def test_nothing_but_a_blob_name_becomes_a_path(blobs: BlobFolder, name: str) -> None:
    with pytest.raises(InvalidRequest, match="no blob name"):
        blobs.path(name)


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_plain_file_is_no_blob(blobs: BlobFolder, tmp_path: Path, kind: str) -> None:
    path = blobs.path(NAME)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        (tmp_path / "secret").write_bytes(b"secret")
        path.symlink_to(tmp_path / "secret")
    else:
        path.mkdir()
    blob = Blob(NAME, path.stat().st_size)
    assert not blobs.holds(blob)
    with pytest.raises(NotFound):
        blobs.read(blob)
    with pytest.raises(FileNotFoundError):
        blobs.size(NAME)
