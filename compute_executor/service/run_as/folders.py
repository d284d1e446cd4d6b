"""The folders of pools that run under accounts of their users. Beside the service's own, which no account can look
into:

    <state>.accounts/            0711, the service's
        POOL/                    0711, the service's
            user                 0600: the user's name, for the next start
            state/               0700, the account's: all that its process and its workers write
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
from pathlib import Path

from compute_executor.errors import InvalidRequest, ServiceUnavailable
from compute_executor.local.state import trouble
from compute_executor.service.system_accounts import AccountUser

log: logging.Logger = logging.getLogger(__name__)

PASSABLE = 0o711
_USER, _STATE = "user", "state"


def folder_beside(state: Path) -> Path:
    """Return where the pools of accounts have theirs, for a service on this folder."""
    return state.with_name(f"{state.name}.accounts")


class PoolFolders:
    """The folders of a service. Only the service can make, rename or remove one: what an account does inside of its
    own reaches nothing else."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def prepare(self) -> None:
        """Make the place. Raises InvalidRequest if accounts could not get there, or others could change it."""
        try:
            self._place.mkdir(mode=0o700, exist_ok=True)
            found = self._place.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
                raise InvalidRequest(
                    f"{self._place} must be a folder that only this service can change: remove it, or chown and "
                    "chmod 711 it"
                )
            self._place.chmod(PASSABLE)
        except OSError as error:
            raise trouble("make", self._place, error) from error
        for parent in self._place.resolve().parents:
            if not parent.stat().st_mode & stat.S_IXOTH:
                raise InvalidRequest(
                    f"the folders of accounts would lie in {self._place}, where no account gets to, because {parent} "
                    f"is closed to others (mode {stat.S_IMODE(parent.stat().st_mode):o}): give a folder elsewhere, "
                    "such as --state /var/lib/compute-executor/state"
                )

    def make(self, pool: bytes, user: AccountUser) -> Path:
        """Return the folder of a pool that its user's account may write into, as it is or new. Raises
        ServiceUnavailable."""
        outer = self._place / pool.hex()
        state, account = outer / _STATE, user.account
        try:
            outer.mkdir(mode=0o700, exist_ok=True)
            outer.chmod(PASSABLE)
            _write(outer / _USER, user.name)
            if state.is_dir() and state.lstat().st_uid != account.uid:  # the user has another account now
                shutil.rmtree(state)
            state.mkdir(mode=0o700, exist_ok=True)
            os.chown(state, account.uid, account.gid, follow_symlinks=False)
        except OSError as error:
            raise ServiceUnavailable(f"cannot make {state}: {error.strerror}") from error
        return state

    def user(self, pool: bytes) -> str | None:
        """Return the name of the user of a pool that was opened before a restart; None if it ran under no account."""
        try:
            return (self._place / pool.hex() / _USER).read_text(encoding="utf-8")
        except OSError:
            return None

    def pools(self) -> list[bytes]:
        """Return the pools that have a folder."""
        if not self._place.is_dir():
            return []
        return [bytes.fromhex(one.name) for one in self._place.iterdir() if len(one.name) == 32]

    def remove(self, pool: bytes) -> None:
        """Remove the folder of a pool that has ended. `shutil.rmtree` follows no link that its account has made."""
        try:
            shutil.rmtree(self._place / pool.hex())
        except FileNotFoundError:
            return
        except (OSError, RecursionError) as error:
            log.warning("the folder of pool %s stays: %s", pool.hex(), error)


def _write(path: Path, text: str) -> None:
    """Write it whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
