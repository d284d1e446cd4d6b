"""Names of the Globus Compute SDK on an Executor: registrations, and how results are written."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import pytest

from compute_executor import Client, Executor
from compute_executor.errors import DeserializationError, InvalidRequest, SerdeError, SerializationError
from compute_executor.sdk.backends import Backend
from compute_executor.sdk.http.direct import DirectTransport, embedded_address
from compute_executor.serialize import (
    AllDataStrategies,
    AllowlistWildcard,
    ComputeSerializer,
    JSONData,
    PureSourceTextInspect,
)

ENDPOINT = "00000000-0000-4000-8000-000000000001"
PATH = "globus_compute_sdk.serialize.concretes."
PATIENCE = 30.0


def double(x: int) -> int:
    return 2 * x


def triple(x: int) -> int:
    return 3 * x


def kind_of(x: object) -> str:
    return type(x).__name__


def test_the_sdks_positions() -> None:
    group = "00000000-0000-4000-8000-000000000002"
    executor = Executor(ENDPOINT, None, group, {"num_nodes": 1}, {"a": 1}, "mine", 7)
    assert (executor.endpoint_id, executor.task_group_id) == (uuid.UUID(ENDPOINT), uuid.UUID(group))
    assert executor.label == "mine"
    assert (executor.resource_specification, executor.user_endpoint_config) == ({"num_nodes": 1}, {"a": 1})
    executor.shutdown()


def test_how_endpoints_write_results_is_read_and_set() -> None:
    with Executor(ENDPOINT, result_serializers=[JSONData, AllDataStrategies()]) as executor:
        assert executor.result_serializers == [f"{PATH}JSONData", f"{PATH}AllDataStrategies"]
        executor.result_serializers = ["globus_compute_sdk.serialize.DillDataBase64"]
        assert executor.result_serializers == ["globus_compute_sdk.serialize.DillDataBase64"]
        with pytest.raises(SerdeError):
            executor.result_serializers = ["nothing"]
        assert executor.options(result_serializers=[JSONData]).result_serializers == [f"{PATH}JSONData"]
        executor.result_serializers = None
        assert executor.result_serializers is None


def test_all_positions_of_the_sdk() -> None:
    serializer = ComputeSerializer(strategy_data=JSONData())
    with Executor(
        ENDPOINT, None, None, None, None, "mine", 7, 443, 2, 30, serializer, [JSONData]
    ) as executor:
        assert (executor.batch_size, executor.amqp_port) == (7, 443)
        assert isinstance(executor.client, Client)
        assert (executor.api_burst_limit, executor.api_burst_window_s) == (2, 30)
        assert (executor.serializer, executor.result_serializers) == (serializer, [f"{PATH}JSONData"])
        assert executor.task_count_submitted == 0


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"amqp_port": 0}, ValueError),
        ({"amqp_port": "443"}, TypeError),
        ({"api_burst_limit": 0}, ValueError),
        ({"api_burst_limit": 1.5}, TypeError),
        ({"api_burst_window_s": 0}, ValueError),
        ({"serializer": JSONData()}, ValueError),
    ],
)
def test_wrong_values_of_them(options: dict[str, Any], kind: type[Exception]) -> None:
    (name,) = options
    with pytest.raises(kind, match=name):
        Executor(ENDPOINT, **options)


@pytest.mark.slow
def test_calls_travel_by_the_strategies_of_a_serializer() -> None:
    by_source = ComputeSerializer(strategy_code=PureSourceTextInspect(), strategy_data=JSONData())
    with Executor(max_workers=1) as executor:
        executor.serializer = by_source
        assert executor.submit(kind_of, (1, 2)).result(PATIENCE) == "list"  # JSON has no tuples
        assert list(executor.map(kind_of, [(1,), 2], chunksize=2)) == ["list", "int"]
        assert executor.submit(partial(kind_of), 2).result(PATIENCE) == "int"
        with pytest.raises(SerializationError, match="JSONData failed"):
            executor.submit(kind_of, {1}).result(PATIENCE)
        assert executor.options(retries=1).submit(kind_of, (1,)).result(PATIENCE) == "list"
        executor.serializer = None
        assert executor.submit(kind_of, (1, 2)).result(PATIENCE) == "tuple"
        assert executor.task_count_submitted == 5


@pytest.mark.slow
def test_calls_travel_by_the_strategies_of_a_given_client() -> None:
    """Also if they are chosen between two calls."""
    with Client(data_serialization_strategy=JSONData()) as client, Executor(client=client) as executor:
        assert executor.serializer is client.fx_serializer
        assert executor.submit(kind_of, (1, 2)).result(PATIENCE) == "list"
        client.fx_serializer = ComputeSerializer()
        assert executor.submit(kind_of, (1, 2)).result(PATIENCE) == "tuple"
        assert executor.serializer is client.fx_serializer


@pytest.mark.slow
def test_an_executor_has_a_client() -> None:
    with Executor(max_workers=1) as executor:
        future = executor.submit(double, 2)
        assert future.result(PATIENCE) == 4
        assert future.task_id is not None
        assert executor.client.get_result(future.task_id) == 4
        executor.client.close()


def test_after_shutdown_nothing_is_registered() -> None:
    executor = Executor()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.register_function(double)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.register_source_code("def f(): pass", "f")


def test_an_endpoint_that_is_set_later_says_which_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is given when the Executor is made: with a login, it is Globus Compute's."""
    executor = Executor()
    assert not executor._session.settings.peer.hosted
    monkeypatch.setattr("compute_executor.sdk.backends.credentials.from_environment", lambda: None)
    monkeypatch.setattr("compute_executor.sdk.backends._logged_in", lambda: True)
    monkeypatch.setattr(
        "compute_executor.sdk.backends._hosted",
        lambda *_: Backend(DirectTransport(embedded_address), own=False),
    )
    executor.endpoint_id = ENDPOINT
    assert executor._session.settings.peer.hosted
    assert executor.endpoint_id == uuid.UUID(ENDPOINT)
    executor.shutdown()


def test_how_results_are_read_is_said_when_an_executor_is_made() -> None:
    careful = ComputeSerializer(allowed_deserializer_types=[JSONData, AllowlistWildcard.CODE])
    with Executor() as executor:
        for serializer in (careful, "json"):
            with pytest.raises(InvalidRequest, match="when the Executor is made"):
                executor.serializer = serializer  # type: ignore[assignment]
    with Executor(serializer="json") as executor, pytest.raises(InvalidRequest):
        executor.serializer = None


@pytest.mark.slow
def test_an_allow_list_holds_for_results() -> None:
    careful = ComputeSerializer(
        strategy_data=JSONData(), allowed_deserializer_types=[JSONData, AllowlistWildcard.CODE]
    )
    with (
        Executor(max_workers=1, serializer=careful) as executor,
        pytest.raises(DeserializationError, match="forbids to read"),
    ):
        executor.submit(kind_of, 1).result(PATIENCE)


def test_own_workers_write_results_in_their_own_way() -> None:
    with pytest.raises(TypeError, match="result_serializers are for endpoints"):
        Executor(result_serializers=[JSONData])
    with Executor() as executor, pytest.raises(InvalidRequest):
        executor.result_serializers = [JSONData]


@pytest.mark.slow
def test_a_function_is_known_by_the_id_that_was_given() -> None:
    with Executor(max_workers=1) as executor:
        assert executor.submit(double, 2).result(PATIENCE) == 4
        other = executor.register_function(triple)
        assert executor.register_function(double, other) == other
        assert executor.submit(double, 2).result(PATIENCE) == 6
        assert list(executor.map(double, [1, 2])) == [3, 6]
        with pytest.raises(InvalidRequest):
            executor.register_function(double, "no id")


@pytest.mark.slow
def test_source_and_hardware() -> None:
    with Executor(max_workers=1) as executor:
        function_id = executor.register_source_code(
            "def f(x):\n    return x + 1", "f", description="one more"
        )
        assert executor.submit_to_registered_function(function_id, (1,)).result(PATIENCE) == 2
        assert "CPUs" in executor.get_worker_hardware_details()
