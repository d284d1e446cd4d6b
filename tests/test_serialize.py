"""Serialization under the names of the SDK."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor import serialize
from compute_executor.errors import (
    ComputeError,
    DeserializationError,
    MaxResultSizeExceeded,
    SerdeError,
    SerializationError,
    from_document,
)
from compute_executor.serialize import (
    AllCodeStrategies,
    AllDataStrategies,
    AllowlistWildcard,
    ComputeSerializer,
    DillCode,
    DillDataBase64,
    JSONData,
    PickleCode,
    PureSourceTextInspect,
    SerializationStrategy,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
CODE = [kind for kind in serialize.SELECTABLE_STRATEGIES if kind.for_code and kind is not PickleCode]


def double(x: int) -> int:
    return 2 * x


class Trap:
    """Notes that it was unpickled."""

    sprung: list[str] = []  # noqa: RUF012

    def __reduce__(self) -> Any:
        return Trap.sprung.append, ("unpickled",)


@given(JSON, st.sampled_from([None, JSONData, DillDataBase64, AllDataStrategies]))
def test_data_comes_back(data: Any, strategy: Any) -> None:
    serde = ComputeSerializer(strategy_data=strategy)
    assert serde.deserialize(serde.serialize(data)) == data


@pytest.mark.parametrize("strategy", CODE)
def test_code_comes_back(strategy: type[SerializationStrategy]) -> None:
    serde = ComputeSerializer(strategy_code=strategy)
    text = serde.serialize(double)
    assert text.startswith(strategy.identifier)
    assert serde.deserialize(text)(4) == 8


def test_the_defaults_are_the_sdks() -> None:
    serde = ComputeSerializer()
    assert (type(serde.code_serializer), type(serde.data_serializer)) == (DillCode, DillDataBase64)
    assert serde.check_strategies(double, 3, y=4)[1:] == [(3,), {"y": 4}]


@pytest.mark.parametrize(
    "strategy",
    [JSONData, JSONData(), "globus_compute_sdk.serialize.JSONData", "compute_executor.serialize.JSONData"],
)
def test_a_strategy_may_be_said_in_four_ways(strategy: Any) -> None:
    found = serialize.validate_strategylike(strategy)
    assert found.type_ is JSONData
    assert found.import_path == "globus_compute_sdk.serialize.concretes.JSONData"


@pytest.mark.parametrize("strategy", [5, "nothing", "os.path", "globus_compute_sdk.serialize.None_", int, ""])
def test_what_is_no_strategy(strategy: Any) -> None:
    with pytest.raises(SerdeError):
        ComputeSerializer(strategy_data=strategy)


def test_a_strategy_of_the_wrong_kind() -> None:
    with pytest.raises(SerdeError, match="is a code serialization strategy, expected a data strategy"):
        ComputeSerializer(strategy_data=DillCode)
    with pytest.raises(SerdeError, match="expected a code strategy"):
        ComputeSerializer(strategy_code=JSONData)


def test_what_is_not_allowed_is_not_unpickled() -> None:
    careful = ComputeSerializer(allowed_deserializer_types=[PureSourceTextInspect, JSONData])
    Trap.sprung.clear()
    for strategy in (DillDataBase64, AllDataStrategies):
        text = ComputeSerializer(strategy_data=strategy).serialize([Trap()])
        with pytest.raises(DeserializationError, match=f"{strategy.__name__} disabled"):
            careful.deserialize(text)
    assert Trap.sprung == []
    assert careful.deserialize("11\n[1]") == [1]


@pytest.mark.parametrize(
    "allowed",
    [
        [JSONData],
        [DillCode],
        [AllowlistWildcard.CODE],
        [AllowlistWildcard.DATA, JSONData, DillCode],
        ["nothing"],
    ],
)
def test_an_allow_list_that_makes_no_sense(allowed: list[Any]) -> None:
    with pytest.raises(SerdeError):
        ComputeSerializer(allowed_deserializer_types=allowed)


def test_wildcards_allow_a_kind() -> None:
    serde = ComputeSerializer(allowed_deserializer_types=[AllowlistWildcard.DATA, DillCode])
    assert serde.deserialize(serde.serialize({1, 2})) == {1, 2}
    with pytest.raises(DeserializationError):
        serde.deserialize(ComputeSerializer(AllCodeStrategies).serialize(double))


@pytest.mark.parametrize("text", ["", "zz\n1", "11\n{", "00\nnonsense", "13\n", "13\n3\n11\n", "11"])
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(ComputeError):
        ComputeSerializer().deserialize(text)


def test_what_cannot_be_written() -> None:
    with pytest.raises(SerializationError, match="JSONData failed"):
        ComputeSerializer(strategy_data=JSONData).serialize({1})
    with pytest.raises(SerializationError, match="failed to serialize"):
        ComputeSerializer(strategy_data=JSONData).check_strategies(double, {1})
    with pytest.raises(SerializationError, match="All strategies failed"):
        ComputeSerializer.serialize_from_list({1}, [JSONData])
    assert json.loads(ComputeSerializer.serialize_from_list([1], [JSONData])[3:]) == [1]


def test_three_buffers_and_no_others() -> None:
    serde = ComputeSerializer()
    with pytest.raises(AssertionError, match="expects 3 buffers, got 1"):
        serde.unpack_and_deserialize(serde.pack_buffers([serde.serialize(1)]))


def test_a_strategy_of_ones_own_needs_an_identifier_of_its_own() -> None:
    for identifier in ("11\n", "toolong\n", "abc"):
        with pytest.raises(ValueError, match="identifier"):
            type("Own", (SerializationStrategy,), {"identifier": identifier, "for_code": False})


def test_errors_are_found_where_the_sdk_has_them() -> None:
    assert issubclass(SerializationError, SerdeError)
    assert issubclass(DeserializationError, SerdeError)
    error = MaxResultSizeExceeded(12, 10)
    assert str(error) == "Task result of 12B exceeded current limit of 10B"
    assert (error.result_size, error.result_size_limit) == (12, 10)
    for again in (pickle.loads(pickle.dumps(error)), from_document(error.document())):
        assert (type(again), str(again)) == (MaxResultSizeExceeded, str(error))


def test_an_error_names_the_wildcard_in_every_python() -> None:
    with pytest.raises(SerdeError, match=r"Cannot mix 'globus_compute_sdk\.\*Data' with"):
        ComputeSerializer(allowed_deserializer_types=[AllowlistWildcard.DATA, JSONData])
