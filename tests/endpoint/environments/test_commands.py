"""Programs that build things: their words, their end, their being stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.environments import commands
from compute_executor.endpoint.environments.commands import BuildLog
from compute_executor.errors import PoolBroken


def test_the_log_has_the_command_and_what_it_says(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "log")
    asyncio.run(commands.run(["sh", "-c", "echo out; echo err >&2; pwd"], log, tmp_path))
    assert log.end().splitlines() == ["$ sh -c 'echo out; echo err >&2; pwd'", "out", "err", str(tmp_path)]
    assert log.end(4) == log.end()[-3:]


def test_one_that_fails_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(PoolBroken, match=r"(?s)sh ended with 3\..*no such thing"):
        asyncio.run(
            commands.run(["sh", "-c", "echo no such thing; exit 3"], BuildLog(tmp_path / "log"), tmp_path)
        )


def test_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PoolBroken, match="/no/such/program cannot be run"):
        asyncio.run(commands.run(["/no/such/program"], BuildLog(tmp_path / "log"), tmp_path))


def cancel_once_begun(command: Coroutine[Any, Any, object], begun: Path) -> None:
    """Run a command, and cancel it when its program has made this file. A program that is left fails the test."""

    async def scenario() -> None:
        task = asyncio.create_task(command)
        while not begun.exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_cancelled_it_is_killed_with_all_it_started(tmp_path: Path) -> None:
    script = "sleep 60 & echo started > begun; wait"
    command = commands.run(["sh", "-c", script], BuildLog(tmp_path / "log"), tmp_path)
    cancel_once_begun(command, tmp_path / "begun")


def test_what_a_program_answers() -> None:
    assert asyncio.run(commands.output("sh", "-c", "echo hello; exit 2")) == (2, "hello")
    assert asyncio.run(commands.output("/no/such/program"))[0] == -1


def test_a_program_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PROBE_PATIENCE", 0.05)
    assert asyncio.run(commands.output("sleep", "60")) == (-1, "no answer in 0.05 s")


def test_a_cancelled_question_leaves_no_program(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    cancel_once_begun(commands.output("sh", "-c", f"echo started > {begun}; sleep 60"), begun)


def test_builds_get_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GLOBUS_COMPUTE_CLIENT_SECRET", "COMPUTE_EXECUTOR_TOKEN", "PYTHONPATH", "HARMLESS"):
        monkeypatch.setenv(name, "x")
    assert {"GLOBUS_COMPUTE_CLIENT_SECRET", "COMPUTE_EXECUTOR_TOKEN", "PYTHONPATH"}.isdisjoint(
        commands.environ()
    )
    assert commands.environ()["HARMLESS"] == "x"
