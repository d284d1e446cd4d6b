"""What the doctor concludes, as values."""

from __future__ import annotations

import platform
from email.utils import formatdate

import pytest

from compute_executor import __version__
from compute_executor.cli import checks
from compute_executor.cli.checks import OK, WARNING, WRONG
from compute_executor.errors import (
    ComputeError,
    NotAuthorized,
    NotFound,
    ServiceUnavailable,
    VersionMismatch,
)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NotAuthorized("no"), "log in"),
        (NotFound("no"), "address"),
        (VersionMismatch("no"), "update"),
        (ServiceUnavailable("no"), "network"),
        (ComputeError("no"), "log"),
    ],
)
def test_trouble_says_what_to_do(error: ComputeError, advice: str) -> None:
    finding = checks.trouble("stream", error)
    assert (finding.name, finding.state, finding.text) == ("stream", WRONG, "no")
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("document", "state"),
    [({"api": "1"}, OK), ({"compute_executor": __version__}, OK), ({"compute_executor": "99.0.0"}, WARNING)],
)
def test_service(document: dict[str, str], state: str) -> None:
    assert checks.service(document, "http://x").state == state


@pytest.mark.parametrize(
    ("skew", "state"), [(0, OK), (-30, WARNING), (30, WARNING), (-200, WRONG), (200, WRONG)]
)
def test_clocks(skew: int, state: str) -> None:
    assert checks.clocks(formatdate(1_800_000_000 + skew, usegmt=True), 1_800_000_000.0).state == state


@pytest.mark.parametrize("header", [None, "noon"])
def test_a_service_that_does_not_tell_its_time(header: str | None) -> None:
    assert checks.clocks(header, 0.0).state == WARNING


@pytest.mark.parametrize(
    ("document", "status", "state"),
    [
        ({"name": "e"}, {"status": "offline"}, WRONG),
        ({"uuid": "e"}, {}, WRONG),
        ({"name": "e"}, {"status": "online"}, OK),
        ({"name": "e", "python_version": platform.python_version()}, {"status": "online"}, OK),
        ({"name": "e", "metadata": {"python_version": "3.4.1"}}, {"status": "online"}, WARNING),
        ({"name": "e", "metadata": "?"}, {"status": "online"}, OK),
    ],
)
def test_endpoint(document: dict[str, object], status: dict[str, str], state: str) -> None:
    assert checks.endpoint(document, status).state == state


def test_broker() -> None:
    assert checks.broker("amqps://b:5671", None).state == OK
    assert "polling" in checks.broker("amqps://b:5671", OSError("no route")).advice
