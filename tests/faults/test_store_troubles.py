"""A store that cannot be written now: what is asked over HTTP is refused with a status that says why, and when to
ask again; nothing is half-written, and it goes on when the trouble is over."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from compute_executor.local.state import BLOBS, DATABASE
from tests.faults.served import Answer, Served
from tests.faults.test_disk_full import fill, small_disk

__all__ = ["small_disk"]

pytestmark = pytest.mark.slow

NAME = "0123456789abcdef" * 2


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with closing(Served(tmp_path / "state", "process")) as served:
        yield served


def register(served: Served, code: str) -> Answer:
    document = {"function_code": code, "function_name": "f", "serialized": False}
    return served.ask("POST", "/v3/functions", json.dumps(document).encode())


def put(served: Served, size: int) -> Answer:
    return served.ask("PUT", f"/v3/blobs/{NAME}", bytes(size), "application/octet-stream")


def test_a_full_disk_is_507_for_blobs_and_registrations(small_disk: Path) -> None:
    with closing(Served(small_disk / "state", "process")) as served:
        assert register(served, "def f(): return 1").status == 200
        ballast = fill(small_disk)
        refused = [put(served, 1_000_000), register(served, "a" * 200_000), register(served, "b" * 60_000)]
        assert [answer.status for answer in refused] == [507] * 3, refused
        assert all(answer.document["name"] == "StorageFull" for answer in refused)
        assert all(answer.headers["retry-after"] == "60" for answer in refused)
        assert list((small_disk / "state" / BLOBS).iterdir()) == [], "nothing half-written"
        assert served.ask("GET", "/v2/version").status == 200
        ballast.unlink()
        assert put(served, 1_000_000).status == 200
        assert register(served, "a" * 200_000).status == 200


def test_a_locked_database_is_503_with_the_time_to_ask_again(served: Served, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "state" / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = register(served, "def f(): return 1")
        assert (refused.status, refused.document["name"]) == (503, "StoreBusy")
        assert refused.headers["retry-after"] == "5"
        assert served.ask("GET", "/v3/overview").status == 200, "what only reads goes on"
        other.execute("ROLLBACK")
    assert register(served, "def f(): return 1").status == 200
