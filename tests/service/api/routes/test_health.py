"""Health for everybody, figures for operators."""

from __future__ import annotations

import sys

import pytest

from compute_executor._version import __version__
from tests.service.asgi import ask
from tests.service.conftest import World
from tests.service.every_route import HOST_HEADER


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"Bearer wrong")]])
def test_health_needs_no_token_and_tells_nothing_else(
    world: World, headers: list[tuple[bytes, bytes]]
) -> None:
    answer = ask(world.app, "GET", "/health", raw_headers=[HOST_HEADER, *headers])
    assert (answer.status, answer.json()) == (200, {"status": "ok", "version": __version__})


OVERVIEW = {
    "uptime": 12.5,
    "tasks": {"queued": 3, "leased": 1, "began": 2, "done": 0, "ended_since_start": 40},
    "storing": "ok",
    "connections": 1,
    "workers": [{"state": "idle"}, {"state": "running"}, {"state": "running"}],
    "pools": [{}],
}


def test_figures_in_the_format_of_prometheus(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.service, "overview", lambda: OVERVIEW)
    answer = ask(world.app, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.body.decode().splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert figures["compute_executor_tasks_ended_total"] == "40.0"
    assert figures['compute_executor_tasks{state="queued"}'] == "3.0"
    assert figures['compute_executor_workers{state="running"}'] == "2.0"
    assert figures["compute_executor_storing"] == "1.0"
    assert 'compute_executor_tasks{state="done"}' not in figures


def test_without_the_package_it_says_which(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    answer = ask(world.app, "GET", "/metrics")
    assert (answer.status, "compute-executor[metrics]" in answer.body.decode()) == (501, True)
