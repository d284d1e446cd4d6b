"""Unmodified stock peers on our service: what each of them does must work."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from typing import Any

import pika
import pytest

from compute_executor.service.globus_compute.broker_link import BrokerLink
from integration.stock.conftest import ENGINES, Runs, World
from integration.stock.peers import OWN_ENDPOINT

pytestmark = pytest.mark.timeout(400)


def check_basics(found: dict[str, Any], limit: str | None) -> None:
    assert found["first"] == 49
    assert found["squares"] is True
    assert found["keywords"] == 3
    assert found["closure"] == 11
    assert found["large"] is True
    kind, text = found["raised"]
    assert kind == "TaskExecutionFailed"
    assert "KeyError: 'no such key'" in text
    assert found["reloaded"] == 1006
    assert found["reloaded_squares"] == sum(number * number for number in range(1000))
    if limit is None:
        assert found["too_large"][0] == "NoneType"
    else:
        assert limit in found["too_large"][1]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_stock_executor_on_a_stock_endpoint(runs: Runs, engine: str) -> None:
    check_basics(runs.found(engine), "MaxResultSizeExceeded")


def test_the_stock_executor_on_our_endpoint(runs: Runs) -> None:
    check_basics(runs.found("own endpoint"), None)


@pytest.mark.parametrize("where", ["client", "client, own endpoint"])
def test_the_stock_client(world: World, runs: Runs, where: str) -> None:
    found = runs.found(where)
    check_client(found, world)
    check_ours_by_them(found)
    check_theirs_by_us(world, found)


def check_client(found: dict[str, Any], world: World) -> None:
    assert found["value"] == 36
    assert found["values"] == [number * number for number in range(20)]
    assert found["statuses"] == ["success"]
    assert "KeyError" in str(found["failure"])
    assert "413" in str(found["refused"])
    assert found["status"] == "online"
    assert {OWN_ENDPOINT, world.endpoint.id} <= set(found["endpoints"])


def check_ours_by_them(found: dict[str, Any]) -> None:
    """A function that our client registered, run by the stock one; a result of ours, read by it."""
    assert found["foreign"] == 8**3
    assert found["foreign_result"] == 5**3


def check_theirs_by_us(world: World, found: dict[str, Any]) -> None:
    """A function that the stock client registered, run by ours; a result of theirs, read by it."""
    read = world.ours.run("ours_reads.py", world.endpoint.id, found["function"], found["task"])
    assert read == {"ran": 81, "ran_here": 81, "read": 36}


def test_an_endpoint_may_read_its_own_queue_only(world: World) -> None:
    """Its credentials, as the service made them, open its command queue and nothing else."""
    users = ask_management(world, "/api/users")
    names = {user["name"] for user in users}
    assert world.endpoint.id in names
    [rights] = ask_management(world, f"/api/users/{world.endpoint.id}/permissions")
    assert (rights["configure"], rights["write"]) == ("^$", "^heartbeats$")
    assert rights["read"].replace("\\", "") == f"^{world.endpoint.id}.commands$"


def ask_management(world: World, path: str) -> list[dict[str, str]]:
    request = urllib.request.Request(world.broker.management_url + path)
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    with urllib.request.urlopen(request) as answer:
        found: list[dict[str, str]] = json.load(answer)
    return found


def test_a_listener_cannot_read_what_is_not_its_own(world: World) -> None:
    """The address that an SDK is given does not open the queue of all results."""
    found = world.sdk.run("listener.py")
    connection = pika.BlockingConnection(pika.URLParameters(found["connection_url"]))
    channel = connection.channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
        channel.basic_get("results")
    connection.close()


def test_a_broker_with_tls_and_a_certificate_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service reaches it if SSL_CERT_FILE names the certificate, and not without."""
    assert "certificate verify failed" in asyncio.run(trouble_of(world.broker.tls_url))
    monkeypatch.setenv("SSL_CERT_FILE", str(world.broker.certificate))
    assert asyncio.run(trouble_of(world.broker.tls_url)) == ""


async def trouble_of(url: str) -> str:
    """What keeps our link to a broker from being open; "" if nothing does."""
    opened = asyncio.Event()
    link = BrokerLink(url, asyncio.get_running_loop(), opened=opened.set, closed=lambda: None, consumers={})
    link.start()
    try:
        while not link.open and link.trouble == "not connected yet":
            await asyncio.sleep(0.05)
    finally:
        await link.close()
    return "" if opened.is_set() else link.trouble
