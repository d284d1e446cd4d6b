"""The Client against the embedded service: a process of its own, workers of its own, nothing played."""

from __future__ import annotations

import functools
import operator
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compute_executor import Client
from compute_executor.errors import (
    InvalidRequest,
    NotAuthorized,
    NotFound,
    SerializationError,
    TaskCancelled,
    TaskPending,
    WorkerLost,
)
from compute_executor.local import embedded
from compute_executor.local.embedded import ServiceAddress
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, split_task_id
from compute_executor.sdk.http.requests import ApiClient
from compute_executor.sdk.login_manager.environments import TUTORIAL_ENDPOINT
from compute_executor.serialization import native, packing, strategies
from tests.http_requests import post, shut_down

PATIENCE = 20.0


class Broken(Exception):
    """Raised by tasks."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


def add(a: int, b: int = 0) -> int:
    """Adds."""
    return a + b


def fail(code: int) -> None:
    raise Broken(code, "as told")


def length(data: bytes) -> int:
    return len(data)


def make(size: int) -> bytes:
    return b"x" * size


def double(x: int) -> int:
    return 2 * x


def wait_for(path: str) -> str:
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.01)
    return "seen"


def die() -> None:
    import os

    os._exit(7)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceAddress]:
    """One service for the tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPUTE_EXECUTOR_HOME", str(tmp_path_factory.mktemp("service")))
        patch.setenv("COMPUTE_EXECUTOR_IDLE", "30")
        address = embedded.find_or_start()
    yield address
    with Client(base_url=address.url, token=address.token) as client:
        shut_down(client)


@pytest.fixture
def client(running: ServiceAddress) -> Iterator[Client]:
    with Client(base_url=running.url, token=running.token) as client:
        yield client


def result_of(client: Client, task_id: str) -> Any:
    """The result, as soon as there is one."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return client.get_result(task_id)
        except TaskPending:
            assert time.monotonic() < deadline, f"{task_id} is still pending"
            threading.Event().wait(0.02)


def ended(client: Client, task_ids: list[str]) -> dict[str, dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE
    while True:
        found = client.get_batch_result(task_ids)
        if not any(entry["pending"] for entry in found.values()):
            return found
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_the_service_is_known_as_ours(client: Client, running: ServiceAddress) -> None:
    assert client.is_own_service()
    assert client.address() == running.url
    assert client.authorization() == f"Bearer {running.token}"
    assert running.token not in repr(client)


def test_a_function_runs_with_arguments(client: Client) -> None:
    function_id = client.register_function(add)
    task_id = client.run(40, b=2, endpoint_id=TUTORIAL_ENDPOINT, function_id=function_id)
    assert result_of(client, task_id) == 42
    assert result_of(client, client.run(1, function_id=uuid.UUID(function_id))) == 1


def test_a_function_is_known_by_its_content(client: Client) -> None:
    first = client.register_function(add)
    assert client.register_function(add) == first
    document = client.get_function(first)
    assert (document["function_name"], document["description"]) == ("add", "Adds.")
    assert client.register_function(lambda: None) != first


def test_a_function_is_deleted(client: Client) -> None:
    function_id = client.register_function(lambda: "to be deleted")
    client.delete_function(function_id)
    with pytest.raises(NotFound):
        client.run(function_id=function_id)
    with pytest.raises(NotFound):
        client.get_function(function_id)


def test_functions_are_listed_found_and_called_otherwise(client: Client) -> None:
    function_id = client.register_function(double, "heat_map", description="draws")
    assert client.register_function(double, "cold_map", description="paints") == function_id
    (found,) = client.search_functions("COLD_MAP")
    assert (found["function_uuid"], found["description"]) == (function_id, "paints")
    assert client.search_functions("heat_map") == []
    assert found in client.list_functions()
    client.delete_function(function_id)
    assert client.search_functions("cold_map") == []


def test_source_is_a_function_too(client: Client) -> None:
    function_id = client.register_source_code(
        "def one():\n    return 1\n\ndef two():\n    return one() + 1\n"
    )
    assert result_of(client, client.run(function_id=function_id)) == 2
    function_id = client.register_source_code("def one():\n    return 1\n\ndef two():\n    return 2\n", "one")
    assert result_of(client, client.run(function_id=function_id)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "f = lambda: 5",
        "import functools\nf = functools.partial(int, '5')",
        "try:\n    from nowhere import f\nexcept ImportError:\n    def f():\n        return 5\n",
        "class f(int):\n    def __new__(cls):\n        return 5\n",
        "  from posixpath import *\n  globals()['f'] = lambda: 5\n",
    ],
)
def test_source_may_bind_its_function_otherwise(client: Client, source: str) -> None:
    function_id = client.register_source_code(source, "f")
    assert result_of(client, client.run(function_id=function_id)) == 5


@pytest.mark.parametrize("source", ["x = 1", "def g(): f = 5", "nonlocal f", "f", "def f(:", ""])
def test_source_that_cannot_bind_its_function_is_refused(client: Client, source: str) -> None:
    with pytest.raises(InvalidRequest, match="source"):
        client.register_source_code(source, "f")


@pytest.mark.parametrize("source", ["x = 1", "def f(:", ""])
def test_source_without_a_function_is_refused(client: Client, source: str) -> None:
    with pytest.raises(InvalidRequest, match="source"):
        client.register_source_code(source)


def test_the_functions_own_exception_is_raised(client: Client) -> None:
    task_id = client.run(5, function_id=client.register_function(fail))
    with pytest.raises(Broken, match="5: as told") as caught:
        result_of(client, task_id)
    assert caught.value.code == 5
    assert 'raise Broken(code, "as told")' in str(caught.value.__cause__)
    assert client.get_task(task_id)["status"] == "failed"


def test_a_lost_worker_is_told(client: Client) -> None:
    with pytest.raises(WorkerLost) as caught:
        result_of(client, client.run(function_id=client.register_function(die)))
    assert caught.value.exit_code == 7


def test_pending_tasks_say_how_they_stand_and_can_be_withdrawn(client: Client, tmp_path: Path) -> None:
    """Every worker is kept busy by a task that waits for a file, so that the last one cannot begin."""
    function_id = client.register_function(wait_for)
    count = (os.cpu_count() or 1) + 2
    blockers = [client.run(str(tmp_path / "go"), function_id=function_id) for _ in range(count)]
    last = client.run(str(tmp_path / "go"), function_id=function_id)
    with pytest.raises(TaskPending) as caught:
        client.get_result(last)
    assert caught.value.status
    assert client.get_batch_result([last])[last] == {"pending": True, "status": caught.value.status}
    assert client.cancel_task(last) is True
    with pytest.raises(TaskCancelled):
        result_of(client, last)
    (tmp_path / "go").touch()
    assert {entry["result"] for entry in ended(client, blockers).values()} == {"seen"}
    assert client.cancel_task(blockers[0]) is False


def test_a_result_stays_in_the_session(
    client: Client, running: ServiceAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = client.run(1, function_id=client.register_function(add))
    result_of(client, task_id)
    with monkeypatch.context() as offline:
        offline.delattr(ApiClient, "call")  # no request can be made any more
        assert client.get_result(task_id) == 1
        assert client.get_batch_result([task_id])[task_id]["result"] == 1
    with Client(base_url=running.url, token=running.token) as another:
        assert another.get_result(task_id) == 1


def test_large_bodies_travel_beside_the_batch(client: Client) -> None:
    size = 20_000_000
    assert result_of(client, client.run(b"x" * size, function_id=client.register_function(length))) == size
    assert len(result_of(client, client.run(size, function_id=client.register_function(make)))) == size


def test_a_batch_in_both_forms(client: Client) -> None:
    add_id, fail_id = client.register_function(add), client.register_function(fail)
    batch = client.create_batch()
    for index in range(5):
        batch.add(index, b=1, endpoint_id=TUTORIAL_ENDPOINT, function_id=add_id)
    batch.add(9, endpoint_id=TUTORIAL_ENDPOINT, function_id=fail_id)
    task_ids = client.batch_run(batch)
    found = ended(client, task_ids)
    assert list(found) == task_ids
    assert [found[task_id]["result"] for task_id in task_ids[:5]] == [1, 2, 3, 4, 5]
    assert found[task_ids[0]].keys() == {"pending", "status", "result", "completion_t"}
    assert isinstance(found[task_ids[5]]["exception"], Broken)
    assert abs(float(found[task_ids[5]]["completion_t"]) - time.time()) < 60

    batch = client.create_batch(task_group_id=uuid.uuid4())
    batch.add(add_id, (1, 2))
    batch.add(add_id, kwargs={"a": 5})
    answer = client.batch_run(TUTORIAL_ENDPOINT, batch)
    assert answer["task_group_id"] == batch.options.task_group_id
    assert [entry["result"] for entry in ended(client, answer["tasks"][add_id]).values()] == [3, 5]


def test_the_good_ones_of_a_batch_run_beside_bad_ones(client: Client) -> None:
    add_id, nobody = client.register_function(add), str(uuid.uuid4())
    batch = client.create_batch()
    batch.add(1, endpoint_id=TUTORIAL_ENDPOINT, function_id=add_id)
    batch.add(2, endpoint_id=TUTORIAL_ENDPOINT, function_id=nobody)
    batch.add(3, endpoint_id=nobody, function_id=add_id)
    found = ended(client, client.batch_run(batch))
    entries = list(found.values())
    assert entries[0]["result"] == 1
    assert [type(entry["exception"]) for entry in entries[1:]] == [NotFound, NotFound]


def test_many_tasks(client: Client) -> None:
    function_id = client.register_function(add)
    batch = client.create_batch()
    for index in range(2000):
        batch.add(function_id, (index,))
    task_ids = client.batch_run(TUTORIAL_ENDPOINT, batch)["tasks"][function_id]
    assert [entry["result"] for entry in ended(client, task_ids).values()] == list(range(2000))


def test_endpoints_are_described(client: Client) -> None:
    (endpoint,) = client.get_endpoints()
    assert client.get_endpoint_metadata(endpoint["uuid"])["uuid"] == endpoint["uuid"]
    assert client.get_endpoint_status(TUTORIAL_ENDPOINT)["status"] == "online"


def test_the_worker_describes_its_machine(client: Client) -> None:
    report = result_of(client, client.get_worker_hardware_details(TUTORIAL_ENDPOINT))
    assert platform.node() in report
    assert platform.python_version() in report


MALFORMED = "no id"
UNKNOWN = "00000000-0000-4000-8000-000000000001"

BY_ID: dict[str, Callable[[Client, Any], Any]] = {
    "run, function": lambda client, one: client.run(function_id=one),
    "run, endpoint": lambda client, one: client.run(
        1, function_id=client.register_function(add), endpoint_id=one
    ),
    "get_task": lambda client, one: client.get_task(one),
    "get_result": lambda client, one: client.get_result(one),
    "get_function": lambda client, one: client.get_function(one),
    "delete_function": lambda client, one: client.delete_function(one),
    "get_endpoint_status": lambda client, one: client.get_endpoint_status(one),
    "get_endpoint_metadata": lambda client, one: client.get_endpoint_metadata(one),
    "stop_endpoint": lambda client, one: client.stop_endpoint(one),
    "delete_endpoint": lambda client, one: client.delete_endpoint(one),
    "get_allowed_functions": lambda client, one: client.get_allowed_functions(one),
    "get_container": lambda client, one: client.get_container(one),
    "get_container_build_status": lambda client, one: client.get_container_build_status(one),
    "get_container_build_log": lambda client, one: client.get_container_build_log(one),
    "register_function": lambda client, one: client.register_function(add, container_uuid=one),
}


@pytest.mark.parametrize("call", BY_ID.values(), ids=BY_ID)
def test_an_unknown_id_is_not_found(client: Client, call: Callable[[Client, Any], Any]) -> None:
    with pytest.raises(NotFound):
        call(client, UNKNOWN)


MORE_BY_ID: dict[str, Callable[[Client, Any], Any]] = {
    **BY_ID,
    "get_batch_result": lambda client, one: client.get_batch_result([UNKNOWN, one]),
    "cancel_task": lambda client, one: client.cancel_task(one),
    "batch_run": lambda client, one: client.batch_run(one, client.create_batch()),
    "create_batch": lambda client, one: client.create_batch(task_group_id=one),
    "register_endpoint": lambda client, one: client.register_endpoint("name", one),
}


@pytest.mark.parametrize("value", [MALFORMED, 5, f"{{{UNKNOWN}}}", f"urn:uuid:{UNKNOWN}"])
@pytest.mark.parametrize("call", MORE_BY_ID.values(), ids=MORE_BY_ID)
def test_a_malformed_id_is_named(client: Client, call: Callable[[Client, Any], Any], value: Any) -> None:
    with pytest.raises(InvalidRequest, match="id"):
        call(client, value)


def test_unknown_tasks_of_a_batch_result_hurt_nobody(client: Client) -> None:
    task_id = client.run(1, function_id=client.register_function(add))
    found = ended(client, [UNKNOWN, task_id])
    assert isinstance(found[UNKNOWN]["exception"], NotFound)
    assert found[task_id]["result"] == 1
    assert client.get_batch_result([]) == {}
    assert not client.cancel_task(UNKNOWN)


@pytest.mark.parametrize("value", [None, 5, UNKNOWN])
def test_what_is_no_list_of_tasks_is_named(client: Client, value: Any) -> None:
    with pytest.raises(InvalidRequest, match="a list of task ids"):
        client.get_batch_result(value)


def test_an_empty_batch_is_refused(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="holds no tasks"):
        client.batch_run(client.create_batch())
    nothing: Any = None
    with pytest.raises(InvalidRequest, match=r"batch_run\(endpoint_id, batch\)"):
        client.batch_run(TUTORIAL_ENDPOINT, nothing)


def test_what_is_no_group_is_named(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="'physics' is no group id"):
        client.register_function(add, group="physics")


@pytest.mark.parametrize("value", [5, "def f(): pass", None])
def test_what_is_no_function_is_refused(client: Client, value: Any) -> None:
    with pytest.raises(InvalidRequest, match="a function is registered"):
        client.register_function(value)


def test_a_function_without_source_or_name_runs(client: Client) -> None:
    space: dict[str, Any] = {}
    exec("def made(x):\n    return x + 1", space)
    for function in (space["made"], functools.partial(add, 1), operator.attrgetter("real")):
        assert result_of(client, client.run(1, function_id=client.register_function(function))) in (1, 2)


@pytest.mark.parametrize(
    "options", [{"function_name": "  "}, {"function_name": 5}, {"metadata": 5}, {"description": 5}]
)
def test_what_describes_no_function_is_refused(client: Client, options: Any) -> None:
    (name,) = options
    with pytest.raises(InvalidRequest, match=name):
        client.register_function(add, **options)


def test_what_cannot_travel_is_named(client: Client) -> None:
    generator = (i for i in range(3))
    with pytest.raises(SerializationError, match="argument 'b'"):
        client.run(1, b=generator, function_id=client.register_function(add))
    with pytest.raises(SerializationError):
        client.register_function(lambda: generator)


def test_a_wrong_token_is_not_authorized(running: ServiceAddress) -> None:
    with Client(base_url=running.url, token="wrong") as client, pytest.raises(NotAuthorized) as caught:
        client.get_endpoints()
    assert "wrong" not in str(caught.value)


def test_frames_by_http(client: Client) -> None:
    """What the Executor uses while its stream is down."""
    function_id = uuid.UUID(client.register_function(add)).bytes
    tasks = msgspec.Raw(msgspec.msgpack.encode([(0, native.dumps_call((index,), {})) for index in range(3)]))
    batch = frames.Submit(new_prefix(), uuid.uuid4().bytes, b"", None, [function_id], tasks, 3)
    api = client.own_api()
    api.submit(batch)
    api.submit(batch)
    asked = [(batch.prefix, [0, 1, 2])]
    deadline = time.monotonic() + PATIENCE
    while len(results := api.poll(asked)) < 3:
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    assert [native.loads(result.body) for result in results if isinstance(result.body, bytes)] == [0, 1, 2]
    assert api.cancel(asked) == []


def test_the_embedded_service_is_found_started_and_found_again(state_home: Path) -> None:
    """Killed between two calls, it is started again with all it had promised."""
    with Client() as client:
        function_id = client.register_function(add)
        task_id = client.run(1, function_id=function_id)
        assert result_of(client, task_id) == 1
        announced = next(state_home.rglob("service.json"))
        os.kill(msgspec.json.decode(announced.read_bytes())["pid"], signal.SIGKILL)
        assert result_of(client, client.run(2, function_id=function_id)) == 2
        assert client.get_function(function_id)["function_name"] == "add"
        client._results._forget(task_id)
        assert client.get_result(task_id) == 1
        shut_down(client)


def test_our_service_is_spoken_to_as_stock_sdks_do(client: Client) -> None:
    """The other wire, on the same service: text buffers in and out."""
    client._own = False
    function_id = client.register_function(add)
    assert (
        result_of(client, client.run(40, b=2, endpoint_id=TUTORIAL_ENDPOINT, function_id=function_id)) == 42
    )
    fail_id = client.register_function(fail)
    batch = client.create_batch()
    batch.add(5, endpoint_id=TUTORIAL_ENDPOINT, function_id=fail_id)
    batch.add(b"x" * 1_000_000, endpoint_id=TUTORIAL_ENDPOINT, function_id=client.register_function(length))
    failed, counted = ended(client, client.batch_run(batch)).values()
    assert isinstance(failed["exception"], Broken)
    assert counted["result"] == 1_000_000
    with pytest.raises(NotFound):
        client.run(endpoint_id=TUTORIAL_ENDPOINT, function_id=UNKNOWN)
    with pytest.raises(NotFound):
        client.get_task(UNKNOWN)


@pytest.mark.parametrize("method", ["11", "13"])
def test_arguments_of_other_buffer_methods_run_too(client: Client, method: str) -> None:
    function_id = client.register_function(add)
    packed = packing.pack([strategies.dumps([40], method), strategies.dumps({"b": 2}, method)])
    document = {"tasks": {function_id: [packed]}}
    answer = post(client, f"/v3/endpoints/{TUTORIAL_ENDPOINT}/submit", document)
    assert result_of(client, answer["tasks"][function_id][0]) == 42


@pytest.mark.parametrize("method", ["st", "sd", "03", "04", "10", "12"])
def test_functions_of_other_buffer_methods_run_too(client: Client, method: str) -> None:
    code = strategies.dumps_function(add, method)
    document = {"function_name": "add", "function_code": code, "serialized": True, "meta": {}}
    function_id = post(client, "/v3/functions", document)["function_uuid"]
    assert result_of(client, client.run(40, 2, function_id=function_id)) == 42


def test_prefixes_of_ids_are_those_that_were_sent(client: Client) -> None:
    prefix, position = split_task_id(client.run(1, function_id=client.register_function(add)))
    assert position == 0
    assert len(prefix) == 12
