from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compute_executor import executor
from compute_executor.cli import commands
from compute_executor.cli.sweep import sweep as sweep_command
from compute_executor.cli.sweep_request import SweepRequest
from compute_executor.thread_limits import THREAD_VARIABLES

Command = Callable[..., Result]


def test_help_names_every_option(command: Command) -> None:
    shown = command("sweep", "--help").stdout
    for option in ("--grid", "--params", "--out", "--plot", "--resume", "--max-workers", "--endpoint"):
        assert option in shown


def test_options_reach_the_executor(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[object, ...]] = []

    def make(
        endpoint: str | None,
        client: object,
        *,
        max_workers: int | None,
        label: str,
        output: str,
        profile: str | None,
    ) -> Executor:
        made.append((endpoint, max_workers, label, profile))
        return ThreadPoolExecutor(1)

    monkeypatch.setattr(executor, "Executor", make)
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    (here / "swept_options.py").write_text("def f(x): return x\n")
    sweep = ["sweep", "swept_options.py:f", "--grid", "x=1"]
    CliRunner().invoke(commands, [*sweep, "--max-workers", "3"], catch_exceptions=False)
    there = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
    CliRunner().invoke(commands, [*sweep, "--endpoint", there, "--overwrite"], catch_exceptions=False)
    label = "sweep swept_options.py:f"
    assert made == [(None, 3, label, None), (there, None, label, None)]


def test_a_request_has_a_field_for_every_option() -> None:
    parameters = {parameter.name for parameter in sweep_command.params} | {"program"}
    assert parameters == set(SweepRequest.__dataclass_fields__)
