"""Environments: what is described, what is asked of the service. Functions and endpoints that need no worker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from compute_executor import Client, ContainerSpec
from compute_executor.errors import InvalidRequest
from tests.sdk.conftest import Reply, ScriptedService

ID = str(uuid.uuid4())


@pytest.mark.parametrize("version", ["three", "2.7", "3", "3.12; rm", 3.12, ""])
def test_a_version_of_python_is_checked_when_it_is_given(version: Any) -> None:
    with pytest.raises(ValueError, match=r"python_version is such as '3\.12'"):
        ContainerSpec(python_version=version)


@pytest.fixture
def client(service: ScriptedService) -> Iterator[Client]:
    service.on("GET /v2/version", Reply(200, {"compute_executor": "0.1.0"}))
    with Client(base_url=service.url) as client:
        yield client


def test_a_spec_is_the_document_of_what_it_names() -> None:
    spec = ContainerSpec(name="n", pip=["numpy==1.26.0"], apt=("git",), python_version="3.12")
    assert spec.to_json() == {"name": "n", "pip": ["numpy==1.26.0"], "apt": ["git"], "python_version": "3.12"}
    assert ContainerSpec().to_json() == {}


@pytest.mark.parametrize("packages", ["numpy", [1], 5])
def test_packages_are_a_list_of_names(packages: Any) -> None:
    with pytest.raises((InvalidRequest, TypeError)):
        ContainerSpec(pip=packages)


def test_building_and_watching_it(client: Client, service: ScriptedService) -> None:
    service.on("POST /v2/containers/build", Reply(200, {"container_id": ID}))
    service.on(
        f"GET /v2/containers/build/{ID}", Reply(200, {"status": "building", "log": "Collecting numpy"})
    )
    assert client.build_container(ContainerSpec(pip=["numpy"])) == ID
    assert service.seen[0].document == {"pip": ["numpy"]}
    assert client.get_container_build_status(ID) == "building"
    assert client.get_container_build_log(uuid.UUID(ID)) == "Collecting numpy"


def test_naming_an_image(client: Client, service: ScriptedService) -> None:
    service.on("POST /v2/containers", Reply(200, {"container_id": ID}))
    assert client.register_container("docker.io/library/python:3.12", "Docker", description="d") == ID
    assert service.seen[0].document == {
        "location": "docker.io/library/python:3.12",
        "type": "docker",
        "name": "",
        "description": "d",
    }
    with pytest.raises(InvalidRequest, match="docker, podman"):
        client.register_container("x", "zip")


def test_looking_one_up(client: Client, service: ScriptedService) -> None:
    service.on(f"GET /v2/containers/{ID}", Reply(200, {"container": {"location": "x"}}))
    service.on(f"GET /v2/containers/{ID}/docker", Reply(200, {"container": {"location": "y"}}))
    assert client.get_container(ID) == {"location": "x"}
    assert client.get_container(ID, "docker") == {"location": "y"}


def test_a_function_in_a_container_for_a_group(client: Client, service: ScriptedService) -> None:
    service.on("POST /v3/functions", Reply(200, {"function_uuid": ID}))
    client.register_function(len, container_uuid=uuid.UUID(ID), group=ID, description="")
    document = service.requests("POST /v3/functions")[0].document
    assert (document["container_uuid"], document["group"], document["description"]) == (ID, ID, "")
    assert "public" not in document


def test_functions_are_called_by_what_they_are(client: Client, service: ScriptedService) -> None:
    from functools import partial

    service.on("POST /v3/functions", Reply(200, {"function_uuid": ID}))
    for function in (partial(partial(len)), str.upper, Callable(), lambda: 1):
        client.register_function(function)
    names = [seen.document["function_name"] for seen in service.requests("POST /v3/functions")]
    assert names == ["len", "upper", "Callable", "<lambda>"]


class Callable:
    """An object that can be called."""

    def __call__(self) -> int:
        return 1


def test_functions_are_listed_and_searched(client: Client, service: ScriptedService) -> None:
    service.on("GET /v2/functions", lambda seen: Reply(200, [{"path": seen.path}]))
    assert client.list_functions() == [{"path": "/v2/functions"}]
    assert client.search_functions("heat map") == [{"path": "/v2/functions?search=heat+map"}]


def test_endpoints_are_registered_changed_stopped_deleted(client: Client, service: ScriptedService) -> None:
    service.on("POST /v3/endpoints", Reply(200, {"endpoint_id": ID}))
    service.on(f"PUT /v3/endpoints/{ID}", Reply(200, {"endpoint_id": ID}))
    service.on(f"POST /v3/endpoints/{ID}/lock", Reply(200, {"status": "locked"}))
    service.on(f"DELETE /v2/endpoints/{ID}", Reply(200, {"result": 302}))
    service.on(
        f"GET /v3/endpoints/{ID}/allowed_functions", Reply(200, {"restricted": True, "functions": [ID]})
    )
    service.on("GET /v2/endpoints", lambda seen: Reply(200, [{"path": seen.path}]))
    assert client.register_endpoint(
        "mine", metadata={"a": 1}, allowed_functions=[uuid.UUID(ID)], public=False
    )
    assert service.seen[-1].document == {
        "endpoint_name": "mine",
        "metadata": {"a": 1},
        "allowed_functions": [ID],
        "public": False,
    }
    assert client.register_endpoint("mine", ID) == {"endpoint_id": ID}
    assert client.stop_endpoint(ID) == {"status": "locked"}
    assert client.delete_endpoint(ID) == {"result": 302}
    assert client.get_allowed_functions(ID)["functions"] == [ID]
    assert client.get_endpoints("owner") == [{"path": "/v2/endpoints?role=owner"}]


def test_an_image_may_be_asked_for(client: Client, service: ScriptedService) -> None:
    service.on("POST /v2/containers/build", Reply(200, {"container_id": ID}))
    client.build_container(ContainerSpec(pip=["six"]), container_type="podman")
    assert service.seen[-1].document == {"pip": ["six"], "container_type": "podman"}
