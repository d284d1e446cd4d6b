"""Whether a service and this client understand each other, found out once for a Client."""

from __future__ import annotations

from typing import Any

import pytest

from compute_executor import Client, __version__
from compute_executor.errors import VersionMismatch
from compute_executor.protocol.frames import PROTOCOL
from compute_executor.sdk.versions import STOCK_SDK, check
from tests.sdk.conftest import CANARY, Reply, ScriptedService

VERSION = "GET /v2/version"


@pytest.mark.parametrize("oldest", ["0.3.0", "4.19.0", "4.19", "4.18.9", "4.19.0rc1", "", "soon"])
def test_a_stock_service_that_serves_us(oldest: str) -> None:
    check({"api": "1", "min_sdk_version": oldest, "min_ep_version": "99.0"}, "here")


@pytest.mark.parametrize("oldest", ["4.19.1", "4.20.0", "5", "4.20.0rc1", "10.0"])
def test_one_that_wants_a_newer_sdk(oldest: str) -> None:
    with pytest.raises(VersionMismatch) as caught:
        check({"min_sdk_version": oldest}, "https://here")
    for told in ("https://here", oldest, STOCK_SDK, __version__, "update"):
        assert told in str(caught.value)


def test_a_service_of_ours_is_known_by_its_protocol() -> None:
    check({"compute_executor": "9.9", "protocol": PROTOCOL, "min_sdk_version": "99"}, "here")
    check({"compute_executor": "0.1.0"}, "here")
    with pytest.raises(VersionMismatch, match=rf"compute_executor 9\.9.*{PROTOCOL + 1}.*{PROTOCOL}: update"):
        check({"compute_executor": "9.9", "protocol": PROTOCOL + 1}, "here")


@pytest.fixture
def hosted_client(hosted: ScriptedService) -> Any:
    from globus_sdk import AccessTokenAuthorizer

    hosted.on("GET /v2/endpoints", Reply(200, []))
    return lambda **options: Client(base_url=hosted.url, authorizer=AccessTokenAuthorizer(CANARY), **options)


def test_the_hosted_service_is_asked_once(hosted: ScriptedService, hosted_client: Any) -> None:
    hosted.on(VERSION, Reply(200, {"min_sdk_version": "4.0.0", "min_ep_version": "1"}))
    with hosted_client() as client:
        client.get_endpoints()
        client.get_endpoints()
    assert [seen.path for seen in hosted.seen] == [
        "/v2/version?service=all",
        "/v2/endpoints",
        "/v2/endpoints",
    ]


def test_nothing_is_asked_of_one_that_we_are_too_old_for(hosted: ScriptedService, hosted_client: Any) -> None:
    hosted.on(VERSION, Reply(200, {"min_sdk_version": "5.0.0", "min_ep_version": "1"}))
    with hosted_client() as client, pytest.raises(VersionMismatch, match=r"5\.0\.0"):
        client.get_endpoints()
    assert not hosted.requests("GET /v2/endpoints")


def test_unless_it_is_not_wanted(hosted: ScriptedService, hosted_client: Any) -> None:
    hosted.on(VERSION, Reply(200, {"min_sdk_version": "5.0.0"}))
    with hosted_client(do_version_check=False) as client:
        client.get_endpoints()
    assert [seen.path for seen in hosted.seen] == ["/v2/endpoints"]


def test_an_own_service_of_another_protocol(service: ScriptedService) -> None:
    service.on(VERSION, Reply(200, {"compute_executor": "9.9", "protocol": PROTOCOL + 1}))
    with Client(base_url=service.url, token=CANARY) as client, pytest.raises(VersionMismatch):
        client.is_own_service()
    with Client(base_url=service.url, token=CANARY, do_version_check=False) as client:
        assert client.is_own_service()
