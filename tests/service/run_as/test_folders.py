"""The folders of pools under accounts: whose they are, and how they go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.service.run_as.folders import PoolFolders, folder_beside
from compute_executor.service.system_accounts import AccountUser, SystemAccount
from tests.service.run_as.accounts import open_folder

POOL = bytes(range(16))
ME = AccountUser("änn", SystemAccount("me", os.getuid(), os.getgid(), (), "/", ""))


def mode(path: Path) -> int:
    """Who may do what with it."""
    return path.stat().st_mode & 0o777


def test_an_account_gets_to_its_own_folder_and_sees_no_other() -> None:
    with open_folder() as open_to_all:
        place = folder_beside(open_to_all / "state")
        folders = PoolFolders(place)
        assert folders.pools() == []
        folders.prepare()
        folders.prepare()
        state = folders.make(POOL, ME)
        assert (mode(place), mode(state.parent), mode(state.parent / "user"), mode(state)) == (
            0o711,
            0o711,
            0o600,
            0o700,
        )
        (state / "kept").touch()
        assert folders.make(POOL, ME) == state
        assert (state / "kept").exists()
        assert (folders.pools(), folders.user(POOL), folders.user(bytes(16))) == ([POOL], "änn", None)
        outside = open_to_all / "outside"
        outside.touch()
        (state / "link").symlink_to(outside)
        (state / "folder").symlink_to(open_to_all)
        folders.remove(POOL)
        folders.remove(POOL)
        assert (folders.pools(), outside.exists()) == ([], True)


def test_a_place_that_accounts_cannot_reach_or_could_change_is_refused() -> None:
    with open_folder() as open_to_all:
        closed = open_to_all / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(InvalidRequest, match=r"is closed to others \(mode 700\).*--state /var/lib"):
            PoolFolders(closed / "state.accounts").prepare()
        (open_to_all / "open.accounts").mkdir()
        (open_to_all / "open.accounts").chmod(0o777)
        with pytest.raises(InvalidRequest, match="only this service can change"):
            PoolFolders(open_to_all / "open.accounts").prepare()
        (open_to_all / "link.accounts").symlink_to(open_to_all)
        with pytest.raises(InvalidRequest, match="only this service can change"):
            PoolFolders(open_to_all / "link.accounts").prepare()
