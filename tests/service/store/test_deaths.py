"""A service that dies at any statement, or whose writes fail from then on, leaves a store in which damage is found
where there is some, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("then", ["closed", "gone"])
@pytest.mark.parametrize("how", ["kill", "locked", "full"])
def test_at_each_statement(how: str, then: str) -> None:
    assert what_deaths_say(how, then) == ""


@pytest.mark.slow
def test_in_each_write_into_the_log() -> None:
    assert what_deaths_say("cut") == ""


def what_deaths_say(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.service.store.deaths", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
