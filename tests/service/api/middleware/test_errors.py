from __future__ import annotations

import asyncio
import logging

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from compute_executor.errors import InvalidRequest
from compute_executor.service.api.middleware.errors import ErrorDocuments
from compute_executor.service.audit import Audit
from tests.service.asgi import ask
from tests.service.conftest import World


def test_an_unexpected_error_is_told_to_the_log_only(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.service.raises = RuntimeError("the inside of the service")
    with caplog.at_level(logging.ERROR):
        answer = ask(world.app, "GET", "/v3/overview")
    assert answer.status == 500
    assert answer.json()["name"] == "ComputeError"
    assert "RuntimeError" in answer.json()["reason"]
    assert b"the inside" not in answer.body
    assert "the inside of the service" in caplog.text


def test_an_error_of_ours_is_answered_as_itself(world: World) -> None:
    world.service.raises = InvalidRequest("not like this")
    answer = ask(world.app, "GET", "/v3/overview")
    assert (answer.status, answer.json()["reason"]) == (400, "not like this")


def test_an_answer_that_has_begun_is_only_broken_off() -> None:
    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        ask(ErrorDocuments(half, Audit()), "GET", "/")


def test_a_client_that_has_gone_is_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def gone(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        raise ClientDisconnect

    assert ask(ErrorDocuments(gone, Audit()), "GET", "/").status == 0
    assert caplog.text == ""
