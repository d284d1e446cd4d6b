"""The Client and its batches under the names of the SDK: strategies, allow lists, attributes."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import globus_sdk
import pytest

from compute_executor import Client
from compute_executor.errors import (
    DeserializationError,
    InvalidRequest,
    SubmitOutcomeUnknown,
    TaskExecutionFailed,
    VersionMismatch,
)
from compute_executor.protocol import frames
from compute_executor.sdk.ending import allowing
from compute_executor.sdk.outcome import Outcome
from compute_executor.serialization import exceptions, native, packing, strategies
from compute_executor.serialization.python_versions import VersionsDiffer
from compute_executor.serialize import (
    AllCodeStrategies,
    ComputeSerializer,
    DillCode,
    DillDataBase64,
    JSONData,
    PureSourceTextInspect,
)
from tests.sdk.conftest import Reply, ScriptedService, Seen

ENDPOINT = "00000000-0000-4000-8000-000000000001"
FUNCTION = "00000000-0000-4000-8000-000000000002"
TASK = "00000000-0000-4000-8000-000000000003"
SUBMIT = f"POST /v3/endpoints/{ENDPOINT}/submit"


def double(x: int) -> int:
    return 2 * x


def accept(seen: Seen) -> Reply:
    tasks = {name: [TASK] * len(payloads) for name, payloads in seen.document["tasks"].items()}
    return Reply(200, {"tasks": tasks})


@pytest.fixture
def stock(service: ScriptedService) -> ScriptedService:
    """A service of Globus Compute's kind."""
    service.on("GET /v2/version", Reply(200, {"min_sdk_version": "4.0.0", "min_ep_version": "2.0.0"}))
    service.on("POST /v3/functions", Reply(200, {"function_uuid": FUNCTION}))
    service.on(
        SUBMIT,
        lambda seen: Reply(
            200, {"tasks": {name: [TASK] * len(ones) for name, ones in seen.document["tasks"].items()}}
        ),
    )
    return service


@pytest.fixture
def by_json(stock: ScriptedService) -> Iterator[Client]:
    with Client(
        base_url=stock.url,
        code_serialization_strategy=PureSourceTextInspect(),
        data_serialization_strategy=JSONData(),
    ) as client:
        yield client


def test_functions_and_arguments_travel_by_the_strategies(by_json: Client, stock: ScriptedService) -> None:
    function_id = by_json.register_function(double)
    (code,) = packing.unpack(stock.requests("POST /v3/functions")[0].document["function_code"])
    assert code.startswith("st\ndouble:def double(x")
    by_json.run(1, function_id=function_id, endpoint_id=ENDPOINT, x=2)
    batch = by_json.create_batch()
    batch.add(function_id, (1,), {"x": 2})
    by_json.batch_run(ENDPOINT, batch)
    for seen in stock.requests(SUBMIT):
        (payload,) = seen.document["tasks"][FUNCTION]
        assert packing.unpack(payload) == ["11\n[1]", '11\n{"x": 2}']


def test_to_an_own_service_too(service: ScriptedService) -> None:
    service.on("GET /v2/version", Reply(200, {"compute_executor": "0.1.0"}))
    service.on(SUBMIT, Reply(200, body=b"\x90"))
    with Client(base_url=service.url, data_serialization_strategy=JSONData) as client:
        client.run(1, function_id=FUNCTION, endpoint_id=ENDPOINT)
    ((_, body),) = json.loads(json.dumps(_tasks(service)))
    assert strategies.loads_call(body) == ((1,), {})


def _tasks(service: ScriptedService) -> list[Any]:
    import msgspec

    frame = msgspec.msgpack.decode(service.requests(SUBMIT)[0].body, type=frames.Submit)
    return [(number, body.decode()) for number, body in msgspec.msgpack.decode(frame.tasks)]


def test_with_an_allow_list_nothing_else_is_read(stock: ScriptedService) -> None:
    pickled = Outcome(TASK, "success", frames.VALUE, native.dumps(1))
    failed = Outcome(TASK, "failed", frames.EXCEPTION, exceptions.encode(KeyError("k")))
    text = Outcome(TASK, "success", frames.VALUE, packing.result_from_text("11\n[1]"))
    careful = ComputeSerializer(allowed_deserializer_types=[DillCode, JSONData])
    with pytest.raises(DeserializationError, match="a pickle stream of"):
        pickled.value(allowing(careful))
    assert isinstance(pickled.document(allowing(careful))["exception"], DeserializationError)
    error = failed.exception(allowing(careful))
    assert (type(error), "KeyError" in str(error)) == (TaskExecutionFailed, False)
    assert text.value(allowing(careful)) == [1]
    assert text.document(allowing(careful))["result"] == [1]
    lax = ComputeSerializer(allowed_deserializer_types=[DillCode, DillDataBase64])
    assert pickled.value(allowing(lax)) == 1
    assert isinstance(failed.exception(allowing(lax)), KeyError)
    stock.on(f"GET /v2/tasks/{TASK}", Reply(200, {"status": "success", "result": strategies.dumps({1, 2})}))
    with Client(base_url=stock.url) as client:
        client.fx_serializer = careful
        with pytest.raises(DeserializationError):
            client.get_result(TASK)
        client.fx_serializer = ComputeSerializer()
        assert client.get_result(TASK) == {1, 2}


def test_the_serializer_is_an_attribute(by_json: Client, stock: ScriptedService) -> None:
    assert isinstance(by_json.fx_serializer.data_serializer, JSONData)
    by_json.fx_serializer = ComputeSerializer(AllCodeStrategies)
    by_json.register_function(double)
    assert packing.unpack(stock.requests("POST /v3/functions")[-1].document["function_code"])[0][:2] == "12"
    with pytest.raises(TypeError, match="Expected ComputeSerializer, got str"):
        by_json.fx_serializer = "JSON"  # type: ignore[assignment]


def test_an_unknown_keyword_is_warned_about(service: ScriptedService) -> None:
    with pytest.warns(UserWarning, match="The 'asynchronous' argument is unrecognized"):
        Client(base_url=service.url, asynchronous=True).close()


def test_attributes(stock: ScriptedService) -> None:
    authorizer = globus_sdk.AccessTokenAuthorizer("x")
    with Client(base_url=stock.url, authorizer=authorizer) as client:
        assert client.web_service_address == stock.url
        assert (client.app, client.authorizer) == (None, authorizer)
        with pytest.warns(DeprecationWarning, match="auth_client"), pytest.raises(InvalidRequest):
            _ = client.auth_client
        client.auth_client = "mine"
        with pytest.warns(DeprecationWarning, match="auth_client"):
            assert client.auth_client == "mine"


def test_a_version_check_when_it_is_asked_for(stock: ScriptedService) -> None:
    with Client(base_url=stock.url, do_version_check=False) as client:
        client.version_check()
        client.version_check("2.0.1")
        with pytest.raises(VersionMismatch, match=r"globus-compute-endpoint 2\.0\.0 and later, not 1\.9"):
            client.version_check("1.9")
        stock.on("GET /v2/version", Reply(200, {"min_sdk_version": "99"}))
        with pytest.raises(VersionMismatch):
            client.version_check()


def test_the_address_of_result_queues(stock: ScriptedService) -> None:
    document = {"connection_url": "amqps://broker", "queue_prefix": "p"}
    stock.on("GET /v2/get_amqp_result_connection_url", Reply(200, document))
    with Client(base_url=stock.url) as client:
        assert client.get_result_amqp_url() == document


def test_registrations_for_high_assurance_and_administrators(stock: ScriptedService) -> None:
    stock.on("POST /v3/endpoints", Reply(200, {"endpoint_id": ENDPOINT}))
    with Client(base_url=stock.url) as client:
        client.register_function(double, ha_endpoint_id=ENDPOINT)
        client.register_source_code("def f(): pass", "f", "about", {"a": 1}, False, None, ENDPOINT)
        client.register_endpoint("name", None, admins=[uuid.UUID(TASK)])
        with pytest.raises(ValueError, match="mutually exclusive"):
            client.register_function(double, public=True, ha_endpoint_id=ENDPOINT)
    first, second = (seen.document for seen in stock.requests("POST /v3/functions"))
    assert (first["ha_endpoint_id"], second["ha_endpoint_id"], second["description"]) == (
        ENDPOINT,
        ENDPOINT,
        "about",
    )
    assert stock.requests("POST /v3/endpoints")[0].document["admins"] == [TASK]


def test_what_the_service_warns_about_is_told(
    stock: ScriptedService, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where warnings are errors: what was answered has happened."""
    stock.on("POST /v3/functions", Reply(200, {"function_uuid": FUNCTION, "ha_warning": "of the function"}))
    answer = {"tasks": {FUNCTION: [TASK]}, "ha_warning": "of the batch"}
    stock.on(SUBMIT, Reply(200, answer))
    with Client(base_url=stock.url) as client:
        with pytest.warns(UserWarning, match="of the function"):
            assert client.register_function(double) == FUNCTION
        with pytest.warns(UserWarning, match="of the batch"):
            assert client.run(1, endpoint_id=ENDPOINT, function_id=FUNCTION) == TASK
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert client.register_function(double) == FUNCTION
    assert "of the function" in caplog.text


def test_workers_of_other_versions_are_told_once(stock: ScriptedService) -> None:
    details = {"endpoint_id": ENDPOINT, "python_version": "3.1.4", "dill_version": "0.0.1"}
    ended = {"status": "success", "result": "11\n3", "completion_t": "1", "details": details}
    stock.on(f"GET /v2/tasks/{TASK}", Reply(200, {**ended, "task_id": TASK}))
    stock.on(f"GET /v2/tasks/{FUNCTION}", Reply(200, {**ended, "task_id": FUNCTION}))
    with Client(base_url=stock.url) as client:
        with pytest.warns(VersionsDiffer, match=r"Python 3\.1\.4 there.*dill 0\.0\.1 there"):
            assert client.get_result(TASK) == 3
        assert client.get_result(FUNCTION) == 3


def test_a_batch_under_the_sdks_names(stock: ScriptedService) -> None:
    with Client(base_url=stock.url) as client:
        batch = client.create_batch(TASK, {"num_nodes": 1}, {"a": 1}, True, ["x.Y"])
        batch.add(FUNCTION, (1,))
        assert (batch.task_group_id, batch.resource_specification) == (uuid.UUID(TASK), {"num_nodes": 1})
        assert (batch.user_endpoint_config, batch.request_queue) == ({"a": 1}, True)
        assert batch.result_serializers == ["x.Y"]
        document = batch.prepare()
        batch.task_group_id = None
        batch.request_queue = False
        batch.user_endpoint_config = None
        client.batch_run(ENDPOINT, batch)
    sent = stock.requests(SUBMIT)[0].document
    assert document["tasks"] == sent["tasks"]
    assert (document["task_group_id"], document["create_queue"]) == (TASK, True)
    assert document["user_runtime"] == sent["user_runtime"]
    assert sent["create_queue"] is False
    assert {"task_group_id", "user_endpoint_config"}.isdisjoint(sent)


def test_options_that_own_workers_do_not_keep_are_refused(service: ScriptedService) -> None:
    """In a batch as in an Executor; and options that are none at once."""
    service.on("GET /v2/version", Reply(200, {"compute_executor": "0.1.0"}))
    service.on(f"GET /v2/endpoints/{ENDPOINT}", Reply(200, {"kind": "compute_executor"}))
    service.on(f"GET /v2/endpoints/{TASK}", Reply(200, {"kind": "globus_compute"}))
    service.on(f"POST /v3/endpoints/{TASK}/submit", Reply(200, body=b"\x90"))
    with Client(base_url=service.url, token="t") as client:
        for options in (
            {"user_endpoint_config": {"a": 1}},
            {"resource_specification": {"num_nodes": 2}},
            {"result_serializers": ["globus_compute_sdk.serialize.JSONData"]},
        ):
            (name,) = options
            batch = client.create_batch(**options)
            batch.add(FUNCTION)
            with pytest.raises(InvalidRequest, match=f"{name} is not kept by workers of this package"):
                client.batch_run(batch)
            with pytest.raises(InvalidRequest, match=f"{name} is not kept by an endpoint of this package"):
                client.batch_run(ENDPOINT, batch)
            client.batch_run(TASK, batch)  # a stock endpoint
            with pytest.raises(TypeError, match=f"{name} must be"):
                setattr(batch, name, 5)
    assert len(service.requests(f"GET /v2/endpoints/{ENDPOINT}")) == 1


def test_what_may_have_been_done_is_said_with_the_services_reason(stock: ScriptedService) -> None:
    stock.on("POST /v3/endpoints", Reply(503, {"reason": "there is no broker", "code": 1}))
    with (
        Client(base_url=stock.url) as client,
        pytest.raises(SubmitOutcomeUnknown, match=r"503: there is no broker.* It may or may not be done"),
    ):
        client.register_endpoint("mine", None)


def test_arguments_of_the_wrong_type_are_type_errors_as_well(stock: ScriptedService) -> None:
    with Client(base_url=stock.url) as client:
        batch = client.create_batch()
        for args, kwargs in (("text", None), (None, 5), (None, {1: 2})):
            with pytest.raises(TypeError):
                batch.add(FUNCTION, args, kwargs)
            with pytest.raises(InvalidRequest):
                batch.add(FUNCTION, args, kwargs)
