"""Fingerprints: whatever ThreadPoolExecutor would notice, a snapshot notices."""

from __future__ import annotations

import builtins
import gc
import math
import weakref
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import pytest

from compute_executor.functions import fingerprint
from compute_executor.functions.fingerprint import Snapshot, importable, snapshot


def define(source: str, **names: Any) -> dict[str, Any]:
    """The namespace of a script: its functions travel by value."""
    space: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, space)
    return space


def taken(function: Any) -> Snapshot:
    found = snapshot(function)
    assert found is not None
    return found


@pytest.mark.parametrize("obj", [math.sqrt, len, int, importable, Snapshot, Snapshot.unchanged])
def test_what_can_be_imported(obj: Any) -> None:
    assert importable(obj)


def test_what_cannot_be_imported() -> None:
    script = define("def f(): pass\nclass C:\n def g(self): pass\n")
    renamed = FunctionType(importable.__code__, globals(), "importable")
    renamed.__module__ = "compute_executor.functions.fingerprint"

    for obj in (lambda: 1, script["f"], script["C"], script["C"]().g, [].append, 7, "text", renamed):  # type: ignore[var-annotated]
        assert not importable(obj)
    renamed.__module__ = None  # type: ignore[assignment]
    assert not importable(renamed)


def test_a_lambda_without_surroundings_does_not_change() -> None:
    function = lambda x: x + 1  # noqa: E731

    assert taken(function).unchanged(function)


CHANGES: dict[str, tuple[str, str]] = {
    "a global": ("K = 1\ndef f(): return K", "K = 2"),
    "a global that appears": ("def f(): return K", "K = 2"),
    "a builtin that is shadowed": ("def f(): return len('')", "len = 2"),
    "a helper's code": ("def g(): return 1\ndef f(): return g()", "def g(): return 2"),
    "a helper's global": ("K = 1\ndef g(): return K\ndef f(): return g()", "K = 2"),
    "a global of code within": ("K = 1\ndef f(): return [(lambda: K)() for _ in '1']", "K = 2"),
    "its own code": ("def f(): return 1", "f.__code__ = (lambda: 2).__code__"),
    "its defaults": ("def f(x=1): return x", "f.__defaults__ = (2,)"),
    "its keyword defaults": ("def f(*, x=1): return x", "f.__kwdefaults__ = {'x': 2}"),
    "a keyword default in place": ("def f(*, x=1): return x", "f.__kwdefaults__['x'] = 2"),
    "an attribute": ("def f(): return f.x\nf.x = 1", "f.x = 2"),
    "an attribute that appears": ("def f(): return f.x", "f.x = 2"),
    "a closure": (
        "def make():\n x = 1\n def set(v):\n  nonlocal x; x = v\n return (lambda: x), set\nf, set = make()",
        "set(2)",
    ),
    "a closure that is filled": (
        "def make():\n def set(v):\n  nonlocal x; x = v\n f = lambda: x\n if 0: x = 1\n return f, set\n"
        "f, set = make()",
        "set(2)",
    ),
    "a method of a class": (
        "class C:\n def g(self): return 1\ndef f(): return C().g()",
        "C.g = lambda self: 2",
    ),
    "a new attribute of a class": ("class C: pass\ndef f(): return C", "C.x = 1"),
    "a base class": ("class B:\n x = 1\nclass C(B): pass\ndef f(): return C.x", "B.x = 2"),
    "a global of a static method": (
        "K = 1\nclass C:\n @staticmethod\n def g(): return K\ndef f(): return C.g()",
        "K = 2",
    ),
    "a global of a property": (
        "K = 1\nclass C:\n @property\n def g(self): return K\ndef f(): return C().g",
        "K = 2",
    ),
    "an element's replacement": (
        "T = (1, (2, frozenset({3})))\ndef f(): return T",
        "T = (1, (2, frozenset({4})))",
    ),
    "a module": ("import math as m\ndef f(): return m.pi", "import cmath as m"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_noticed(name: str) -> None:
    before, change = CHANGES[name]
    space = define(before)
    function = space["f"]
    found = taken(function)

    assert found.unchanged(function)
    exec(change, space)
    assert not found.unchanged(function)


def test_a_class_with_everything_that_class_statements_make() -> None:
    space = define(
        "import dataclasses, abc\n"
        "@dataclasses.dataclass(frozen=True)\nclass D:\n x: int = 1\n"
        "class S:\n 'doc'\n __slots__ = ('a',)\n"
        "class A(abc.ABC):\n @abc.abstractmethod\n def g(self): ...\n"
        "def f(): return A, S\n"
        "def d(): return D\n"
    )

    assert taken(space["f"]).unchanged(space["f"])
    assert snapshot(space["d"]) is None  # dataclasses keep mutable parameters in their methods' globals


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, object(), bytearray(b"x"), ([],)])
def test_what_may_change_in_place_has_no_snapshot(value: Any) -> None:
    space = define("def f(): return V", V=value)

    assert snapshot(space["f"]) is None


def test_nor_has_a_function_whose_helper_refers_to_such() -> None:
    helper = define("L = []\ndef g(): return L")["g"]

    assert snapshot(define("def f(): return V", V=helper)["f"]) is None


def test_a_module_that_nobody_can_import_has_no_snapshot() -> None:
    space = define("def f(): return M", M=ModuleType("made_up"))

    assert snapshot(space["f"]) is None


def test_recursion_and_mutual_recursion() -> None:
    space = define("def f(n): return g(n)\ndef g(n): return f(n - 1) if n else 0")
    found = taken(space["f"])

    assert found.unchanged(space["f"])
    space["g"].__code__ = (lambda n: n).__code__
    assert not found.unchanged(space["f"])


def test_a_class_that_refers_to_itself() -> None:
    space = define("class C:\n def g(self): return C\ndef f(): return C")

    assert taken(space["f"]).unchanged(space["f"])


def test_too_entangled_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "MAX_VISITS", 3)
    space = define("A = B = C = D = 1\ndef g(): return 1\ndef f(): return A, B, C, D, g")

    assert snapshot(space["f"]) is None


def test_a_snapshot_lets_its_function_go() -> None:
    def make() -> Callable[[], Any]:
        def recursive() -> Any:
            return recursive

        return recursive

    function = make()
    found = taken(function)
    gone = weakref.ref(function)
    del function
    gc.collect()

    assert found is not None
    assert gone() is None


def test_built_in_names_that_come_and_change(monkeypatch: pytest.MonkeyPatch) -> None:
    function = define("def f(): return odd_name, len")["f"]
    before = taken(function)
    assert before.unchanged(function)
    monkeypatch.setattr(builtins, "odd_name", 1, raising=False)
    assert not before.unchanged(function)
    then = taken(function)
    monkeypatch.setattr(builtins, "len", lambda _: 0)
    changed = then.unchanged(function)
    monkeypatch.undo()
    assert not changed
