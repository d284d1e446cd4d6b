"""The wrapper for workers without this package: they get it by value, and answer only with what JSON can hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from compute_executor.functions.codecs import Codec, globus_codec, in_json_of_stock
from compute_executor.serialization import packing
from compute_executor.serialization.large import whole

WORKER = """
import base64, json, sys, dill
class Never:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("compute_executor", "cloudpickle"): raise ImportError(name)
sys.meta_path.insert(0, Never())
for line in sys.stdin:
    function, *buffers = json.loads(line)
    def load(buffer):
        method, _, text = buffer.partition("\\n")
        if method == "11": return json.loads(text)
        if method != "st": return dill.loads(base64.b64decode(text))
        name, _, source = text.partition(":")
        space = {}
        exec(source, space)
        return space[name]
    try:
        args, kwargs = map(load, buffers)
        answer = ["ok", load(function)(*args, **kwargs)]
    except Exception as error:
        answer = ["failed", f"{type(error).__name__}: {error}"]
    print(json.dumps(answer), flush=True)
"""
"""What a stock worker does, with the modules that it has."""


def doubled(x: Any) -> Any:
    """Doubles it."""
    return x * 2


def there(codec: Codec, *calls: tuple[Callable[..., Any], tuple[Any, ...]], each: bool = False) -> list[Any]:
    """What a stock worker answers."""
    import json

    lines = []
    for function, args in calls:
        route = codec.registry.each_of(function) if each else codec.registry.route(function)
        assert isinstance(route.function.code, bytes)
        text = packing.task_to_text(route.function.code, whole(codec.call(route, args, {})))
        lines.append(json.dumps(packing.unpack(text)))
    done = subprocess.run(
        [sys.executable, "-I", "-c", WORKER],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def scaled(factor: int) -> Callable[[int], int]:
    return lambda x: x * factor


def test_a_worker_without_this_package_answers() -> None:
    found = there(
        in_json_of_stock(),
        (lambda x: x * 2, ([1],)),
        (scaled(2), (3,)),
        (scaled(5), (3,)),  # the same code with other content: the generic caller's argument
        (lambda: (1, 2), ()),
        (lambda: {1: 2}, ()),
        (max, ([3, 4],)),
    )
    assert found[:3] == [["ok", [1, 1]], ["ok", 6], ["ok", 15]]
    assert found[3] == ["failed", "TypeError: the result is a tuple: JSON has no tuples, use a list"]
    assert found[4][1].startswith("TypeError: the result has the key 1")
    assert found[5] == ["ok", 4]


def test_it_takes_many_calls() -> None:
    ((state, (values, error)),) = there(
        in_json_of_stock(), (lambda x: 1 // x, ([(1,), (0,), (1,)],)), each=True
    )
    assert (state, values) == ("ok", [1])
    assert error[0] == "ZeroDivisionError"
    assert "Traceback" in error[2]


def test_it_travels_as_source() -> None:
    assert there(in_json_of_stock(by_source=True), (doubled, ([1],))) == [["ok", [1, 1]]]


def test_the_generic_caller_needs_no_package_of_ours() -> None:
    assert there(globus_codec(), (scaled(2), (3,)), (scaled(5), (3,)))[1] == ["ok", 15]


def test_results_are_asked_for_in_json() -> None:
    from compute_executor.batch import Target
    from compute_executor.protocol.frames import Options

    target = Target(b"e" * 16, None, Options())
    asked = in_json_of_stock().target(target)
    assert asked.options.result_serializers == ["globus_compute_sdk.serialize.JSONData"]
    assert globus_codec().target(target) is target
