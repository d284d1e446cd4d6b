"""Names of the Globus Compute SDK on an Executor: registrations, and how results are written."""

from __future__ import annotations

import pytest

from compute_executor import Executor
from compute_executor.errors import InvalidRequest, SerdeError
from compute_executor.serialize import AllDataStrategies, JSONData

ENDPOINT = "00000000-0000-4000-8000-000000000001"
PATH = "globus_compute_sdk.serialize.concretes."
PATIENCE = 30.0


def double(x: int) -> int:
    return 2 * x


def triple(x: int) -> int:
    return 3 * x


def test_the_sdks_positions() -> None:
    group = "00000000-0000-4000-8000-000000000002"
    executor = Executor(ENDPOINT, None, group, {"num_nodes": 1}, {"a": 1}, "mine", 7)
    assert (executor.endpoint_id, executor.task_group_id, executor.label) == (ENDPOINT, group, "mine")
    assert (executor.resource_specification, executor.user_endpoint_config) == ({"num_nodes": 1}, {"a": 1})
    executor.shutdown()


def test_how_endpoints_write_results_is_read_and_set() -> None:
    with Executor(ENDPOINT, result_serializers=[JSONData, AllDataStrategies()]) as executor:
        assert executor.result_serializers == [f"{PATH}JSONData", f"{PATH}AllDataStrategies"]
        executor.result_serializers = ["globus_compute_sdk.serialize.DillDataBase64"]
        assert executor.result_serializers == [f"{PATH}DillDataBase64"]
        with pytest.raises(SerdeError):
            executor.result_serializers = ["nothing"]
        assert executor.options(result_serializers=[JSONData]).result_serializers == [f"{PATH}JSONData"]
        executor.result_serializers = None
        assert executor.result_serializers is None


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
