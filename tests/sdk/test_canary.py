"""A token that must not be seen: in no log, repr, message or traceback, on the ways of the Client and the Executor.

(`login_manager/test_manager.py` and `auth/globus_auth/test_authenticator.py` do the same for logins and for a
service.)
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

import globus_sdk
import pytest

from compute_executor import Client, Executor
from compute_executor.errors import ComputeError, InvalidRequest, NotAuthorized, ServiceUnavailable
from compute_executor.sdk.http.direct import ServerAddress
from tests.hosted_service import HostedService, Scripted
from tests.sdk.conftest import CANARY, Reply, ScriptedService, reprs

ENDPOINT = "5a3c0e38-7a31-4f2c-9f0d-1f2d3c4b5a69"


@pytest.fixture
def shown(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Any:
    """What anybody could have seen; checked at the end of the test, with all loggers at their most talkative."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    yield seen
    out, err = capfd.readouterr()
    everything = "\n".join([*seen, caplog.text, out, err])
    assert len(seen) > 1
    assert CANARY not in everything


def told(error: BaseException) -> list[str]:
    """All that an error says, its causes and contexts included."""
    found, at = ["".join(traceback.format_exception(error))], error
    while at is not None:
        found += [repr(at), str(at), repr(vars(at)), repr(at.args)]
        at = at.__cause__ or at.__context__  # type: ignore[assignment]
    return found


@pytest.mark.parametrize("by", ["token", "authorizer"])
def test_at_a_service_of_ones_own(service: ScriptedService, shown: list[str], by: str) -> None:
    logins: dict[str, Any] = {"token": CANARY, "authorizer": globus_sdk.AccessTokenAuthorizer(CANARY)}
    bad = [Reply(401), Reply(403), Reply(404), Reply(500), Reply(hang_up=True), Reply(302)]
    with Client(base_url=service.url, **{by: logins[by]}) as client:
        shown += reprs(client)
        for reply in bad:
            service.on("GET /v2/endpoints", reply)
            with pytest.raises(ComputeError) as caught:
                client.get_endpoints()
            shown += told(caught.value)
    assert f"Bearer {CANARY}" in {seen.headers.get("authorization") for seen in service.seen}


def test_where_nobody_answers_or_anybody_could_read(shown: list[str]) -> None:
    with (
        Client(base_url="http://127.0.0.1:9", token=CANARY) as client,
        pytest.raises(ServiceUnavailable) as gone,
    ):
        client.get_endpoints()
    with pytest.raises(InvalidRequest) as plain:
        Client(base_url="http://compute.example.org", token=CANARY)
    with pytest.raises(InvalidRequest) as twofold:
        Client(base_url="http://localhost", token=CANARY, authorizer=globus_sdk.AccessTokenAuthorizer(CANARY))
    shown += [*told(gone.value), *told(plain.value), *told(twofold.value)]
    shown += reprs(ServerAddress("http://localhost", CANARY))


@pytest.mark.parametrize("status", [0, 401, 403, 500])
def test_an_executor_at_a_hosted_service(shown: list[str], status: int) -> None:
    service, arrived = HostedService(), list[str]()
    try:
        service.accepts = lambda token: not arrived.append(token)
        service.answers = [Scripted("/submit", status)] * 10
        authorizer = globus_sdk.AccessTokenAuthorizer(CANARY)
        client = Client(base_url=service.url, authorizer=authorizer)
        with client, Executor(ENDPOINT, client=client) as executor:
            future = executor.submit(pow, 2, 3)
            error = future.exception(20)
            assert isinstance(error, (NotAuthorized, ServiceUnavailable))
            shown += [*told(error), *reprs(future, executor, client)]
        assert set(arrived) == {CANARY}
    finally:
        service.close()
