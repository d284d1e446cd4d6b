"""How much the blobs take, and how much they may."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import StorageFull
from compute_executor.protocol.frames import Blob
from compute_executor.service.blobs.disk import DiskUse


def test_what_the_files_take(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    (tmp_path / "b").write_bytes(bytes(500))
    disk = DiskUse(tmp_path, 2000)

    files = disk.look()
    assert {(file.name, file.size) for file in files} == {("a", 1000), ("b", 500)}
    disk.measured(files)
    assert disk.view()["used"] == 1500
    disk.check(0)
    disk.add([Blob("c", 500)])
    with pytest.raises(StorageFull, match=r"take 2,000 bytes of the disk, 2,000 are the limit; 77 of them"):
        disk.check(77)
    disk.remove("c")
    disk.check(0)


def test_a_file_counts_once_however_often_it_is_named(tmp_path: Path) -> None:
    disk = DiskUse(tmp_path, 0)
    disk.add([Blob("argument", 700), Blob("argument", 700)])
    disk.add([Blob("argument", 700)])
    assert disk.used == 700
    for _ in range(2):
        disk.remove("argument")
        assert disk.used == 0
    disk.remove("never there")
    assert disk.used == 0


def test_by_default_half_of_what_is_free_and_of_what_they_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Found:
        f_bavail, f_frsize = 9, 100

    def statvfs(_: Any) -> Any:
        return Found

    monkeypatch.setattr(os, "statvfs", statvfs)
    disk = DiskUse(tmp_path, 0)
    disk.add([Blob("a", 700)])
    assert disk.view() == {"used": 700, "budget": 800, "free": 900}
    assert not disk.is_full()
    disk.add([Blob("b", 300)])
    assert disk.is_full()
