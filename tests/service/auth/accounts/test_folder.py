"""Commands on a folder that no service has."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute_executor.errors import InvalidRequest, NotAuthorized, NotFound, ServiceUnavailable
from compute_executor.local.locks import is_held, try_lock, wait_lock
from compute_executor.local.state import DATABASE, SERVICE_LOCK, prepare_folder
from compute_executor.service.auth.accounts import folder as module
from compute_executor.service.auth.accounts.commands import AccountCommand
from compute_executor.service.auth.accounts.folder import perform_in
from compute_executor.service.store.store import WriteResult


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The commands set that of their process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_what_one_command_did_the_next_one_finds(folder: Path) -> None:
    ann = perform_in(folder, "user-add", AccountCommand(name="ann"))
    token = perform_in(folder, "token-new", AccountCommand(name="ann"))["token"]
    assert [one["id"] for one in perform_in(folder, "user-list", AccountCommand())["found"]] == [ann["id"]]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / DATABASE).stat().st_mode & 0o777 == 0o600
    assert not any(token.encode() in one.read_bytes() for one in folder.iterdir() if one.is_file())


@pytest.mark.parametrize("asked", [AccountCommand(name="ann"), AccountCommand(name="")])
def test_the_folder_is_free_again_whatever_comes_of_it(folder: Path, asked: AccountCommand) -> None:
    with pytest.raises((NotFound, InvalidRequest)):
        perform_in(folder, "user-remove", asked)
    assert not is_held(folder / SERVICE_LOCK)


def test_nobody_else_writes_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    perform = module.perform  # type: ignore[attr-defined]

    async def looking(*args: object) -> object:
        held.append(is_held(folder / SERVICE_LOCK))
        return await perform(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "perform", looking)
    perform_in(folder, "user-add", AccountCommand(name="ann"))
    assert held == [True]


def test_a_service_that_has_the_folder_keeps_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines = []

    def impatient(path: Path, deadline: float) -> int | None:
        deadlines.append(deadline)
        return wait_lock(path, time.monotonic())

    monkeypatch.setattr(module, "wait_lock", impatient)
    prepare_folder(folder)
    lock = try_lock(folder / SERVICE_LOCK)
    assert lock is not None
    try:
        with pytest.raises(ServiceUnavailable, match=rf"holds {folder / SERVICE_LOCK}: try again"):
            perform_in(folder, "user-add", AccountCommand(name="ann"))
    finally:
        os.close(lock)
    assert 0 < deadlines[0] - time.monotonic() <= module.PATIENCE
    assert not (folder / DATABASE).exists()


def test_what_cannot_be_stored_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ServiceUnavailable("the disk is full")
    monkeypatch.setattr(module.Store, "run", lambda *_: [WriteResult(None, error)])  # type: ignore[attr-defined]
    with pytest.raises(ServiceUnavailable, match="disk is full"):
        perform_in(folder, "user-add", AccountCommand(name="ann"))
    monkeypatch.undo()
    assert perform_in(folder, "user-list", AccountCommand()) == {"found": []}


def test_a_folder_that_others_may_read_is_not_used(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(NotAuthorized, match="chmod 700"):
        perform_in(folder, "user-add", AccountCommand(name="ann"))
