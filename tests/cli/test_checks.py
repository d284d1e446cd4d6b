"""What the doctor concludes, as values."""

from __future__ import annotations

import platform
from email.utils import formatdate
from typing import Any

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
    full = checks.broker("amqps://b:5671", None, "alarms: memory")
    assert (full.state, "alarms: memory" in full.text) == (checks.WARNING, True)


def agent(**changes: Any) -> dict[str, Any]:
    found = {
        "name": "hpc",
        "online": True,
        "engine": "slurm",
        "workers": 2,
        "running": 0,
        "open": 3,
        "pythons": [platform.python_version()],
        "machines": [machine()],
    }
    return {**found, **changes}


def machine(**changes: Any) -> dict[str, Any]:
    found = {"host": "n1", "connected": True, "trouble": "", "leased": 0, "version": __version__, "state": {}}
    return {**found, **changes}


def test_an_endpoint_of_this_package() -> None:
    (found,) = checks.agent(agent())
    assert (found.state, found.text) == (checks.OK, "is online: slurm, 2 workers, 0 running, 3 open")
    (found,) = checks.agent(agent(online=False, machines=[machine(connected=False)]))
    assert (found.state, found.advice) == (checks.WRONG, "start it: compute-executor endpoint start hpc")


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({"pythons": ["2.7.18"]}, checks.WARNING, "2.7.18"),
        ({"machines": [machine(trouble="no room")]}, checks.WRONG, "no room"),
        ({"machines": [machine(version="0.0.1")]}, checks.WARNING, "0.0.1"),
        ({"machines": [machine(), machine(connected=False, leased=7)]}, checks.WARNING, "away with 7 tasks"),
        (
            {
                "machines": [
                    machine(state={"blocks": [{"job": "9", "state": "pending", "reason": "Priority"}]})
                ]
            },
            checks.OK,
            "job 9 waits: Priority",
        ),
    ],
)
def test_what_is_wrong_with_one(changes: dict[str, Any], state: str, said: str) -> None:
    found = list(checks.agent(agent(**changes)))
    assert any(one.state == state and said in one.text for one in found), found
