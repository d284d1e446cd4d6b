"""Large bodies as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.worker.blobs import read_blob, write_blob


@pytest.mark.parametrize("durable", [False, True])
def test_a_blob_is_read_back_under_its_name(tmp_path: Path, durable: Any) -> None:
    name, size = write_blob(str(tmp_path), b"x" * 100_000, durable).split()
    assert size == b"100000"
    assert read_blob(str(tmp_path), name) == b"x" * 100_000
    assert os.listdir(tmp_path) == [name.decode()]
    assert len(name) == 32
    int(name, 16)


def test_a_blob_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no-such"):
        write_blob(str(tmp_path / "no-such"), b"x", False)


@pytest.mark.parametrize("durable", [False, True])
def test_a_durable_one_is_on_disk_before_its_name_is_told_and_then_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: Any
) -> None:
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda file: synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")))
    )
    name, _ = write_blob(str(tmp_path), b"x" * 100_000, durable).decode().split()
    assert synced == ([f"{name}.part", tmp_path.name] if durable else [])
