"""gc: what it asks a service to delete, and what it says of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from compute_executor.cli import chosen_service

Command = Callable[..., Result]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []

    class Service:
        def ask(self, method: str, path: str, document: object) -> dict[str, int]:
            seen.append((method, path, document))
            return {"batches": 2, "tasks": 1_200, "groups": 1, "files": 0}

    monkeypatch.setattr(chosen_service, "choose", lambda *_: Service())
    return seen


def test_it_deletes_what_need_not_be_kept(command: Command, asked: list[Any]) -> None:
    done = command("gc")
    assert done.stdout == "1,200 ended tasks, 1 task group and 0 files deleted.\n"
    assert asked == [("POST", "/v3/gc", {})]
    assert json.loads(command("gc", "--json").stdout)["tasks"] == 1_200


def test_it_deletes_what_is_older_than_said(command: Command, asked: list[Any]) -> None:
    assert command("gc", "--older", "2d").exit_code == 0
    assert asked[0][2]["older"] == pytest.approx(2 * 86400, abs=60)
    for wrong in ("2", "d", "-1d", "nan s", "2y"):
        done = command("gc", "--older", wrong)
        assert (done.exit_code, len(asked)) == (2, 1), wrong
    assert time.time() > 0


def test_where_nothing_is_stored_nothing_is_deleted(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen_service, "choose", lambda *_: None)
    assert command("gc").stdout == "0 ended tasks, 0 task groups and 0 files deleted.\n"
