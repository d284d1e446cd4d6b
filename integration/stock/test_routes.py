"""Every method of globus_sdk's clients of this service answers what its documented answers have, and a few more."""

from __future__ import annotations

from typing import Any

import pytest

from integration.stock.conftest import World

DOCUMENTED: dict[str, set[str]] = {
    "get_version all": {"api", "min_sdk_version", "min_endpoint_version", "git_sha"},
    "get_function": {"function_uuid", "function_name", "function_code", "description", "metadata"},
    "submit v2": {"response", "task_group_id", "results"},
    "submit v3": {"request_id", "task_group_id", "endpoint_id", "tasks"},
    "get_task": {"task_id", "status", "result", "completion_t", "details"},
    "get_task_batch": {"response", "results"},
    "get_task_group": {"taskgroup_id", "create_websockets_queue", "tasks"},
    "get_result_amqp_url": {"queue_prefix", "connection_url"},
    "get_endpoint_status": {"status", "details"},
    "get_endpoint_status built-in": {"status", "details"},
    "get_endpoint_allowlist": {"endpoint_id", "restricted", "functions"},
    "lock_endpoint v2": {"endpoint_id", "lock_expiration_timestamp"},
    "lock_endpoint v3": {"endpoint_id", "lock_expiration_timestamp"},
}
"""Fields of the answers in globus_sdk 4.10, globus_sdk/testing/data/compute."""
REGISTERED = {"endpoint_id", "command_queue_info", "heartbeat_queue_info"}
"""What endpoints since 4.0 read; those before, which read other queues, are told to update."""


@pytest.fixture(scope="module")
def answers(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.sdk.run("routes.py")
    return found


def test_answers_have_the_documented_fields(answers: dict[str, Any]) -> None:
    found = answers["found"]
    missing = {name: fields - found[name].keys() for name, fields in DOCUMENTED.items()}
    assert {name: fields for name, fields in missing.items() if fields} == {}
    assert found["get_version"] == "str"
    for name in ("register_endpoint", "update_endpoint", "register_endpoint v2"):
        assert found[name].keys() >= REGISTERED
    assert found["get_task_group"]["tasks"] == {"id": "str", "created_at": "str"}
    transitions = found["get_task"]["details"]["task_transitions"]
    assert transitions == {"execution-start": "float", "execution-end": "float"}
    assert (found["delete_endpoint"]["result"], found["delete_function"]["result"]) == (302, 302)


def test_an_endpoint_is_shown_with_what_it_said(answers: dict[str, Any]) -> None:
    said, shown = answers["said"], answers["found"]["get_endpoint"]
    expected = {"name": said["endpoint_name"], **said["metadata"]}
    expected |= {name: said[name] for name in ("display_name", "description", "subscription_uuid")}
    assert {name: shown[name] for name in expected} == expected
    assert {"uuid", "name", "display_name", "owner"} <= answers["found"]["get_endpoints"][0].keys()


def test_a_batch_for_several_endpoints_says_which_of_its_tasks_were_accepted(answers: dict[str, Any]) -> None:
    first, second = answers["found"]["submit v2"]["results"]
    fields = {"status", "task_uuid", "http_status_code", "reason"}
    assert first.keys() == second.keys() == fields
    assert (first["status"], first["http_status_code"], first["reason"]) == ("success", 200, None)
    assert (second["status"], second["http_status_code"], second["task_uuid"]) == ("failed", 404, None)
