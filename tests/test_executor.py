"""Executor by itself: what its arguments may be, and which attributes can be set."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from compute_executor import Client
from compute_executor.devices import Hardware
from compute_executor.errors import ComputeError, InvalidRequest, ResourcesNotOffered
from compute_executor.executor import Executor
from compute_executor.protocol.endpoint_kind import EndpointKind
from compute_executor.protocol.frames import WorkerDevices
from compute_executor.serialize import ComputeSerializer
from tests.conftest import MakeExecutor
from tests.fake_service import FakeService
from tests.numbers_like_numpy import RealNumber, WholeNumber

ENDPOINT = "00000000-0000-4000-8000-000000000001"
ID = uuid.UUID(ENDPOINT)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"max_workers": 2.0}, TypeError, "max_workers must be an integer"),
        ({"max_workers": "2"}, TypeError, "max_workers must be an integer"),
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"endpoint_id": 5}, TypeError, r"endpoint_id must be the id .* not 5; .* Executor\(max_workers=5\)"),
        ({"client": "prefix"}, TypeError, "client must be a compute_executor.Client, not 'prefix'"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be between 1 and"),
        ({"flush_interval": "1"}, TypeError, "flush_interval must be a number"),
        ({"flush_interval": -1}, ValueError, "flush_interval must not be negative"),
        ({"flush_interval": float("inf")}, ValueError, "flush_interval must be finite"),
        ({"label": 5}, TypeError, "label must be text"),
        ({"initializer": 5}, TypeError, "initializer must be a callable"),
        ({"initargs": 5}, TypeError, "not iterable"),
        ({"task_group_id": 5}, InvalidRequest, "task group"),
        ({"user_endpoint_config": {}, "resource_specification": {"a": 1}}, TypeError, "endpoint_id"),
        ({"endpoint_id": ENDPOINT, "resource_specification": [1]}, TypeError, "resource_specification"),
        ({"endpoint_id": ENDPOINT, "max_workers": 1}, TypeError, "set up there"),
        ({"endpoint_id": ENDPOINT, "gpus": "all"}, TypeError, "set up there"),
        ({"endpoint_id": ENDPOINT, "threads_per_worker": 1}, TypeError, "set up there"),
        ({"gpus": 2}, TypeError, "gpus must be"),
        ({"gpus": []}, ValueError, "gpus is empty"),
        ({"threads_per_worker": True}, TypeError, "threads_per_worker must be an integer"),
        ({"threads_per_worker": 0}, ValueError, "threads_per_worker must be between 1 and"),
    ],
)
def test_wrong_arguments(given: dict[str, Any], error: type[Exception], text: str) -> None:
    given = {"initializer": print, **given} if "initargs" in given else given
    with pytest.raises(error, match=text):
        Executor(**given)


def test_numbers_of_numpy(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(batch_size=WholeNumber(5), flush_interval=RealNumber(0.5), max_workers=WholeNumber(2))
    options: dict[str, Any] = {"retries": WholeNumber(1), "timeout": RealNumber(5)}
    view = executor.options(**options)
    assert view.submit(abs, -1).result(10) == 1
    pace: dict[str, Any] = {"chunksize": WholeNumber(2), "buffersize": WholeNumber(2)}
    assert list(view.map(abs, [-1, -2], **pace)) == [1, 2]
    assert [spec.max_workers for spec in fake.pools.values()] == [2]
    assert (fake.submits[0].options.retries, fake.submits[0].options.walltime) == (1, 5.0)


def test_a_number_in_the_first_position_is_that_of_the_workers(make: MakeExecutor, fake: FakeService) -> None:
    assert make(WholeNumber(3)).submit(abs, -1).result(10) == 1
    assert [spec.max_workers for spec in fake.pools.values()] == [3]
    with pytest.raises(TypeError, match="max_workers must be an integer"):
        make(2.0)
    with pytest.raises(TypeError, match="max_workers is given twice"):
        make(4, max_workers=3)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"chunksize": 2.0}, TypeError),
        ({"chunksize": "2"}, TypeError),
        ({"buffersize": 2.0}, TypeError),
        ({"timeout": "1"}, TypeError),
        ({"timeout": float("nan")}, ValueError),
    ],
)
def test_wrong_arguments_of_map(
    executor: Executor, fake: FakeService, given: dict[str, Any], error: Any
) -> None:
    with pytest.raises(error, match=next(iter(given))):
        executor.map(abs, [1], **given)
    assert fake.submits == []


def test_options_that_its_own_workers_do_not_keep_are_refused_at_once(executor: Executor) -> None:
    with pytest.raises(InvalidRequest, match="resource_specification is not kept by workers of this package"):
        executor.options(resource_specification={"num_nodes": 1})
    with pytest.raises(InvalidRequest, match="user_endpoint_config is not kept by workers of this package"):
        executor.user_endpoint_config = {"a": 1}
    executor.options(endpoint_id=ENDPOINT, resource_specification={"num_nodes": 1})


def test_devices_and_threads_of_workers(
    make: MakeExecutor, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute_executor.devices.look", lambda: Hardware(nvidia=("0", "1", "2", "3")))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    executor = make(gpus="all", threads_per_worker=2)
    assert executor.options(gpus=1, cores=4).submit(abs, -1).result(10) == 1
    (spec,) = fake.pools.values()
    assert (spec.max_workers, spec.threads, spec.environ["OMP_NUM_THREADS"]) == (2, 2, "2")
    assert spec.devices == [
        WorkerDevices(["2"], {"CUDA_VISIBLE_DEVICES": "2"}),
        WorkerDevices(["3"], {"CUDA_VISIBLE_DEVICES": "3"}),
    ]
    with pytest.raises(
        ResourcesNotOffered, match=r"the workers of this Executor for cores=5, and 2 workers of 2"
    ):
        executor.options(cores=5)
    with pytest.raises(ResourcesNotOffered, match="gpus=2, and 1 device for each worker are there"):
        executor.options(gpus=2)


def test_there_are_as_many_workers_as_have_their_threads(
    make: MakeExecutor, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute_executor.pool_spec.usable_cpus", lambda: 7)
    for threads in (2, 16):
        make(threads_per_worker=threads).submit(abs, -1).result(10)
    assert sorted(spec.max_workers for spec in fake.pools.values()) == [1, 3]


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [({"gpus": [0]}, {}, "gpus were asked for"), ({}, {"memory": "1GB"}, "memory=1000000000")],
)
def test_a_service_that_would_leave_resources_out_in_silence_is_not_used(
    make: MakeExecutor, fake: FakeService, given: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    del fake.limits["resources"]
    future = make(max_workers=1, **given).options(**options).submit(abs, -1)
    with pytest.raises(ComputeError, match=f"{told}.*the service is of an older version"):
        future.result(10)
    assert fake.submits == []


def test_attributes_that_count_for_later_calls() -> None:
    executor = Executor(ENDPOINT, resource_specification={"num_nodes": 1})
    view = executor.options()
    assert (executor.endpoint_id, executor.resource_specification) == (ID, {"num_nodes": 1})
    other = uuid.UUID(int=ID.int + 1)

    executor.endpoint_id = other
    two = WholeNumber(2)
    executor.resource_specification = {"num_nodes": two}
    executor.user_endpoint_config = {"account": "a"}
    assert (executor.endpoint_id, executor.resource_specification) == (other, {"num_nodes": two})
    assert executor.user_endpoint_config == {"account": "a"}
    executor.resource_specification = None
    assert executor.resource_specification is None
    assert (view.endpoint_id, view.resource_specification) == (ID, {"num_nodes": 1})
    with pytest.raises(InvalidRequest):
        executor.endpoint_id = "no id"
    with pytest.raises(TypeError):
        executor.resource_specification = [1]  # type: ignore[assignment]
    assert executor.endpoint_id == other
    executor.shutdown()


def test_after_its_target_has_changed_a_view_still_owns_its_earlier_calls(
    executor: Executor, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "kind", lambda _: EndpointKind.OURS, raising=False)
    fake.hold = True
    view = executor.options(retries=1)
    before = view.submit(abs, 1)
    view.endpoint_id = ENDPOINT
    after = view.submit(abs, 2)
    fake.wait_for(lambda: fake.held == 2)
    view.shutdown(cancel_futures=True)
    assert [before.cancelled(), after.cancelled()] == [True, True]
    assert [batch.endpoint.hex()[-1:] for batch in fake.submits] == ["", "1"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("container_id", r"options\(container"),
    ],
)
def test_attributes_that_cannot_be_set_say_what_to_do(executor: Executor, name: str, advice: str) -> None:
    with pytest.raises(AttributeError, match=f"{name} of an Executor cannot be set: .*{advice}"):
        setattr(executor, name, "x")


def test_the_group_can_be_set_at_any_time(make: MakeExecutor, fake: FakeService) -> None:
    """Each call belongs to the group that there is when it is submitted; all results come."""
    executor = make()
    executor.task_group_id = ENDPOINT
    view = executor.options(retries=1)
    assert (view.task_group_id, executor.task_group_id) == (ID, ID)
    groups = [ID, uuid.UUID(int=7), ID]
    for group in groups:
        executor.task_group_id = group
        assert executor.task_group_id == group
        assert executor.submit(abs, -1).result(10) == 1
    assert view.task_group_id == ID
    executor.task_group_id = None
    assert executor.task_group_id not in groups
    assert list(executor.map(abs, [-2])) == [2]
    assert [batch.group for batch in fake.submits[:3]] == [one.bytes for one in groups]
    assert fake.submits[3].group == executor.task_group_id.bytes
    with pytest.raises(ValueError, match="task group"):
        executor.task_group_id = "x"


def test_the_pace_and_the_port_can_be_set_at_any_time(make: MakeExecutor) -> None:
    executor = make()
    executor.submit(abs, 1).result(10)
    executor.amqp_port = 5671
    executor.api_burst_limit = 3
    executor.api_burst_window_s = 2
    view = executor.options(retries=1)
    assert (view.amqp_port, view.api_burst_limit, view.api_burst_window_s) == (5671, 3, 2)
    for name in ("amqp_port", "api_burst_limit", "batch_size"):
        with pytest.raises(ValueError, match=name):
            setattr(executor, name, 0)


def test_client_and_label_can_be_set_until_the_first_call(executor: Executor, fake: FakeService) -> None:
    other = Executor(label="first")
    other.label = "second"
    assert (other.label, "second" in repr(other)) == ("second", True)
    with Client(base_url="http://127.0.0.1:9") as client:
        other.client = client
        assert other.client is client
    with pytest.raises(TypeError, match="client must be"):
        other.client = 5  # type: ignore[assignment]
    executor.label = "mine"
    executor.submit(abs, 1).result(10)
    assert [spec.label for spec in fake.pools.values()] == ["mine"]
    for name, value in (("client", client), ("label", "other")):
        with pytest.raises(AttributeError, match=f"{name} of an Executor that has been used cannot be set"):
            setattr(executor, name, value)


def test_options_count_as_they_are_when_a_call_is_submitted(
    make: MakeExecutor, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs change the dict that they have passed, or that they read."""
    monkeypatch.setattr(fake, "kind", lambda _: EndpointKind.STOCK)
    config: dict[str, Any] = {}
    nodes = {"num_nodes": 1}
    executor = make()
    executor.endpoint_id = ID
    executor.user_endpoint_config = config
    executor.resource_specification = nodes
    assert executor.user_endpoint_config is config
    config["a"] = 2
    executor.submit(abs, 1)
    view = executor.options(user_endpoint_config={"b": 1})
    nodes["num_nodes"] = 3
    found = executor.user_endpoint_config
    assert found is config
    found["a"] = 4
    list(executor.map(len, []))
    executor.submit(abs, 2)
    executor.submit_to_registered_function(ENDPOINT, (3,))
    view.submit(abs, 4)
    fake.wait_for(lambda: sum(batch.count for batch in fake.submits) == 4)
    sent = [
        (batch.options.user_endpoint_config, batch.options.resource_specification) for batch in fake.submits
    ]
    assert sent[0] == ({"a": 2}, {"num_nodes": 1})
    assert ({"a": 4}, {"num_nodes": 3}) in sent[1:]
    assert ({"b": 1}, {"num_nodes": 3}) in sent[1:]
    assert {"a": 1} not in [one for one, _ in sent]


def test_how_many_leave_together_can_be_set_at_any_time(make: MakeExecutor, fake: FakeService) -> None:
    executor = make(flush_interval=60)
    executor.submit(abs, 1)
    executor.batch_size = 3
    assert executor.batch_size == 3
    futures = [executor.submit(abs, number) for number in range(3)]
    fake.wait_for(lambda: sum(batch.count for batch in fake.submits) == 4)
    assert len(futures) == 3
    assert max(batch.count for batch in fake.submits) <= 3


def test_attributes_that_can_be_read(make: MakeExecutor) -> None:
    executor = make(label="mine", task_group_id=ENDPOINT)
    assert (executor.label, executor.task_group_id, executor.endpoint_id) == ("mine", ID, None)
    assert isinstance(executor.serializer, ComputeSerializer)
