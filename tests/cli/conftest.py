"""Running a command of the command line, without a service: calls run in threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compute_executor.cli import commands
from tests.sdk.conftest import CLIENT_ID, CREDENTIALS, SECRET, ScriptedAuth

Command = Callable[..., Result]
Typed = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", "") and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def command(here: Path) -> Command:
    """``command("sweep", ...)`` runs it in :func:`here` and returns click's result."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            commands, arguments, obj=lambda _: ThreadPoolExecutor(2), catch_exceptions=False
        )

    return run


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedAuth]:
    """A Globus Auth on loopback, and nobody logged in."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    scripted = ScriptedAuth(CLIENT_ID, SECRET)
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{scripted.url}/")
    yield scripted
    scripted.close()


@pytest.fixture
def typed(auth: ScriptedAuth) -> Typed:
    """``typed("login", answers="...")``"""
    return lambda *arguments, answers="": CliRunner().invoke(commands, arguments, input=answers)
