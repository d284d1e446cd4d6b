"""Every code block of the user guide, run as it stands, and what the guide says of it.

The blocks are in guide.md. Only the package's name is replaced, and once an argument that the guide leaves out
(``group=``, which is no Python). They run on the embedded service, without an account.
"""

from __future__ import annotations

import io
import logging
import platform
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from compute_executor import Client
from compute_executor.errors import NotFound, TaskPending
from compute_executor.sdk.login_manager import environments, tokens
from compute_executor.sdk.login_manager.protocol import LoginManagerProtocol
from tests.http_requests import shut_down
from tests.sdk.conftest import CLIENT_ID, Reply, ScriptedAuth, ScriptedService

GUIDE = (Path(__file__).parent / "guide.md").read_text().replace("globus_compute_sdk", "compute_executor")
PATIENCE = 30.0


def blocks(heading: str, language: str = "python") -> list[str]:
    """The code blocks under a heading."""
    section = GUIDE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def statements(session: str) -> str:
    """What is typed in an interactive session, without what it prints."""
    return "\n".join(line.removeprefix(">>> ") for line in session.splitlines() if line.startswith(">>> "))


class Reader:
    """Somebody who types the guide's blocks into one interpreter."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def types(self, code: str) -> str:
        """What the block prints."""
        out = io.StringIO()
        with redirect_stdout(out):
            exec(compile(code, "guide.md", "exec"), self.names)
        return out.getvalue()

    def waits_for(self, *task_ids: str) -> None:
        """Have a cup of tea until the tasks have ended."""
        deadline = time.monotonic() + PATIENCE
        while any(entry["pending"] for entry in self.names["gcc"].get_batch_result(task_ids).values()):
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """After the guide's first block, with a client of the embedded service."""
    for name in (*environments.ENVIRONMENT_VARIABLES, "FUNCX_SDK_CLIENT_ID", "GLOBUS_COMPUTE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "30")
    reader = Reader()
    (first,) = blocks("Globus Compute SDK User Guide")
    reader.types(first)
    with reader.names["gcc"] as client:
        yield reader
        shut_down(client)


def test_the_number_of_blocks_has_not_changed() -> None:
    assert GUIDE.count("```") == 2 * 11


def test_registering_running_retrieving_arguments_batching(reader: Reader) -> None:
    """The main thread of the guide, from the first function to the results of a batch."""
    (register,) = blocks("Registering Functions")
    reader.types(register)
    uuid.UUID(reader.names["func_uuid"])  # "it is assigned a UUID"

    (run,) = blocks("Running Functions")
    reader.types(run)
    uuid.UUID(reader.names["task_id"])  # "will return a UUID for the executing function"

    (retrieve,) = blocks("Retrieving Results")
    first = reader.types(retrieve)  # "or raise an exception indicating that the task is still pending"
    assert first.startswith("Exception: task ") or first == platform.platform() + "\n"
    reader.waits_for(reader.names["task_id"])
    assert reader.types(retrieve) == platform.platform() + "\n"

    (arguments,) = blocks("Arguments and data")
    reader.types(arguments)
    reader.waits_for(reader.names["task_id"])
    assert reader.types(retrieve) == "Hello Bob Smith\n"

    batch, session = blocks("Batching")
    reader.names["func_id"] = reader.names["gcc"].register_function(lambda x: x)
    reader.types(batch)
    task_ids = reader.names["batch_res"]  # "a list of task ids ... with the ordering preserved"
    assert isinstance(task_ids, list)
    assert len(task_ids) == 5

    printed = reader.types(statements(session))
    assert all(task_id in printed for task_id in task_ids)
    for entry in reader.names["results"].values():
        assert entry["pending"] in (True, False)
        assert isinstance(entry["status"], str)
    reader.waits_for(*task_ids)
    reader.types(statements(session))
    results = reader.names["results"]
    assert [results[task_id]["result"] for task_id in task_ids] == [0, 1, 2, 3, 4]
    for entry in results.values():
        assert entry.keys() == {"pending", "status", "result", "completion_t"}
        assert (entry["pending"], entry["status"]) == (False, "success")
        assert abs(float(entry["completion_t"]) - time.time()) < PATIENCE


def test_a_function_that_raises_is_reraised(reader: Reader) -> None:
    """ "If your function raises an exception, get_result() will reraise it." """

    def divide() -> float:
        return 1 / 0

    client = reader.names["gcc"]
    task_id = client.run(
        endpoint_id=environments.TUTORIAL_ENDPOINT, function_id=client.register_function(divide)
    )
    reader.names["task_id"] = task_id
    reader.waits_for(task_id)
    with pytest.raises(ZeroDivisionError):
        client.get_result(task_id)
    (retrieve,) = blocks("Retrieving Results")
    assert reader.types(retrieve) == "Exception: division by zero\n"


def test_a_pending_task_is_a_class_of_its_own(reader: Reader, tmp_path: Path) -> None:
    def wait(path: str) -> None:
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.01)

    client = reader.names["gcc"]
    task_id = client.run(str(tmp_path / "go"), function_id=client.register_function(wait))
    with pytest.raises(TaskPending, match="pending"):
        client.get_result(task_id)
    (tmp_path / "go").touch()
    reader.waits_for(task_id)
    assert client.get_result(task_id) is None


def test_sharing(reader: Reader) -> None:
    with_group, public = blocks("Sharing Functions")
    client = reader.names["gcc"]
    reader.names |= {"func": lambda: "shared", "group": str(uuid.uuid4())}
    with pytest.raises(SyntaxError):
        compile(with_group, "guide.md", "exec")
    reader.types("shared = " + with_group.replace("group=)", "group=group)"))
    document = client.get_function(reader.names["shared"])
    assert (document["description"], document["group"]) == ("My function", reader.names["group"])
    reader.names["func"] = lambda: "public"
    reader.types("public = " + public)
    document = client.get_function(reader.names["public"])
    assert (document["description"], document["public"]) == ("My function", True)
    with pytest.raises(NotFound):
        client.get_function(uuid.uuid4())


def test_client_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "They will take priority over any other credentials on the system." """
    (shell,) = blocks("Client Credentials with Clients", "bash")
    exported = dict(re.findall(r'export (\w+)="([^"]+)"', shell))
    assert exported["FUNCX_SDK_CLIENT_ID"] == CLIENT_ID
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    auth, service = ScriptedAuth(CLIENT_ID, exported["FUNCX_SDK_CLIENT_SECRET"]), ScriptedService()
    try:
        monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{auth.url}/")
        monkeypatch.setitem(environments.URLS, "production", service.url)
        tokens.store(tokens.user_namespace("production"), {"funcx_service": {"access_token": "a person's"}})
        service.on("GET /v2/endpoints", Reply(200, []))
        with Client() as client:
            client.get_endpoints()
        token = tokens.load(tokens.client_namespace("production", CLIENT_ID))["funcx_service"]["access_token"]
        assert service.seen[-1].headers["authorization"] == f"Bearer {token}"
        monkeypatch.delenv("FUNCX_SDK_CLIENT_SECRET")
        with pytest.raises(ValueError, match="Set both"):
            Client()
    finally:
        auth.close()
        service.close()


def test_a_custom_login_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "The LoginManager is responsible for serving tokens to the Client as needed." """
    (block,) = blocks("Using a Custom LoginManager")
    service = ScriptedService()
    monkeypatch.setitem(environments.URLS, "production", service.url)
    service.on("GET /v2/version", Reply(200, {"api": "1"}))
    service.on("GET /v2/endpoints", Reply(200, [{"uuid": "x"}]))
    reader = Reader()
    reader.names |= {"compute_token": "compute", "openid_token": "openid", "log": logging.getLogger("guide")}
    try:
        reader.types(block)
        with reader.names["fx"] as fx:
            assert fx.get_endpoints() == [{"uuid": "x"}]
        assert {seen.headers["authorization"] for seen in service.seen} == {"Bearer compute"}
        manager = reader.names["compute_login_manager"]
        assert isinstance(manager, LoginManagerProtocol)
        assert isinstance(manager.get_auth_client(), globus_sdk.AuthClient)
    finally:
        service.close()
    assert Client.FUNCX_SCOPE == "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all"
