"""A program that shares, or keeps to one endpoint, does the same with both packages on one service. Those of the
other kinds (Executor, Client, batch, shell, MPI): test_examples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from integration.stock.conftest import World
from integration.stock.peers import OWN_ENDPOINT, Sdk, answer
from integration.stock.test_examples import with_ours

CONFIG = {"engine": "ThreadPoolEngine", "name": "examples"}


def accounts(world: World, *words: str) -> str:
    """What a command about accounts of the service prints."""
    command = [sys.executable, "-m", "compute_executor", *words, "--state", str(world.service.folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Member(NamedTuple):
    """Somebody with a login of the service, who runs programs with either package."""

    ours: Sdk
    theirs: Sdk

    @classmethod
    def added(cls, world: World, name: str) -> Member:
        """A new one, who is in the group "lab"."""
        login = accounts(world, "client", "add", name).split()
        accounts(world, "group", "join", "lab", name)
        return cls(world.ours.logged_in(*login), world.sdk.logged_in(*login))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_functions_are_shared_with_all_and_with_a_group(world: World, tmp_path: Path) -> None:
    """What the one package has registered the other runs, too."""
    lab = accounts(world, "group", "add", "lab").strip()
    owner, guest = Member.added(world, "owner"), Member.added(world, "guest")
    changed = with_ours("sharing.py", tmp_path)
    registered = [
        owner.ours.run(changed, OWN_ENDPOINT, lab),
        owner.theirs.run("sharing.py", OWN_ENDPOINT, lab),
    ]
    functions = [one.pop("functions") for one in registered]
    assert registered == [{"ran": [12] * 3, "refused": [404, 404]}] * 2
    outcomes = [
        answer(used)
        for ids in functions
        for used in (
            guest.ours.start(changed, OWN_ENDPOINT, *ids),
            guest.theirs.start("sharing.py", OWN_ENDPOINT, *ids),
        )
    ]
    expected = {
        "seen": [404, "area", "area", "area"],
        "by_client": [404, 12, 12, 12],
        "by_executor": [30, 30, 30],
        "deleted": 404,
    }
    assert outcomes == [expected] * 4


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_endpoint_alone_runs_what_was_registered_for_it(world: World, tmp_path: Path) -> None:
    where = world.endpoint.id, OWN_ENDPOINT
    ours = world.ours.start(with_ours("high_assurance.py", tmp_path), *where, config=CONFIG)
    theirs = world.sdk.start("high_assurance.py", *where, config=CONFIG)
    expected = {"there": 42, "elsewhere": 403, "by_executor": 7, "public": True, "said": True}
    assert answer(ours) == answer(theirs) == expected
