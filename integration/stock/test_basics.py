"""Unmodified stock peers on our service: what each of them does must work."""

from __future__ import annotations

import base64
import json
import urllib.request

import pika
import pytest

from integration.stock.conftest import World
from integration.stock.peers import OWN_ENDPOINT

ENGINES = ("ThreadPoolEngine", "ProcessPoolEngine", "GlobusComputeEngine")
pytestmark = pytest.mark.timeout(400)


def check_basics(found: dict[str, object], limit: str | None) -> None:
    assert found["first"] == 49
    assert found["squares"] is True
    assert found["keywords"] == 3
    assert found["closure"] == 11
    assert found["large"] is True
    kind, text = found["raised"]  # type: ignore[misc]
    assert kind == "TaskExecutionFailed"
    assert "KeyError: 'no such key'" in text
    assert found["reloaded"] == 1006
    assert found["reloaded_squares"] == sum(number * number for number in range(1000))
    if limit is None:
        assert found["too_large"][0] == "NoneType"  # type: ignore[index]
    else:
        assert limit in found["too_large"][1]  # type: ignore[index]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_stock_executor_on_a_stock_endpoint(
    world: World, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sdk.environ["TEST_CONFIG"] = json.dumps({"engine": engine})
    check_basics(world.sdk.run("basics.py", world.endpoint.id, patience=300), "MaxResultSizeExceeded")


def test_the_stock_executor_on_our_endpoint(world: World) -> None:
    world.sdk.environ["TEST_CONFIG"] = ""
    check_basics(world.sdk.run("basics.py", OWN_ENDPOINT), None)


def test_the_stock_client_on_a_stock_endpoint(world: World) -> None:
    world.sdk.environ["TEST_CONFIG"] = ""
    check_client(world.sdk.run("by_client.py", world.endpoint.id), world)


def test_the_stock_client_on_our_endpoint(world: World) -> None:
    world.sdk.environ["TEST_CONFIG"] = ""
    check_client(world.sdk.run("by_client.py", OWN_ENDPOINT), world)


def check_client(found: dict[str, object], world: World) -> None:
    assert found["value"] == 36
    assert found["values"] == [number * number for number in range(20)]
    assert found["statuses"] == ["success"]
    assert "KeyError" in str(found["failure"])
    assert "413" in str(found["refused"])
    assert found["status"] == "online"
    assert {OWN_ENDPOINT, world.endpoint.id} <= set(found["endpoints"])  # type: ignore[call-overload]


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
