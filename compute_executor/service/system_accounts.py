"""Accounts of this machine under which the tasks of users run: which user has which.

    ann = "ann"
    "bob@uni.example" = "bob"

or, without such a file, each user has the account of the same name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from compute_executor.errors import EndpointNotShared, InvalidRequest

SAME_NAMES = "accounts"
"""What stands for a map in which each user has the account of the same name."""

FIRST_OF_PEOPLE = 1000
"""The first uid of people where /etc/login.defs does not say otherwise (useradd(8))."""

NOBODY = 65534
"""The uid that stands for whoever has none (user_namespaces(7))."""

_LOGIN_DEFS = Path("/etc/login.defs")


class SystemAccount(NamedTuple):
    """An account of this machine. ``groups``: all that it is in."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str

    def environment(self) -> dict[str, str]:
        """Return the variables of a login, and nothing of this process's but its language."""
        language = {name: text for name in ("LANG", "LC_ALL", "TZ") if (text := os.environ.get(name))}
        return {**language, **self.identity(), "PATH": "/usr/local/bin:/usr/bin:/bin"}

    def identity(self) -> dict[str, str]:
        """Return those of them that say who one is."""
        shell = self.shell or "/bin/sh"
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": shell}


class AccountUser(NamedTuple):
    """A user whose tasks on the built-in endpoint run under an account of the machine. ``name``: the user's."""

    name: str
    account: SystemAccount


class AccountMap:
    """Which user has which account. ``named``: accounts by the names of users; None: those of the same names."""

    def __init__(self, named: Mapping[str, str] | None) -> None:
        self._named = named

    def check(self) -> None:
        """Raise InvalidRequest unless each account that is named can be used."""
        for user, account in (self._named or {}).items():
            try:
                _find(account, least=1)
            except ValueError as error:
                raise InvalidRequest(f"tasks of {user} cannot run as {account}: {error}") from None

    def find(self, user: str) -> SystemAccount:
        """Return the account of the user of this name, as it is now. Raises EndpointNotShared if there is none."""
        if self._named is None:
            account, least = user, first_of_people()
            remedy = f"an account called {user}"
        else:
            account, least = self._named.get(user, ""), 1
            remedy = f'a line "{user}" = "ACCOUNT" in its file of accounts (serve --run-as)'
        try:
            if not account:
                raise ValueError("nobody has said which is theirs")
            return _find(account, least)
        except ValueError as error:
            raise EndpointNotShared(
                f"tasks of {user[:100]} have no account of this machine to run under: {str(error)[:200]}. Ask "
                f"whoever runs the service for {remedy[:200]}, or name an endpoint of your own (compute-executor "
                "endpoint)"
            ) from None


def read_map(said: str) -> AccountMap:
    """Return the map that `--run-as` says. Raises InvalidRequest for a file that is none, or that others could
    change."""
    if said == SAME_NAMES:
        return AccountMap(None)
    path = Path(said)
    try:
        with path.open("rb") as file:
            found, text = os.fstat(file.fileno()), file.read()
    except OSError as error:
        raise InvalidRequest(f"the file of accounts {path} cannot be read: {error.strerror}") from None
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidRequest(
            f"the file of accounts {path} (owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o}) could be "
            f"changed by others, who then say under which account they run: chown root {path}; chmod 644 {path}"
        )
    try:
        named = msgspec.toml.decode(text, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f'the file of accounts {path} is wrong: {error}. It has a line "USER" = "ACCOUNT" for each user'
        ) from None
    accounts = AccountMap(named)
    accounts.check()
    return accounts


def _find(name: str, least: int) -> SystemAccount:
    """Return an account of this machine with a uid of at least that. Raises ValueError that says why not."""
    import pwd

    try:
        found = pwd.getpwnam(name)
    except (KeyError, ValueError):  # a NUL is no part of a name
        raise ValueError(f"this machine has no account {name!r}") from None
    if found.pw_uid == 0:
        raise ValueError(f"account {name} is root, which could read what is the service's own")
    if found.pw_uid == NOBODY or found.pw_uid < least:
        raise ValueError(f"account {name} (uid {found.pw_uid}) is one of the system, not of a person")
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return SystemAccount(found.pw_name, found.pw_uid, found.pw_gid, groups, found.pw_dir, found.pw_shell)


def first_of_people(path: Path = _LOGIN_DEFS) -> int:
    """Return the first uid that is a person's (UID_MIN of login.defs(5))."""
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, *rest = line.split() or [""]
            if name == "UID_MIN" and rest and rest[0].isdigit():
                return int(rest[0])
    except OSError:
        pass
    return FIRST_OF_PEOPLE
