"""Large bodies: beside the frames, by file or by HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute_executor.errors import PayloadTooLarge, ServiceUnavailable
from compute_executor.peer import EmbeddedLocator, ServiceEndpoint
from compute_executor.protocol.frames import INLINE_LIMIT, Blob
from compute_executor.session.stream import by_http, storage
from compute_executor.session.stream.login import StreamLogin
from compute_executor.session.stream.storage import Storage, usable

LOGIN = StreamLogin(EmbeddedLocator(), ServiceEndpoint("http://nowhere", "secret"))
LARGE = b"x" * (INLINE_LIMIT + 1)


def test_small_ones_stay_where_they_are(tmp_path: Path) -> None:
    assert Storage(LOGIN, tmp_path).store(b"x" * INLINE_LIMIT, "it") == b"x" * INLINE_LIMIT
    assert list(tmp_path.iterdir()) == []


def test_large_ones_become_files(tmp_path: Path) -> None:
    one = Storage(LOGIN, tmp_path)
    blob = one.store(LARGE, "it")

    assert isinstance(blob, Blob)
    (file,) = tmp_path.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (blob.name, 0o600)
    assert one.fetch(blob) == LARGE


def test_over_the_limit(tmp_path: Path) -> None:
    one = Storage(LOGIN, tmp_path, limit=INLINE_LIMIT)

    with pytest.raises(PayloadTooLarge, match=r"the arguments of f: 65537 bytes .* limit of 65536 bytes"):
        one.store(LARGE, "the arguments of f")


def test_where_there_is_no_room(tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    with pytest.raises(ServiceUnavailable, match=r"cannot write 65537 bytes .* Make room there"):
        Storage(LOGIN, gone).store(LARGE, "it")


def test_a_disk_that_gets_full_keeps_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "rename", full)  # type: ignore[attr-defined]

    with pytest.raises(ServiceUnavailable, match="No space left on device"):
        Storage(LOGIN, tmp_path).store(LARGE, "it")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="cannot be read"):
        Storage(LOGIN, tmp_path).fetch(Blob("0" * 32, 9))


def test_elsewhere_it_goes_by_http(monkeypatch: pytest.MonkeyPatch) -> None:
    there: dict[str, bytes] = {}
    monkeypatch.setattr(by_http, "put_blob", lambda address, name, content: there.update({name: content}))
    monkeypatch.setattr(by_http, "get_blob", lambda address, blob: there[blob.name])
    one = Storage(LOGIN)
    blob = one.store(LARGE, "it")

    assert isinstance(blob, Blob)
    assert one.fetch(blob) == LARGE


def test_which_folder_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable(str(tmp_path)) == tmp_path
    assert usable(None) is None
    assert usable(str(tmp_path / "gone")) is None
    monkeypatch.setattr(storage.os, "getuid", lambda: 12345)  # type: ignore[attr-defined]
    assert usable(str(tmp_path)) is None
