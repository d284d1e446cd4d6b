"""A service that demands another login than the one that is there (a GARE), as Globus Compute's policies do."""

from __future__ import annotations

import io
import sys

import pytest

from compute_executor import Client
from compute_executor.errors import NotAuthorized
from tests.sdk.conftest import CODE, Reply, ScriptedAuth, ScriptedService

DEMAND = {
    "code": "AuthorizationParametersError",
    "reason": "policy",
    "authorization_parameters": {
        "session_message": "log in with your institution",
        "session_required_mfa": True,
    },
}


def type_in(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{CODE}\n" * times))


def test_a_person_is_asked_and_the_call_made_again(
    auth: ScriptedAuth,
    hosted: ScriptedService,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    type_in(monkeypatch, 2)
    hosted.on("GET /v2/endpoints", Reply(403, DEMAND), Reply(200, []))
    with Client(environment="production") as client:
        assert client.get_endpoints() == []
    first, second = (seen.headers["authorization"] for seen in hosted.requests("GET /v2/endpoints"))
    assert first != second
    assert "session_required_mfa=True" in capsys.readouterr().out


def test_where_nobody_can_be_asked_it_is_said(
    auth: ScriptedAuth, hosted: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, 1)
    hosted.on("GET /v2/endpoints", Reply(403, DEMAND))
    with (
        Client(environment="production") as client,
        pytest.raises(NotAuthorized, match=r"institution.*login --force"),
    ):
        client.get_endpoints()


def test_a_demand_that_stays_is_a_refusal(
    auth: ScriptedAuth, hosted: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, 5)
    hosted.on("GET /v2/endpoints", Reply(403, DEMAND))
    with Client(environment="production") as client, pytest.raises(NotAuthorized, match="policy"):
        client.get_endpoints()
    assert len(hosted.requests("GET /v2/endpoints")) == 2
