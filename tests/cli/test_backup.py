"""`backup`, `restore` and `check` on the service of a user, running and not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from compute_executor import Executor
from compute_executor.local.locks import is_held
from compute_executor.local.state import SERVICE_LOCK, state_folder

Command = Callable[..., Result]

pytestmark = pytest.mark.slow


def test_of_a_running_service_and_back(command: Command, here: Path) -> None:
    with Executor(max_workers=1, label="first") as executor:
        assert executor.submit(len, bytes(100_000)).result(60) == 100_000
        group = str(executor.task_group_id)
    written = command("backup", "all.tar")
    assert written.exit_code == 0, written.output
    assert (here / "all.tar").stat().st_mode & 0o777 == 0o600
    again = command("backup", "all.tar")
    assert again.exit_code == 1
    assert "replaces nothing" in again.stderr
    with Executor(max_workers=1) as executor:
        executor.submit(pow, 2, 3).result(60)
    refused = command("restore", "all.tar")
    assert refused.exit_code == 1
    assert "stop it first, or give --force" in refused.stderr
    done = command("restore", "all.tar", "--force")
    assert done.exit_code == 0, done.output
    assert "what was there is in" in done.stdout
    assert not is_held(state_folder() / SERVICE_LOCK)
    looked = command("check", "--json")
    assert looked.exit_code == 0
    assert json.loads(looked.stdout)["counts"]["groups"] == 1
    listed = json.loads(command("groups", "--json").stdout)
    assert [one["label"] for one in listed] == ["first"] or group in json.dumps(listed)


def test_damage_is_told_with_exit_code_1(command: Command) -> None:
    assert command("check").exit_code == 1, "there is no folder"
    with Executor(max_workers=1) as executor:
        executor.submit(pow, 2, 3).result(60)
    assert "result   sound" in command("check").stdout
    assert command("stop").exit_code == 0
    os.truncate(state_folder() / "store.sqlite", 0)
    damaged = command("check")
    assert damaged.exit_code == 1
    assert "it has 0 bytes" in damaged.stdout
    assert command("backup", "x").exit_code == 1
    with pytest.raises(Exception, match="it has 0 bytes"), Executor() as executor:
        executor.submit(pow, 2, 3).result(60)


def test_the_loss_of_a_log_is_accepted_by_an_option(command: Command) -> None:
    with Executor(max_workers=1) as executor:
        executor.submit(pow, 2, 3).result(60)
    refused = command("check", "--accept-loss")
    assert refused.exit_code == 1
    assert "a service runs" in refused.stderr
    command("stop")
    assert command("check", "--accept-loss").exit_code == 0
