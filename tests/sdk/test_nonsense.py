"""A service that answers nonsense: every method of the Client raises an error of this package, or returns."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from compute_executor import Client
from compute_executor.errors import ComputeError
from tests.sdk.conftest import Reply, ScriptedService, Seen

ID = "00000000-0000-4000-8000-000000000000"
NONSENSE = [
    b"",
    b"null",
    b"5",
    b'"text"',
    b"[]",
    b"[5]",
    b"{}",
    b'{"results": 5, "tasks": 5}',
    json.dumps({"results": {ID: 5}, "tasks": [5], "status": 5, "function_uuid": {}, "container": 5}).encode(),
    json.dumps(
        {"results": {ID: {"status": "success", "result": 5}}, "status": "success", "result": "x"}
    ).encode(),
    b'{"status": "failed", "exception": 5}',
    b"<html>",
    b"\xff\xfe",
    b"[" * 100_000,
]
CALLS: dict[str, Callable[[Client], Any]] = {
    "run": lambda client: client.run(1, function_id=ID, endpoint_id=ID),
    "register": lambda client: client.register_function(abs),
    "get_function": lambda client: client.get_function(ID),
    "delete_function": lambda client: client.delete_function(ID),
    "search": lambda client: client.search_functions("x"),
    "get_task": lambda client: client.get_task(ID),
    "get_result": lambda client: client.get_result(ID),
    "get_batch_result": lambda client: client.get_batch_result([ID]),
    "cancel_task": lambda client: client.cancel_task(ID),
    "get_endpoints": lambda client: client.get_endpoints(),
    "get_endpoint_status": lambda client: client.get_endpoint_status(ID),
    "get_endpoint_metadata": lambda client: client.get_endpoint_metadata(ID),
    "register_endpoint": lambda client: client.register_endpoint("name"),
    "stop_endpoint": lambda client: client.stop_endpoint(ID),
    "delete_endpoint": lambda client: client.delete_endpoint(ID),
    "get_allowed_functions": lambda client: client.get_allowed_functions(ID),
    "register_container": lambda client: client.register_container("x", "docker"),
    "get_container": lambda client: client.get_container(ID),
    "get_container_build_status": lambda client: client.get_container_build_status(ID),
    "get_container_build_log": lambda client: client.get_container_build_log(ID),
    "group_tasks": lambda client: client.group_tasks(ID),
    "result_queues": lambda client: client.result_queues(),
    "is_own_service": lambda client: client.is_own_service(),
    "look": lambda client: client.look(),
}


class Nonsense(ScriptedService):
    """Every answer is ``body``, but for the version, which says whether the service is an own one."""

    def __init__(self, own: bool, body: bytes) -> None:
        super().__init__()
        self.own = own
        self.body = body

    def handle(self, handler: Any) -> None:
        route = f"{handler.command} {handler.path.partition('?')[0]}"
        self.answers[route] = self.answer
        super().handle(handler)

    def answer(self, seen: Seen) -> Reply:
        if "version" in seen.path:
            return Reply(200, {"compute_executor": "0.1.0"} if self.own else {})
        return Reply(200, body=self.body)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("body", NONSENSE, ids=[str(number) for number in range(len(NONSENSE))])
def test_nonsense_is_an_error_of_this_package(own: bool, body: bytes) -> None:
    service = Nonsense(own, body)
    try:
        with Client(base_url=service.url) as client:
            for name, call in CALLS.items():
                try:
                    call(client)
                except ComputeError:
                    pass
                except Exception as error:
                    raise AssertionError(f"{name}: {error!r}") from error
    finally:
        service.close()
