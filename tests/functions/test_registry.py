"""The registry as a value: what is registered, what travels as an argument."""

from __future__ import annotations

import functools
import gc
import hashlib
import math
import operator
import sys
import threading
from typing import Any

import cloudpickle
import pytest

from compute_executor.errors import SerializationError
from compute_executor.functions import remote
from compute_executor.functions.registry import MAX_CALLERS, FunctionRef, Registry
from compute_executor.serialization import large, native


class Counting:
    """``native.dumps`` that remembers what it was asked to do."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, obj: Any) -> bytes:
        self.calls.append(obj)
        return native.dumps(obj)


@pytest.fixture
def dumps() -> Counting:
    return Counting()


@pytest.fixture
def registry(dumps: Counting) -> Registry:
    return Registry(dumps)


def define(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(source, space)
    return space


def run(route: FunctionRef, *args: Any) -> Any:
    """As a worker does."""
    assert isinstance(route.function.code, bytes)
    sent, _ = native.loads_call(native.dumps_call(route.arguments(args), {}))
    return native.loads(route.function.code)(*sent)


@pytest.mark.parametrize(("function", "args"), [(math.sqrt, (4,)), (int, ("7",)), (operator.add, (1, 2))])
def test_what_can_be_imported_is_registered_by_name(registry: Registry, function: Any, args: Any) -> None:
    route = registry.route(function)

    assert run(route, *args) == function(*args)
    assert isinstance(route.function.code, bytes)
    assert len(route.function.code) < 100
    assert route.function.digest == hashlib.sha256(route.function.code).digest()
    assert route.function.name == function.__qualname__


def test_it_is_serialised_once(registry: Registry, dumps: Counting) -> None:
    assert registry.route(math.sqrt) is registry.route(math.sqrt)
    assert len(dumps.calls) == 1


def test_a_lambda_is_serialised_once_while_nothing_changes(registry: Registry, dumps: Counting) -> None:
    def function(x: int) -> int:
        return x + 1

    assert run(registry.route(function), 1) == 2
    assert registry.route(function) is registry.route(function)
    assert len(dumps.calls) == 1


def test_a_changed_global_is_noticed_and_travels_as_an_argument(registry: Registry) -> None:
    space = define("K = 1\ndef f(): return K")
    first = registry.route(space["f"])
    assert run(first) == 1
    assert not first.is_generic

    space["K"] = 2
    second = registry.route(space["f"])
    assert run(second) == 2
    assert second.is_generic

    space["K"] = 1
    assert registry.route(space["f"]).function.digest == first.function.digest


def test_what_may_change_in_place_is_serialised_each_time(registry: Registry, dumps: Counting) -> None:
    space = define("L = [1]\ndef f(): return L")
    first = registry.route(space["f"])
    again = registry.route(space["f"])

    assert first.function.digest == again.function.digest
    assert len(dumps.calls) == 2
    space["L"].append(2)
    assert run(registry.route(space["f"])) == [1, 2]


def test_closures_of_one_code_fill_nothing(registry: Registry) -> None:
    functions = [lambda x, n=n: x + n for n in range(5)]
    routes = [registry.route(function) for function in functions]

    assert [run(route, 10) for route in routes] == [10, 11, 12, 13, 14]
    assert len({route.function.digest for route in routes}) == 2
    assert [route.is_generic for route in routes] == [False, True, True, True, True]


def test_a_generic_caller_has_the_name_of_what_it_calls(registry: Registry) -> None:
    adder = Adder(1)
    functions = [adder.add, adder, functools.partial(functools.partial(define, "1"), 2), Adder(2).add]
    routes = [registry.route(function) for function in functions]
    assert [route.function.name for route in routes] == ["Adder.add", "Adder", "define", "Adder.add"]
    assert routes[0].function.digest == routes[3].function.digest
    assert len({route.function.digest for route in routes}) == 3


def test_callers_with_names_are_bounded(registry: Registry) -> None:
    for number in range(2 * MAX_CALLERS):
        adder = type(f"Adder{number}", (Adder,), {})(1)
        assert run(registry.route(adder), 2) == 3
        name = registry.route(adder).function.name
        assert name == (f"Adder{number}" if number < MAX_CALLERS else "call")


class Adder:
    def __init__(self, n: int) -> None:
        self.n = n

    def add(self, x: int) -> int:
        return self.n + x

    __call__ = add


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(operator.add, 3),
        Adder(3).add,
        Adder(3),
        operator.methodcaller("__add__", 3),
        (3).__add__,
    ],
)
def test_what_is_no_plain_function_travels_as_an_argument(registry: Registry, function: Any) -> None:
    route = registry.route(function)

    assert route.is_generic
    assert run(route, 4) == 7
    assert registry.route(functools.partial(function, 1)).function is route.function


def test_what_cannot_be_called_fails_where_it_is_called(registry: Registry) -> None:
    with pytest.raises(TypeError, match="not callable"):
        run(registry.route(7))


def test_what_cannot_be_serialised(registry: Registry) -> None:
    lock = threading.Lock()

    with pytest.raises(SerializationError):
        registry.route(lambda: lock)


def test_many_calls_at_once(registry: Registry) -> None:
    route = registry.each_of(operator.add)

    assert run(route, [(1, 2), (3, 4)]) == ([3, 7], None)
    assert registry.each_of(operator.add).function.digest == route.function.digest


def test_many_calls_of_varying_closures_fill_nothing(registry: Registry) -> None:
    routes = [registry.each_of(lambda x, n=n: x + n) for n in range(3)]

    assert [run(route, [(1,)]) for route in routes] == [([1], None), ([2], None), ([3], None)]
    assert [route.is_generic for route in routes] == [False, True, True]


def test_many_calls_of_an_object(registry: Registry) -> None:
    route = registry.each_of(Adder(3))

    assert route.is_generic
    assert run(route, [(1,), (2,)]) == ([4, 5], None)


def test_functions_can_be_collected() -> None:
    registry = Registry(native.dumps)
    registry.route(lambda: 1)
    gc.collect()

    assert len(registry._entries) == 0


def test_the_table_is_bounded(dumps: Counting) -> None:
    registry = Registry(dumps, limit=3)
    functions = [math.sin, math.cos, math.tan, math.exp]
    for function in functions:
        registry.route(function)

    assert len(registry._entries) == 1
    assert run(registry.route(math.sin), 0) == 0


def test_an_id_that_is_used_again_is_another_function(registry: Registry) -> None:
    registry.route(math.sin)
    registry._entries[id(math.cos)] = registry._entries[id(math.sin)]

    assert run(registry.route(math.cos), 0) == 1


def test_what_cannot_be_referred_to_weakly_is_found_anew(
    registry: Registry, dumps: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise TypeError

    monkeypatch.setattr("compute_executor.functions.registry.weakref.ref", refuse)
    registry.route(math.sin)
    registry.route(math.sin)

    assert len(dumps.calls) == 2


def test_many_threads_come_to_one_content(registry: Registry) -> None:
    def function(x: int) -> int:
        return x * 2

    start = threading.Barrier(8)
    routes: list[FunctionRef] = []

    def ask() -> None:
        start.wait()
        routes.append(registry.route(function))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({route.function.digest for route in routes}) == 1
    assert not any(route.is_generic for route in routes)


def test_a_stream_is_what_a_changed_function_travels_as(registry: Registry) -> None:
    routes = [registry.route(lambda n=n: n) for n in range(2)]

    assert isinstance(routes[1].subject, remote.Stream)


def test_a_pinned_function_is_called_by_its_id_whatever_its_content_becomes(registry: Registry) -> None:
    space = define("n = 1\ndef f():\n    return n")
    registry.route(space["f"])
    registry.pin(space["f"], b"i" * 16)
    space["n"] = 2

    route = registry.route(space["f"])

    assert route.function.digest == b"i" * 16
    assert (route.function.name, route.function.code, route.is_generic) == ("f", None, False)


def test_a_route_says_whether_the_function_is_an_argument(registry: Registry) -> None:
    routes = [registry.route(lambda n=n: n) for n in range(2)]

    assert [route.is_generic for route in routes] == [False, True]


def test_functions_that_can_be_imported_are_made_for_many_calls_too(registry: Registry) -> None:
    assert not registry.each_of(math.sqrt).is_generic


def test_what_is_registered_to_travel_by_value_counts_from_then_on(registry: Registry) -> None:
    before = registry.route(remote.call)
    cloudpickle.register_pickle_by_value(remote)
    try:
        after = registry.route(remote.call)
    finally:
        cloudpickle.unregister_pickle_by_value(remote)

    assert after.function.digest != before.function.digest
    assert registry.route(remote.call).function.digest == before.function.digest


class Large:
    """An argument of its own kind, of many bytes."""

    def __init__(self, count: int) -> None:
        self.content = b"x" * count


def test_what_is_large_in_a_function_is_serialised_once_for_many_calls(registry: Registry) -> None:
    registry.route(functools.partial(len, b""))
    function = functools.partial(isinstance, Large(1024 * 1024))

    route = registry.for_many(function)

    assert isinstance(route.subject, remote.Stream)
    assert run(route, Large) is True


def test_a_small_function_is_as_for_one_call(registry: Registry) -> None:
    for function in (math.sqrt, functools.partial(len, b"")):
        assert registry.for_many(function) == registry.route(function)


def test_a_function_that_refers_to_parts_travels_with_its_calls(registry: Registry) -> None:
    def dump(function: Any) -> large.Content:
        pieces = large.Pieces([native.dumps(function)])
        pieces.parts = (large.Part("0" * 32, 5_000_000),)
        return pieces

    route = Registry(dump).route(lambda: None)

    assert route.is_generic
    assert [part.size for part in route.parts] == [5_000_000]


def test_folders_that_come_to_the_search_path_travel_with_each_function(
    dumps: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["/old"])
    registry, elsewhere = Registry(dumps, follows_path=True), Registry(dumps)
    before = registry.route(math.sqrt)
    assert not before.is_generic
    sys.path[:] = ["/first", "/old", "/last"]
    for route in (registry.route(math.sqrt), registry.each_of(math.sqrt), registry.route(lambda: 1)):
        assert route.subject.path == (("/first",), ("/last",))
    assert not elsewhere.route(math.sqrt).is_generic
    sys.path[:] = ["/old"]
    assert not registry.route(math.sqrt).is_generic
