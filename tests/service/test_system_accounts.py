"""Which user has which account, and what is refused."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import NamedTuple

import pytest

from compute_executor.errors import EndpointNotShared, InvalidRequest
from compute_executor.service import system_accounts
from compute_executor.service.access import Identity
from compute_executor.service.pools.served import ServedUsers
from compute_executor.service.system_accounts import AccountMap, first_of_people, read_map


class Entry(NamedTuple):
    """A line of /etc/passwd."""

    pw_name: str
    pw_uid: int
    pw_gid: int
    pw_dir: str
    pw_shell: str


ENTRIES = {
    name: Entry(name, uid, uid, f"/home/{name}", "")
    for name, uid in {"ann": 1001, "daemon": 2, "root": 0, "toor": 0, "nobody": 65534, "big": 1 << 20}.items()
}


@pytest.fixture(autouse=True)
def _accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwnam", ENTRIES.__getitem__)
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 50, len(name)])
    monkeypatch.setattr(system_accounts, "first_of_people", lambda: 1000)


def written(folder: Path, text: str) -> str:
    """A file of accounts."""
    path = folder / "accounts.toml"
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


def test_the_account_of_the_same_name() -> None:
    accounts = read_map("accounts")
    ann = accounts.find("ann")
    assert (ann.uid, ann.gid, ann.groups, ann.home) == (1001, 1001, (1001, 50, 3), "/home/ann")
    assert accounts.find("big").uid == 1 << 20, "directories of organisations give such numbers"
    assert ann.identity() == {"HOME": "/home/ann", "USER": "ann", "LOGNAME": "ann", "SHELL": "/bin/sh"}


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("root", "root"),
        ("toor", "root"),
        ("daemon", r"uid 2\) is one of the system"),
        ("nobody", r"65534\) is one of the system"),
        ("carol", "no account 'carol'"),
        ("ann@uni.example", "no account"),
        ("", "nobody has said"),
        ("../ann", "no account"),
    ],
)
def test_no_account_of_the_system_by_its_name_alone(user: str, why: str) -> None:
    with pytest.raises(EndpointNotShared, match=why):
        AccountMap(None).find(user)


def test_a_file_names_accounts_also_those_of_the_system(tmp_path: Path) -> None:
    accounts = read_map(written(tmp_path, '"ann@uni.example" = "ann"\nlab = "daemon"\n'))
    assert accounts.find("ann@uni.example").name == "ann"
    assert accounts.find("lab").uid == 2
    with pytest.raises(EndpointNotShared, match='a line "ann" = "ACCOUNT"'):
        accounts.find("ann")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('ann = "root"', "tasks of ann cannot run as root: account root is root"),
        ('ann = "nobody"', "one of the system"),
        ('ann = "carol"', "no account 'carol'"),
        ('ann = ""', "no account ''"),
        ("ann = 7", "is wrong: Expected `str`"),
        ("ann", "is wrong"),
        ("[more]\nann = 'ann'", "is wrong"),
    ],
)
def test_a_file_that_is_wrong_is_refused_at_the_start(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        read_map(written(tmp_path, text))


def test_a_file_that_others_can_change_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, 'ann = "ann"')
    Path(path).chmod(0o664)
    with pytest.raises(InvalidRequest, match="could be changed by others"):
        read_map(path)
    with pytest.raises(InvalidRequest, match="cannot be read: No such file"):
        read_map(str(tmp_path / "absent"))


def test_the_first_uid_of_people_is_that_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "login.defs"
    assert first_of_people(path) == 1000
    path.write_text("# UID_MIN 5\nUID_MIN\t\t  500\nUID_MAX 60000\n")
    assert first_of_people(path) == 500


def test_operators_run_as_the_service_and_others_under_their_accounts() -> None:
    ann, operator = Identity("1", "ann"), Identity("local", "local", admin=True)
    served = ServedUsers(frozenset({"local"}), AccountMap(None))
    assert served.account(operator) is None
    found = served.account(ann)
    assert found is not None
    assert (found.name, found.account.uid) == ("ann", 1001)
    assert served.account_again("1", "ann") == found
    assert served.account_again("local", None) is None
    with pytest.raises(EndpointNotShared, match="submit again"):
        served.account_again("1", None)
    with pytest.raises(EndpointNotShared, match="environments and images"):
        served.check("1")
    without = ServedUsers(frozenset({"local"}))
    with pytest.raises(EndpointNotShared, match="--run-as"):
        without.account(ann)
    assert ServedUsers().account(ann) is None
