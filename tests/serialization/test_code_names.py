"""Which globals a function may need."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from compute_executor.serialization import code_names
from tests.serialization.conftest import Script


def define(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(source, space)
    return space


def test_names_that_code_and_the_code_within_it_look_up() -> None:
    space = define("def f():\n global W\n W = x.attribute\n return lambda: [y for _ in z]")
    assert set(code_names.looked_up(space["f"].__code__)) == {"W", "x", "y", "z"}


def test_class_bodies_look_up_their_own_names_first() -> None:
    space = define("LIMIT = 1\ndef f():\n class C:\n  own = LIMIT\n  again = own\n return C")
    assert "LIMIT" not in code_names.looked_up(space["f"].__code__)
    assert code_names.perhaps(space["f"].__code__, space) == ["LIMIT"]


@pytest.mark.parametrize(
    "body",
    ["globals()['a']", "eval('a')", "exec('a')", "sys.modules[__name__].a", "__import__('__main__').a"],
)
def test_code_that_looks_into_the_namespace_may_find_anything(body: str) -> None:
    space = define(f"import sys\na = 1\ndef f(): return {body}")
    assert {"a", "f", "sys"} <= set(code_names.perhaps(space["f"].__code__, space))
    assert code_names.may_find_any(space["f"].__code__)


@pytest.mark.parametrize(
    "source", ["import pickle", "from pickle import loads as pickle", "import joblib as pickle"]
)
def test_code_that_reads_pickles_may_find_functions_and_classes(source: str) -> None:
    if "joblib" in source:
        pytest.importorskip("joblib")
    space = define(f"{source}\na = 1\nclass C: pass\ndef g(): pass\ndef f(): return pickle")
    found = code_names.perhaps(space["f"].__code__, space)
    assert set(found) == {"C", "g", "f"} | ({"pickle"} & set(found))
    assert not code_names.may_find_any(space["f"].__code__)


@pytest.mark.parametrize("body", ["__import__('os.path').sep", "importlib.import_module('os.path').sep"])
def test_code_that_imports_by_a_call_finds_the_modules_that_it_names(body: str) -> None:
    space = define(f"import importlib\na = 1\ndef f(x): return {body}")
    assert not code_names.may_find_any(space["f"].__code__)
    assert code_names.imported(space["f"].__code__) == ["os", "os.path"]
    unnamed = define("def f(x): return __import__(x)\ndef g():\n make = __import__\n return make")
    assert code_names.may_find_any(unnamed["f"].__code__)
    assert code_names.may_find_any(unnamed["g"].__code__)


def test_names_of_what_is_compared_by_is() -> None:
    space = define("def f(x): return x is A, B is not x, x == C, [y for y in x if y is D], x is None")
    assert code_names.compared(space["f"].__code__) == {"A", "B", "D"}


@pytest.mark.parametrize("body", ["x.loads(a)", "x.eval()", "x.modules()", "[x.exec for x in a]"])
def test_other_code_finds_what_it_names(body: str) -> None:
    space = define(f"a = 1\ndef f(x): return {body}")
    assert code_names.perhaps(space["f"].__code__, space) == []
    assert not code_names.may_find_any(space["f"].__code__)


def test_what_it_only_may_need_is_done_without(script: Script) -> None:
    script.run(
        "import pickle\ngenerator = (n for n in 'ab')\nclass P:\n def __init__(self, x): self.x = x\n"
        "def helper(): return next(generator)\ndef read(data): return pickle.loads(data).x\n"
        "def named(name): return eval(name)\n"
    )
    assert script.call("read", pickle.dumps(script.names["P"](3))) == 3
    assert script.call("named", "P(4).x") == 4
    error = script.call("named", "helper()")
    assert "generator" in str(error)
