"""What is wrong with a store is said in sentences; what is not there to be looked at is an error."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from compute_executor.errors import NotFound
from compute_executor.local.state import ANNOUNCEMENT, BLOBS, DATABASE, LOG, RINGS
from compute_executor.service.store.damage import log_of
from compute_executor.service.store.inspection import Inspection, inspect
from compute_executor.service.store.loss import accept_loss
from tests.service.store.test_backup import BODY, add, batches, folder, opened
from tests.service.store.test_damage import DAMAGE, count, killed

__all__ = ["folder", "killed"]


def look(folder: Path) -> Inspection:
    return inspect(folder, in_use=False)


def test_a_sound_store_has_no_problems(folder: Path) -> None:
    (folder / BLOBS / "stray").write_bytes(b"123")
    found = look(folder)
    assert found.problems == []
    assert (found.counts["batches"], found.counts["outcomes"]) == (2, 1)
    assert found.orphans == {"bodies": 1, "bytes": 3}
    assert found.sizes["bodies"] == 8
    assert found.versions["schema"] == found.versions["newest schema known"]


def test_one_in_use_is_looked_at_beside_the_service(folder: Path) -> None:
    with closing(opened(folder)) as store:
        add(store, 5)
        found = inspect(folder, in_use=True)
        assert (found.problems, found.counts["batches"]) == ([], 3)


def test_where_there_is_none_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file store\.sqlite"):
        look(tmp_path)


def change(statement: str) -> Callable[[Path], object]:
    def run(folder: Path) -> None:
        with closing(sqlite3.connect(folder / DATABASE)) as connection:
            connection.execute(statement)
            connection.commit()

    return run


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "a body is gone": (lambda folder: (folder / BLOBS / BODY).unlink(), f"body {BODY} is not there"),
    "a body is cut": (lambda folder: (folder / BLOBS / BODY).write_bytes(b"12"), "has 2 bytes, not 5"),
    "a batch is gone": (change("DELETE FROM batches WHERE number = 1"), "1 outcomes belong to no batch"),
    "arguments are gone": (change("UPDATE batches SET tasks = NULL"), "2 open batches have no arguments"),
    "a function is gone": (
        change("UPDATE batches SET functions = zeroblob(16) WHERE number = 2"),
        "needs 1 functions that are not there",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(folder: Path, name: str) -> None:
    damage, says = WRONG[name]
    damage(folder)
    assert any(says in problem for problem in look(folder).problems), look(folder).problems


def test_many_bodies_that_are_gone_are_counted(folder: Path) -> None:
    with closing(opened(folder)) as store:
        for number in range(10, 40):
            add(store, number, f"{number:032x}")
    for path in (folder / BLOBS).iterdir():
        path.unlink()
    bodies = [problem for problem in look(folder).problems if "bod" in problem]
    assert len(bodies) == 11
    assert bodies[-1].startswith("21 other bodies")


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_problem_and_nothing_is_changed(killed: Path, name: str) -> None:
    if name == "no database":
        return
    DAMAGE[name][0](killed)
    before = killed.read_bytes()
    (problem,) = look(killed.parent).problems
    assert "damaged" in problem
    assert killed.read_bytes() == before


@pytest.mark.parametrize("name", [name for name in DAMAGE if "log" in name])
def test_the_loss_of_a_log_can_be_accepted(killed: Path, name: str) -> None:
    DAMAGE[name][0](killed)
    log = log_of(killed)
    damaged = log.read_bytes() if log.exists() else None
    kept = accept_loss(killed)
    assert (kept.read_bytes() if kept else None) == damaged
    assert look(killed.parent).problems == []
    assert count(killed) < 20
    assert batches(killed.parent) < 20


@pytest.mark.parametrize("name", [RINGS, BLOBS, LOG, ANNOUNCEMENT])
def test_what_a_start_would_not_use_is_a_problem(folder: Path, name: str) -> None:
    place = folder / name
    if place.is_dir():
        shutil.rmtree(place)
    if name == ANNOUNCEMENT:
        place.mkdir()
    else:
        os.mkfifo(place, 0o600)
    assert any(str(place) in problem for problem in look(folder).problems)


@pytest.mark.parametrize("name", [RINGS, BLOBS, LOG])
def test_what_others_may_read_is_a_problem(folder: Path, name: str) -> None:
    (folder / LOG).touch(0o600)
    assert look(folder).problems == []
    (folder / name).chmod(0o755)
    assert any("open to other users (mode 755)" in problem for problem in look(folder).problems)
