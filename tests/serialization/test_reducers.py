"""What neither pickle nor cloudpickle carries, or carries wrongly: there and back, kind by kind."""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import Any

import pytest

from compute_executor.errors import SerializationError
from compute_executor.serialization import native, reducers, struct_classes
from tests.serialization.conftest import Script


def test_a_function_with_a_cache_has_one_of_its_own(script: Script) -> None:
    script.run(
        "import functools\n@functools.lru_cache(maxsize=3, typed=True)\ndef square(x):\n 'Text.'\n"
        " return x * x\n"
        "square.mark = 1\nsquare(9)\n"
        "class C:\n @functools.lru_cache\n def m(self, x): return x + 1\n"
        "def helper(x):\n"
        " return square(x), square(x), square.cache_info(), square.cache_parameters(), square.mark\n"
        "def method(x): return C().m(x), square.__doc__, square.__wrapped__(x)\n"
    )
    assert script.call("square", 3) == 9
    assert script.call("helper", 4) == (16, 16, (1, 2, 3, 2), {"maxsize": 3, "typed": True}, 1)
    assert script.call("method", 4) == (5, "Text.", 16)


def test_a_cached_property_is_computed_once_for_each_object(script: Script) -> None:
    script.run(
        "import functools\nclass Own(functools.cached_property): pass\n"
        "class C:\n calls = 0\n @functools.cached_property\n def n(self):\n  'Text.'\n  self.calls += 1\n"
        "  return self.calls\n"
        " @Own\n def own(self): return 'own'\n"
        "def use(): one = C(); return one.n, one.n, C().n, one.own, C.n.__doc__, vars(one)\n"
    )
    assert script.call("use") == (1, 1, 1, "own", "Text.", {"calls": 1, "n": 1, "own": "own"})


def test_a_generic_function_dispatches_as_it_did(script: Script) -> None:
    script.run(
        "import functools, numbers\n@functools.singledispatch\ndef show(x): return 'any'\n"
        "@show.register\ndef _(x: int): return 'int'\n@show.register(list)\n"
        "def many(x): return [show(one) for one in x]\n"
        "class Mine: pass\nshow.register(Mine, lambda x: 'mine')\nshow.mark = 2\n"
        "class C:\n @functools.singledispatchmethod\n def m(self, x): return 'any'\n @m.register\n"
        " def _(self, x: str): return 'text'\n"
        "def use(x): return show(x), show(Mine()), show.mark, show.dispatch(bool)(1), C().m('a'), C().m(1)\n"
    )
    assert script.call("use", [1, "a"]) == (["int", "any"], "mine", 2, "int", "text", "any")
    assert script.call("show", 1) == "int"
    assert script.call("many", [None]) == ["any"]
    script.run(
        "def parts(dispatch, register): register(bytes, len); return dispatch(int)(1), dispatch(bytes)(b'')\n"
    )
    show = script.names["show"]
    assert script.call("parts", show.dispatch, show.register) == ("int", "any")
    assert script.worker.call(script.names["C"]().m, "a") == "text"


def test_a_key_made_of_a_comparison_compares(script: Script) -> None:
    script.run(
        "import functools\nkey = functools.cmp_to_key(lambda a, b: b - a)\n"
        "def use(): return sorted([1, 3, 2], key=key)\n"
    )
    assert script.call("use") == [3, 2, 1]
    with pytest.raises(SerializationError, match="holds a value"):
        native.dumps(functools.cmp_to_key(lambda a, b: 0)(3))


def test_context_managers_of_generators_that_have_not_begun(script: Script) -> None:
    script.run(
        "import asyncio, contextlib\n@contextlib.contextmanager\ndef inside(x):\n yield [x]\n"
        "@contextlib.asynccontextmanager\nasync def later(x):\n yield [x]\n"
        "@inside(1)\ndef decorated(): return 2\nmanager = inside(3)\n"
        "def use():\n with manager as found: return found, decorated(), decorated()\n"
        "waiting = later(4)\nasync def main():\n async with waiting as found: return found\n"
        "def run(): return asyncio.run(main())\n"
    )
    assert script.call("use") == ([3], 2, 2)
    assert script.call("run") == [4]

    @contextlib.contextmanager
    def entered() -> Any:
        yield

    manager = entered()
    with manager, pytest.raises(SerializationError, match="entered"):
        native.dumps(manager)


def test_structures_and_views_of_memory(script: Script) -> None:
    script.run(
        "import struct\nheader = struct.Struct('<HI')\n"
        "def use(view): view[0] = 7; return header.pack(1, 2), header.size, view.tolist(), view.format, "
        "view.shape\n"
        "def fixed(view): return view.readonly, bytes(view), type(view).__name__\n"
    )
    view = memoryview(bytearray(8)).cast("i")
    assert script.call("use", view) == (b"\1\0\2\0\0\0", 6, [7, 0], "i", (2,))
    square = memoryview(bytearray(4)).cast("B", (2, 2))
    assert native.loads(native.dumps(square)).shape == (2, 2)
    assert script.call("fixed", memoryview(b"ab")) == (True, b"ab", "memoryview")
    assert view.tolist() == [0, 0]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python remembers overloads since 3.11")
def test_overloads_are_known(script: Script) -> None:
    script.run(
        "import typing\n@typing.overload\ndef f(x: int) -> int: ...\n@typing.overload\n"
        "def f(x: str) -> str: ...\ndef f(x): return x\n"
        "class C:\n @typing.overload\n def m(self, x: int) -> int: ...\n def m(self, x): return x\n"
        "def use(): return [one.__annotations__['x'] for one in typing.get_overloads(f)], "
        "len(typing.get_overloads(C.m))\n"
    )
    assert script.call("use") == (["int", "str"], 1)
    assert script.call("use") == (["int", "str"], 1)


def test_a_context_variable_has_its_default_and_its_value(script: Script) -> None:
    script.run(
        "import contextvars\nuser = contextvars.ContextVar('user', default='nobody')\n"
        "bare = contextvars.ContextVar('bare')\n"
        "user.set('the caller')\n"
        "def use(given):\n found = user.get(), bare.get('none'), given is user, user.name\n"
        " user.set('a task')\n return found\n"
    )
    assert script.call("use", script.names["user"]) == ("the caller", "none", True, "user")
    assert script.call("use", None) == ("a task", "none", False, "user")
    assert script.names["user"].get() == "the caller"


def test_types_of_typing(script: Script) -> None:
    script.run(
        "import typing\nId = typing.NewType('Id', int)\nT = typing.TypeVar('T', bound='Id')\n"
        "C = typing.TypeVar('C', str, bytes, covariant=False)\n"
        "P = typing.ParamSpec('P')\nclass Box(typing.Generic[T]):\n def put(self, x: T) -> Id: return Id(x)\n"
        "def names(): return Id.__name__, Id.__module__, Id.__supertype__, T.__name__, "
        "C.__constraints__, P.__name__, P.args.__origin__ is P\n"
        "def same(given): return given is T, Box.__parameters__ == (T,), Box[Id].__args__ == (Id,)\n"
        "def hints(): return typing.get_type_hints(Box.put)['x'] is T\n"
    )
    assert script.call("names") == ("Id", "__main__", int, "T", (str, bytes), "P", True)
    assert script.call("same", script.names["T"]) == (True, True, True)
    assert script.call("hints") is True


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TypeVarTuple came with Python 3.11")
def test_a_tuple_of_type_variables(script: Script) -> None:
    script.run(
        "import typing\nTs = typing.TypeVarTuple('Ts')\nclass Many(typing.Generic[typing.Unpack[Ts]]): pass\n"
        "def use(): return Ts.__name__, Many[int, str].__args__\n"
    )
    assert script.call("use") == ("Ts", (int, str))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695 came with Python 3.12")
def test_parameters_and_aliases_of_the_new_syntax(script: Script) -> None:
    script.run(
        "type Tree[T] = list[Tree[T]] | T\nclass Box[T, *Ts, **P]:\n"
        " def get[U](self, x: U) -> tuple[T, U]: return x\n"
        "def first[T: int](x: T, *more: T) -> T: return x\n"
        "def use(): return Tree.__name__, str(Tree[int]), len(Tree.__value__.__args__), "
        "[p.__name__ for p in Box.__type_params__]\n"
        "def more(): return first(1), first.__type_params__[0].__bound__, Box[int, str, "
        "[int]].__args__[0], Box().get(2)\n"
    )
    assert script.call("use") == ("Tree", "Tree[int]", 2, ["T", "Ts", "P"])
    assert script.call("more") == (1, int, int, 2)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695 came with Python 3.12")
def test_aliases_that_refer_to_themselves_and_to_each_other(script: Script) -> None:
    script.run(
        "type Json = dict[str, Json] | list[Json] | int\ntype Odd[T: int, *Ts, **P] = tuple[T, Even[T]]\n"
        "type Even[T: (int, str)] = list[Odd[T]]\ntype Plain = int\nPlain.__value__\n"
        "def use():\n"
        " found = Json.__value__.__args__[1].__args__[0] is Json, Json.__module__, Plain.__value__\n"
        " return found, Odd.__type_params__[0].__bound__, Even.__type_params__[0].__constraints__\n"
        "def same():\n"
        " return Odd.__value__.__args__[0] is Odd.__type_params__[0], "
        "[one.__name__ for one in Odd.__type_params__]\n"
        "def back(): return Json\n"
    )
    assert script.call("use") == ((True, "__main__", int), int, (int, str))
    assert script.call("same") == (True, ["T", "Ts", "P"])
    assert script.call("back") is script.names["Json"]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="defaults came with Python 3.13")
def test_defaults_of_type_variables(script: Script) -> None:
    script.run(
        "import typing\nT = typing.TypeVar('T', default=int)\nU = typing.TypeVar('U')\n"
        "exec('type A[V = int] = list[V] | A[V]')\n"
        "def use(): return T.__default__, T.has_default(), U.has_default(), "
        "A.__type_params__[0].__default__\n"
    )
    assert script.call("use") == (int, True, False, int)


def test_sentinels_are_known_by_identity(script: Script) -> None:
    script.run(
        "import dataclasses, inspect\nNOTHING = object()\nclass Missing:\n"
        " def __repr__(self): return 'MISSING'\nMISSING = Missing()\n"
        "class Local: pass\nALSO = Local()\n"
        "def use(a=NOTHING, b=MISSING, c=None, d=None):\n"
        " return a is NOTHING, b is MISSING, c is dataclasses.MISSING, d is inspect.Parameter.empty\n"
        "def back(): return NOTHING, MISSING, dataclasses.MISSING\n"
    )
    import dataclasses
    import inspect

    assert script.call("use", c=dataclasses.MISSING, d=inspect.Parameter.empty) == (True, True, True, True)
    assert script.call("use", script.names["NOTHING"], script.names["MISSING"]) == (True, True, False, False)
    there = script.call("back")
    assert there[0] is script.names["NOTHING"]
    assert there[2] is dataclasses.MISSING


def test_names_in_annotations() -> None:
    assert list(reducers.names_in("dict[str, 'A'] | B.C")) == ["dict", "str", "B", "C"]
    assert list(reducers.names_in("no annotation")) == []


def test_mocks_and_others_that_say_they_are_of_another_class(script: Script) -> None:
    script.run(
        "import asyncio\nfrom unittest import mock\nservice = mock.MagicMock(return_value=3)\n"
        "service.__len__.return_value = 5\n"
        "waiting = mock.AsyncMock(return_value=4)\n"
        "like = mock.create_autospec(lambda a, b=1: None, return_value=9)\n"
        "class Proxy:\n def __init__(self, n): self.n = n\n @property\n def __class__(self): return int\n"
        "proxy = Proxy(2)\n"
        "def use():\n try: like()\n except TypeError: found = like(1), like.call_count\n"
        " return found, service(1), len(service), service.call_args.args, asyncio.run(waiting()), "
        "proxy.n, isinstance(proxy, int)\n"
        "def same(x): return x is mock.sentinel.thing, mock.ANY == x\n"
    )
    from unittest import mock

    assert script.call("use") == ((9, 1), 3, 5, (1,), 4, 2, True)
    assert script.call("same", mock.sentinel.thing) == (True, True)


def test_random_numbers_of_the_system_have_no_state(script: Script) -> None:
    script.run("import random\nsource = random.SystemRandom()\ndef use(): return 0 <= source.random() < 1\n")
    assert script.call("use") is True


def test_objects_in_place_of_the_functions_that_they_decorate(script: Script) -> None:
    script.run(
        "import functools\nclass ByName:\n def __init__(self, function):\n"
        "  functools.update_wrapper(self, function)\n  self.calls = 0\n"
        " def __call__(self, x):\n  self.calls += 1\n  return self.calls, self.__wrapped__(x)\n"
        " def __reduce__(self): return self.__qualname__\n"
        "@ByName\ndef twice(x): return 2 * x\n"
        "class Odd:\n def __getattr__(self, name): raise NameError(name)\n"
        " def __reduce__(self): return Odd, ()\nodd = Odd()\n"
        "def use(x): return twice(x), twice(x), type(odd).__name__, twice\n"
    )
    first, second, name, back = script.call("use", 3)
    assert (first, second, name) == ((1, 6), (2, 6), "Odd")
    assert back is script.names["twice"]
    assert script.call("twice", 1) == (3, 2)


def test_functions_made_for_arrays(script: Script) -> None:
    pytest.importorskip("numpy")
    script.run(
        "import numpy\nplus = numpy.frompyfunc(lambda a, b: a + b, 2, 1)\n"
        "def use(given): return plus([1, 2], [3, 4]).tolist(), given([1], [2]).tolist(), numpy.add(1, "
        "2).item()\n"
    )
    assert script.call("use", script.names["plus"]) == ([4, 6], [3], 3)
    assert script.call("use", __import__("numpy").multiply)[1] == [2]


def test_objects_that_ask_themselves_for_what_they_lack(script: Script) -> None:
    script.run(
        "class Proxy:\n def __init__(self, inner): self.inner = inner\n"
        " def __getattr__(self, name): return getattr(self.inner, name)\n"
        "class Slotted:\n __slots__ = ('inner', 'other')\n def __init__(self): self.inner = 'abc'\n"
        " def __getattr__(self, name): return getattr(self.inner, name)\n"
        "class Any:\n def __init__(self): self.n = 1\n def __getattr__(self, name): return name\n"
        "one = Proxy([1]); two = Slotted(); three = Any()\n"
        "def use(given): return one.count(1), two.upper(), three.n, three.more, given.index(2), given.inner\n"
    )
    assert script.call("use", script.names["Proxy"]([0, 2])) == (1, "ABC", 1, "more", 1, [0, 2])


def test_structures_of_ctypes(script: Script) -> None:
    script.run(
        "import ctypes\nclass P(ctypes.Structure):\n"
        " _fields_ = [('a', ctypes.c_int), ('b', ctypes.c_double)]\n"
        " def total(self): return self.a + self.b\nclass Many(ctypes.Array):\n _type_, _length_ = P, 2\n"
        "def use(p): return p.total(), ctypes.sizeof(P), ctypes.sizeof(Many), P(3, 4)\n"
    )
    total, size, many, back = script.call("use", script.names["P"](1, 2.5))
    assert (total, size, many, back.total(), type(back)) == (3.5, 16, 32, 7, script.names["P"])


def test_classes_that_an_extension_module_makes_are_named(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(struct_classes, "is_struct", lambda _: False)
    script.run("import msgspec\nclass M(msgspec.Struct):\n a: int\ndef use(): return M(1)\n")
    with pytest.raises(SerializationError, match=r"global `M`.*of `use`.*classes of msgspec._core"):
        script.call("use")


def test_an_object_that_holds_the_namespace_of_the_program(script: Script) -> None:
    script.run(
        "class Resolver:\n def __init__(self): self.space = globals()\n"
        "K = 3\nlate = (n for n in 'ab')\nresolver = Resolver()\n"
        "def use(name): return resolver.space[name], resolver.space is globals()\n"
    )
    assert script.call("use", "K") == (3, True)


def test_classes_registered_with_abstract_ones_that_workers_import(script: Script) -> None:
    script.run(
        "import collections.abc, numbers\nclass Seq: pass\nclass Plain: pass\n"
        "collections.abc.Sequence.register(Seq)\n"
        "def use(x): return isinstance(x, collections.abc.Sequence), isinstance(Plain(), numbers.Number)\n"
    )
    assert script.call("use", script.names["Seq"]()) == (True, False)
    script.run("numbers.Number.register(Plain)\n")
    assert script.call("use", script.names["Plain"]()) == (False, True)
