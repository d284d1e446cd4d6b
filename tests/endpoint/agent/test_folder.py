"""The files of an endpoint where there is no room for them, or no right to them."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from compute_executor.endpoint.agent.folder import Credentials, EndpointFolder
from compute_executor.errors import NotAuthorized, ServiceUnavailable, StorageFull


def test_a_full_disk_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = EndpointFolder("ws")
    folder.prepare()
    folder.keep_credentials(Credentials("id", "token"))
    assert folder.next_generation() == 1
    before = sorted(folder.path.rglob("*"))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match=r"generation: no space left\. Free some"):
        folder.next_generation()
    with pytest.raises(StorageFull, match="credentials"):
        folder.keep_credentials(Credentials("id", "another"))
    monkeypatch.undo()
    assert sorted(folder.path.rglob("*")) == before
    assert folder.credentials() == Credentials("id", "token")
    assert folder.next_generation() == 2


def test_a_home_that_is_none(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state_home / "file").touch()
    for home in (state_home / "file", Path("/proc/none")):
        monkeypatch.setenv("COMPUTE_EXECUTOR_HOME", str(home))
        with pytest.raises(ServiceUnavailable, match="cannot make the state folder"):
            EndpointFolder("ws").prepare()


def test_what_cannot_be_removed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = EndpointFolder("ws")
    folder.remove()
    folder.prepare()

    def denied(_: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(shutil, "rmtree", denied)
    with pytest.raises(NotAuthorized, match=f"cannot remove {folder.path}"):
        folder.remove()
    monkeypatch.undo()
    folder.remove()
    assert not folder.path.exists()
