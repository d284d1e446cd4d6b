"""Functions and calls for stock workers: read by any Python there, and refused with the name of what cannot go."""

from __future__ import annotations

import pickletools
import sys
from typing import Any

import cloudpickle
import pytest

from compute_executor.errors import SerializationError
from compute_executor.serialization import carrier, content, native, packing, stock, strategies
from compute_executor.serialization.large import whole


def double(x: int) -> int:
    return x * 2


def factorial(n: int) -> int:
    return n * factorial(n - 1) if n > 1 else 1


def picky(x: int) -> int:
    if x < 0:
        raise ValueError(x)
    return x


@pytest.mark.parametrize("args", [(1, "a", None, b"b", 2.5, True), ([1], {"a": {1}}), ()])
@pytest.mark.parametrize("kwargs", [{}, {"a": 1}, {"b": [double]}])
def test_calls_come_back(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    found_args, found_kwargs = native.loads_call(whole(stock.dump_call(args, kwargs)))
    assert found_args == args
    assert set(found_kwargs) == set(kwargs)


def test_streams_are_of_a_protocol_that_every_endpoint_reads() -> None:
    content = whole(stock.dump_call((1,), {}))
    first = content[4 : 4 + int.from_bytes(content[:4], "big")]
    protocols = [argument for opcode, argument, _ in pickletools.genops(first) if opcode.name == "PROTO"]
    assert protocols == [stock.PROTOCOL]


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [((1, (n for n in ())), {}, "argument 1"), ((), {"key": (n for n in ())}, "key")],  # type: ignore[var-annotated]
)
def test_the_argument_that_cannot_go_is_named(
    args: tuple[Any, ...], kwargs: dict[str, Any], named: str
) -> None:
    with pytest.raises(SerializationError, match=named):
        stock.dump_call(args, kwargs)


def test_a_function_that_cannot_go_is_named() -> None:
    numbers = (number for number in ())  # type: ignore[var-annotated]

    def counting() -> object:
        return numbers

    with pytest.raises(SerializationError, match=r"the function .*counting"):
        stock.dumps(counting)


def test_each_of_gives_values_and_the_error_after_them() -> None:
    many = native.loads(stock.dumps(stock.EachOf(picky)))
    assert many([(1,), (2,)]) == ([1, 2], None)
    values, error = many([(1,), (-1,), (2,)])
    assert values == [1]
    assert _carried(error) == (ValueError, (-1,))


def _carried(text: bytes) -> tuple[type[Exception], tuple[Any, ...]]:
    error = carrier.unload(text.decode())
    assert error is not None
    return type(error), error.args


def test_the_generic_caller_calls() -> None:
    assert native.loads(stock.dumps(stock.call))(double, 4) == 8


@pytest.mark.parametrize("function", [len, lambda: 1, [].append, double.__call__])  # type: ignore[operator]
def test_what_is_more_than_its_source_is_refused(function: Any) -> None:
    with pytest.raises(SerializationError):
        stock.dumps_as_source(function)


def _from_source(function: Any) -> Any:
    (text,) = packing.unpack(packing.function_to_text(stock.dumps_as_source(function)))
    assert "compute_executor." not in text
    return strategies.loads(text)


def test_a_function_travels_as_source_with_what_carries_it() -> None:
    there = _from_source(picky)
    assert there(4) == 4
    with pytest.raises(Exception, match=r"^ValueError: -4\n") as caught:
        there(-4)
    assert _carried(str(caught.value).encode()) == (ValueError, (-4,))


def test_the_generic_caller_travels_as_source_too() -> None:
    assert _from_source(stock.call)(double, 4) == 8


def test_each_of_travels_as_source_too_and_the_function_may_call_itself() -> None:
    values, error = _from_source(stock.EachOf(factorial))([(3,), (4,), ("a",), (1,)])
    assert values == [6, 24]
    assert _carried(error)[0] is TypeError


def _without_cloudpickle(function: Any) -> Any:
    stream = stock.dumps_for_all(function)
    assert b"cloudpickle.cloudpickle" not in stream
    return native.loads(stream)


def test_a_registered_function_needs_no_cloudpickle_there() -> None:
    def inner(x: int) -> int:
        return double(x) + 1

    assert _without_cloudpickle(len) is len
    assert _without_cloudpickle(inner)(3) == 7
    assert _without_cloudpickle(lambda: 7)() == 7


def test_a_module_that_travels_by_value_does_so() -> None:
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        stream = stock.dumps_for_all(double)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    assert content.has_names(stream)
    assert native.loads(stream)(3) == 6


def test_a_class_of_ones_own_comes_back_as_itself() -> None:
    class Point:
        pass

    make = native.loads(stock.dumps_for_all(lambda: Point()))
    assert type(make()) is Point


def test_what_only_cloudpickle_serialises_is_for_our_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> bytes:
        raise TypeError("dill cannot")

    monkeypatch.setattr(stock, "_stream", refuse)
    assert native.loads(stock.dumps_for_all(lambda: 7))() == 7
