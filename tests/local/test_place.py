"""Where state lies if nobody says it, and what is said where that is not the usual place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compute_executor.errors import NotAuthorized
from compute_executor.local import place


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place._place.cache_clear()


def test_the_platforms_folder_is_the_usual_one(tmp_path: Path) -> None:
    assert place.usual_place() == tmp_path / "state" / "compute-executor"


def test_a_network_filesystem_is_left_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "network_filesystem", lambda _: "nfs4")
    with pytest.warns(UserWarning, match=r"network filesystem \(nfs4\).*on this machine alone"):
        found = place.usual_place()
    assert found == tmp_path / f"compute-executor-{os.getuid()}"
    assert found.stat().st_mode & 0o777 == 0o700
    assert place.usual_place() == found


def test_the_runtime_folder_comes_before_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object, **__: object) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_state_dir", nowhere)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.warns(UserWarning, match="this user has no home folder"):
        assert place.usual_place() == tmp_path / "compute-executor"


def test_a_folder_that_another_may_have_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "network_filesystem", lambda _: "nfs4")
    taken = tmp_path / f"compute-executor-{os.getuid()}"
    taken.mkdir()
    taken.chmod(0o755)
    with pytest.raises(NotAuthorized, match="no folder of yours alone"):
        place.usual_place()
