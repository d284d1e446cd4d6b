"""The token file: ours alone, replaced whole, never trusted blindly."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from compute_executor.errors import NotAuthorized, ServiceUnavailable
from compute_executor.sdk.login_manager import tokens


def test_nothing_there() -> None:
    assert tokens.load("user/production") == {}
    assert tokens.remove("user/production", "funcx_service") is False


def test_what_was_stored_is_loaded_by_namespace() -> None:
    tokens.store("user/production", {"funcx_service": {"access_token": "a"}})
    tokens.store("user/production", {"auth.globus.org": {"access_token": "b"}})
    tokens.store("clientprofile/production/x", {"funcx_service": {"access_token": "c"}})
    assert tokens.load("user/production") == {
        "funcx_service": {"access_token": "a"},
        "auth.globus.org": {"access_token": "b"},
    }
    assert tokens.remove("user/production", "funcx_service")
    assert list(tokens.load("user/production")) == ["auth.globus.org"]


def test_the_last_token_takes_the_login_along() -> None:
    tokens.store("user/production", {"funcx_service": {"access_token": "a"}})
    tokens.remove("user/production", "funcx_service")
    assert tokens.token_path().read_text() == "{}"


def test_only_the_owner_can_read_it(state_home: Path) -> None:
    os.umask(0)
    try:
        tokens.store("user/production", {"funcx_service": {}})
    finally:
        os.umask(0o022)
    assert stat.S_IMODE(tokens.token_path().stat().st_mode) == 0o600
    assert [path.name for path in state_home.iterdir() if path.suffix == f".{os.getpid()}"] == []


def test_one_that_others_can_read_is_refused() -> None:
    tokens.store("user/production", {"funcx_service": {}})
    tokens.token_path().chmod(0o644)
    with pytest.raises(NotAuthorized, match="chmod 600"):
        tokens.load("user/production")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text('{"user/production": {"funcx_service": {}}}')
    tokens.token_path().symlink_to(elsewhere)
    with pytest.raises(NotAuthorized, match="link"):
        tokens.load("user/production")


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"'])
def test_one_that_was_cut_short_is_as_good_as_none(content: str) -> None:
    tokens.store("user/production", {"funcx_service": {}})
    tokens.token_path().write_text(content)
    assert tokens.load("user/production") == {}


def test_a_folder_that_cannot_be_written_is_named(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = state_home / "file"
    target.write_text("")
    monkeypatch.setenv("COMPUTE_EXECUTOR_HOME", str(target / "below"))
    with pytest.raises(ServiceUnavailable, match="cannot make"):
        tokens.store("user/production", {"funcx_service": {}})


def test_a_full_disk_is_named_and_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens.store("user/production", {"funcx_service": {"access_token": "a"}})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ServiceUnavailable, match="no space left"):
        tokens.store("user/production", {"funcx_service": {"access_token": "b"}})
    assert tokens.load("user/production")["funcx_service"]["access_token"] == "a"


def test_writers_do_not_lose_each_others_tokens() -> None:
    def write(number: int) -> None:
        for index in range(5):
            tokens.store(f"n{number}", {f"s{index}": {}})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(tokens.load(f"n{number}")) == 5 for number in range(4))
