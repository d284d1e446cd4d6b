from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from compute_executor.errors import (
    ComputeError,
    NotAuthorized,
    ServiceUnavailable,
    StorageFull,
    StoreDamaged,
)
from compute_executor.local import state
from compute_executor.local.state import (
    ANNOUNCEMENT,
    ServiceInfo,
    check_folder,
    open_private,
    prepare_folder,
    read_announcement,
    remove_announcement,
    state_folder,
    trouble,
    write_announcement,
)

ONE = ServiceInfo("http://127.0.0.1:1234", "secret", "instance-1", 42)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare_folder(tmp_path / "state")
    return tmp_path / "state"


# -- the folder ---------------------------------------------------------------------------------------------


def test_the_folder_carries_the_version(state_home: Path) -> None:
    assert state_folder() == state_home / "state"


def test_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(state.HOME, "here")
    assert state.home() == tmp_path / "here"
    monkeypatch.setenv(state.HOME, "~/there")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state.home() == tmp_path / "there"


def test_without_a_home_it_is_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(state.HOME)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state.home().name == "compute-executor"
    assert state.home().is_relative_to(tmp_path)


def test_it_is_made_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        prepare_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    prepare_folder(tmp_path / "a" / "b")  # again


def test_a_folder_that_others_may_look_into_is_not_used(folder: Path) -> None:
    folder.chmod(0o750)
    for check in (prepare_folder, check_folder):
        with pytest.raises(NotAuthorized, match=f"chmod 700 {folder}"):
            check(folder)


def test_a_link_to_a_folder_is_not_used(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(NotAuthorized, match="is no folder"):
        prepare_folder(tmp_path / "link")


def test_a_foreign_folder_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(NotAuthorized, match=r"belongs to user \d+, not to you \(12345\)"):
        prepare_folder(folder)


def test_a_folder_that_cannot_be_written_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may write everywhere
    with pytest.raises(ServiceUnavailable, match=f"{folder} cannot be written"):
        prepare_folder(folder)


def test_a_file_in_the_way_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ComputeError, match=str(tmp_path / "file")):
        prepare_folder(tmp_path / "file" / "state")


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.EACCES, NotAuthorized, "chmod"),
        (errno.EPERM, NotAuthorized, "chmod"),
        (errno.ELOOP, NotAuthorized, "symbolic link"),
        (errno.EROFS, ServiceUnavailable, "read-only"),
        (errno.ENOSPC, StorageFull, "no space left"),
        (errno.EDQUOT, StorageFull, "no space left"),
        (errno.EIO, ServiceUnavailable, "Input/output error"),
    ],
)
def test_every_trouble_has_a_name_a_path_and_a_hint(number: int, kind: type[ComputeError], says: str) -> None:
    found = trouble("open", Path("/a/b"), OSError(number, os.strerror(number)))
    assert type(found) is kind
    assert "/a/b" in str(found)
    assert says in str(found)


# -- private files ------------------------------------------------------------------------------------------


def test_private_files_are_made_private(folder: Path) -> None:
    os.close(open_private(folder / "x", os.O_RDWR | os.O_CREAT))
    assert stat.S_IMODE((folder / "x").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o777])
def test_a_file_that_others_may_touch_is_not_used(folder: Path, mode: int) -> None:
    (folder / "x").touch()
    (folder / "x").chmod(mode)
    with pytest.raises(NotAuthorized, match=f"chmod 600 {folder / 'x'}"):
        open_private(folder / "x", os.O_RDONLY)


def test_links_pipes_and_foreign_files_are_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "link").symlink_to(folder / "x")
    with pytest.raises(NotAuthorized, match="symbolic link"):
        open_private(folder / "link", os.O_RDWR | os.O_CREAT)
    os.mkfifo(folder / "pipe", 0o600)
    with pytest.raises(NotAuthorized, match="no plain file"):
        open_private(folder / "pipe", os.O_RDWR)
    (folder / "mine").touch(mode=0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(NotAuthorized, match="belongs to user"):
        open_private(folder / "mine", os.O_RDONLY)


# -- the announcement ---------------------------------------------------------------------------------------


def test_it_is_read_as_it_was_written(folder: Path) -> None:
    assert read_announcement(folder) is None
    write_announcement(folder, ONE)
    assert read_announcement(folder) == ONE
    assert stat.S_IMODE((folder / ANNOUNCEMENT).stat().st_mode) == 0o600
    write_announcement(folder, ONE._replace(instance="instance-2"))
    assert os.listdir(folder) == [ANNOUNCEMENT]


def test_it_does_not_show_its_token() -> None:
    assert "secret" not in repr(ONE)
    assert "secret" not in f"{ONE}"


def test_an_empty_one_is_nothing(folder: Path) -> None:
    (folder / ANNOUNCEMENT).touch(mode=0o600)
    assert read_announcement(folder) is None


WRITTEN = '{"url": "", "token": "", "instance": "", "pid": %s}'


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "1", "\0", '{"url": "x"}', WRITTEN % '"x"', WRITTEN % "1e999", WRITTEN % "NaN"),
        *("[" * 60_000, '{"a":' * 10_000, '"\\ud800', "\xff"),
    ],
)
def test_what_no_service_wrote_is_refused_and_stays(folder: Path, text: str) -> None:
    path = folder / ANNOUNCEMENT
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(StoreDamaged, match=f"{path} is not what a service wrote.*Remove"):
        read_announcement(folder)
    remove_announcement(folder, "any")
    assert path.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize(
    "flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND | os.O_CREAT]
)
def test_nothing_waits_for_the_other_end_of_a_pipe(folder: Path, flags: int) -> None:
    os.mkfifo(folder / "pipe", 0o600)
    with pytest.raises(NotAuthorized, match=f"{folder / 'pipe'} is no plain file. Remove it"):
        open_private(folder / "pipe", flags)


def test_one_that_others_may_read_is_an_error(folder: Path) -> None:
    write_announcement(folder, ONE)
    (folder / ANNOUNCEMENT).chmod(0o644)
    with pytest.raises(NotAuthorized, match=ANNOUNCEMENT):
        read_announcement(folder)


def test_a_link_in_its_place_is_an_error_when_read_and_replaced_when_written(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").write_text("untouched")
    (folder / ANNOUNCEMENT).symlink_to(tmp_path / "other")
    with pytest.raises(NotAuthorized, match="symbolic link"):
        read_announcement(folder)
    write_announcement(folder, ONE)
    assert read_announcement(folder) == ONE
    assert (tmp_path / "other").read_text() == "untouched"


def test_only_ones_own_is_removed(folder: Path) -> None:
    remove_announcement(folder, "instance-1")
    write_announcement(folder, ONE)
    remove_announcement(folder, "instance-0")
    assert read_announcement(folder) == ONE
    remove_announcement(folder, "instance-1")
    assert read_announcement(folder) is None
    assert os.listdir(folder) == []


def test_a_folder_that_is_gone_has_a_name(folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(ServiceUnavailable, match=f"cannot write {folder}"):
        write_announcement(folder, ONE)
