"""Large bodies: beside the frames, by file or by HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from compute_executor.errors import PayloadTooLarge, ResultDecodeError, ResultGone, ServiceUnavailable
from compute_executor.protocol.frames import INLINE_LIMIT, Blob
from compute_executor.sdk.own_api import OwnApi
from compute_executor.session import storage
from compute_executor.session.storage import Storage, usable
from tests.login import api_at

NOWHERE = api_at("http://nowhere", "secret")
LARGE = b"x" * (INLINE_LIMIT + 1)


def test_small_ones_stay_where_they_are(tmp_path: Path) -> None:
    assert Storage(NOWHERE, tmp_path).store(b"x" * INLINE_LIMIT, "it") == b"x" * INLINE_LIMIT
    assert list(tmp_path.iterdir()) == []


def test_large_ones_become_files(tmp_path: Path) -> None:
    one = Storage(NOWHERE, tmp_path)
    blob = one.store(LARGE, "it")

    assert isinstance(blob, Blob)
    (file,) = tmp_path.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (blob.name, 0o600)
    assert one.fetch(blob) == LARGE


def test_over_the_limit(tmp_path: Path) -> None:
    one = Storage(NOWHERE, tmp_path, limit=INLINE_LIMIT)

    with pytest.raises(PayloadTooLarge, match=r"the arguments of f: 65537 bytes .* limit of 65536 bytes"):
        one.store(LARGE, "the arguments of f")


def test_where_there_is_no_room(tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    with pytest.raises(ServiceUnavailable, match=r"cannot write 65537 bytes .* Make room there"):
        Storage(NOWHERE, gone).store(LARGE, "it")


def test_a_disk_that_gets_full_keeps_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "rename", full)  # type: ignore[attr-defined]

    with pytest.raises(ServiceUnavailable, match="No space left on device"):
        Storage(NOWHERE, tmp_path).store(LARGE, "it")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ResultGone, match=r"result of 9 bytes .* was taken"):
        Storage(NOWHERE, tmp_path).fetch(Blob("0" * 32, 9))
    (tmp_path / ("0" * 32)).mkdir()
    with pytest.raises(ServiceUnavailable, match="cannot be read"):
        Storage(NOWHERE, tmp_path).fetch(Blob("0" * 32, 9))


def test_what_is_not_sent_is_discarded(tmp_path: Path) -> None:
    one = Storage(NOWHERE, tmp_path)
    blob = one.store(LARGE, "it")
    one.discard(b"inline")
    one.discard(blob)
    one.discard(blob)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "0" * 31, "0" * 33, "G" * 32, "0" * 32 + "\n"])
def test_what_is_no_blob_name_is_not_looked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultDecodeError, match="no blob name"):
        Storage(NOWHERE, tmp_path).fetch(Blob(name, 9))
    with pytest.raises(ResultDecodeError, match="no blob name"):
        Storage(NOWHERE).fetch(Blob(name, 9))


def test_elsewhere_it_goes_by_http() -> None:
    there: dict[str, bytes] = {}

    class Elsewhere(OwnApi):
        def put_blob(self, name: str, content: bytes) -> None:
            there[name] = content

        def get_blob(self, blob: Blob) -> bytes:
            return there[blob.name]

    one = Storage(Elsewhere(cast(Any, None)))
    blob = one.store(LARGE, "it")

    assert isinstance(blob, Blob)
    assert one.fetch(blob) == LARGE


def test_which_folder_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable(str(tmp_path)) == tmp_path
    assert usable(None) is None
    assert usable(str(tmp_path / "gone")) is None
    monkeypatch.setattr(storage.os, "getuid", lambda: 12345)  # type: ignore[attr-defined]
    assert usable(str(tmp_path)) is None
