"""The rows of the table: what an ordinary script does, and what it prints where it is right."""

from __future__ import annotations

from typing import NamedTuple

GUARDED = """
if __name__ == "__main__":
    from pool import Pool
    main(Pool)
"""


class Row(NamedTuple):
    """A script: its definitions with a ``main(Pool)``, and the text that it prints."""

    name: str
    text: str
    prints: str
    guard: str = GUARDED
    since: tuple[int, int] = (3, 10)

    @property
    def script(self) -> str:
        """The script."""
        return self.text.strip("\n") + "\n" + self.guard


class Section(NamedTuple):
    """Rows about the same."""

    title: str
    rows: tuple[Row, ...]


FUNCTIONS = Section(
    "Functions",
    (
        Row(
            "a function of the script, its helper, a constant",
            """
FACTOR = 3
def helper(x): return FACTOR * x
def scaled(x): return helper(x) + 1
def main(Pool):
    with Pool() as pool: print(list(pool.map(scaled, [1, 2])))
""",
            "[4, 7]",
        ),
        Row(
            'the same without `if __name__ == "__main__"`',
            """
def double(x): return 2 * x
from pool import Pool
with Pool() as pool: print(list(pool.map(double, [1, 2])))
""",
            "[2, 4]",
            guard="",
        ),
        Row(
            "a lambda",
            """
def main(Pool):
    with Pool() as pool: print(list(pool.map(lambda x: 2 * x, [1, 2])))
""",
            "[2, 4]",
        ),
        Row(
            "a closure",
            """
def make(n):
    def add(x): return n + x
    return add
def main(Pool):
    with Pool() as pool: print(list(pool.map(make(10), [1, 2])))
""",
            "[11, 12]",
        ),
        Row(
            "a method, a class method, a static method",
            """
class C:
    def __init__(self, n): self.n = n
    def m(self, x): return self.n + x
    @classmethod
    def c(cls, x): return cls.__name__, x
    @staticmethod
    def s(x): return -x
def main(Pool):
    with Pool() as pool: print([pool.submit(f, 1).result() for f in (C(2).m, C.c, C.s)])
""",
            "[3, ('C', 1), -1]",
        ),
        Row(
            "a decorated function (`functools.wraps`)",
            """
import functools
def twice(function):
    @functools.wraps(function)
    def wrapper(x): return 2 * function(x)
    return wrapper
@twice
def f(x): return x + 1
def main(Pool):
    with Pool() as pool: print(list(pool.map(f, [1, 2])))
""",
            "[4, 6]",
        ),
        Row(
            "a function decorated by a class",
            """
import functools
class Counted:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.calls = 0
    def __call__(self, x):
        self.calls += 1
        return self.__wrapped__(x)
@Counted
def f(x): return x + 1
def main(Pool):
    with Pool() as pool: print(list(pool.map(f, [1, 2])))
""",
            "[2, 3]",
        ),
        Row(
            "`functools.partial` of a lambda",
            """
import functools
power = functools.partial(lambda base, x: x ** base, 2)
def main(Pool):
    with Pool() as pool: print(list(pool.map(power, [2, 3])))
""",
            "[4, 9]",
        ),
        Row(
            "a helper with `functools.lru_cache`",
            """
import functools
@functools.lru_cache(maxsize=8)
def square(x): return x * x
def f(x): return square(x) + square(x), square.cache_parameters()["maxsize"]
def main(Pool):
    with Pool() as pool: print(list(pool.map(f, [1, 2])))
""",
            "[(2, 8), (8, 8)]",
        ),
        Row(
            "a function with `functools.cache`, submitted",
            """
import functools
@functools.cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def main(Pool):
    with Pool() as pool: print(list(pool.map(fib, [10, 30])))
""",
            "[55, 832040]",
        ),
        Row(
            "`functools.singledispatch`",
            """
import functools
@functools.singledispatch
def show(x): return "any"
@show.register
def _(x: int): return "int"
def f(x): return show(x)
def main(Pool):
    with Pool() as pool: print(list(pool.map(f, [1, "a"])), list(pool.map(show, [1, "a"])))
""",
            "['int', 'any'] ['int', 'any']",
        ),
        Row(
            "a context manager as a decorator",
            """
import contextlib
depth = 0
@contextlib.contextmanager
def deeper():
    global depth
    depth += 1
    yield
    depth -= 1
@deeper()
def f(x): return depth, x
def main(Pool):
    with Pool(1) as pool: print(list(pool.map(f, [1, 2])), depth)
""",
            "[(1, 1), (1, 2)] 0",
        ),
        Row(
            "a coroutine, by `asyncio.run`",
            """
import asyncio
async def fetch(x):
    await asyncio.sleep(0)
    return 2 * x
async def both(x): return await asyncio.gather(fetch(x), fetch(x + 1))
def f(x): return asyncio.run(both(x))
def main(Pool):
    with Pool() as pool: print(list(pool.map(f, [1, 2])))
""",
            "[[2, 4], [4, 6]]",
        ),
        Row(
            "two closures that share a variable",
            """
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    def look(): return n
    return up, look
up, look = counter()
def both(): return up(), up(), look()
def main(Pool):
    with Pool() as pool: print(pool.submit(both).result())
""",
            "(1, 2, 2)",
        ),
        Row(
            "a class body within a function uses a global",
            """
LIMIT = 4
def f(x):
    class Local:
        limit = LIMIT
    return Local.limit + x
def main(Pool):
    with Pool() as pool: print(list(pool.map(f, [1, 2])))
""",
            "[5, 6]",
        ),
        Row(
            "`globals()` and `eval`",
            """
RATES = {"a": 1.5}
def rate_a(x): return RATES["a"] * x
def f(name, x): return globals()["rate_" + name](x), eval("rate_a(x)")
def main(Pool):
    with Pool() as pool: print(pool.submit(f, "a", 2).result())
""",
            "(3.0, 3.0)",
        ),
        Row(
            "a function made by `exec`",
            """
exec("def made(x): return x * 7")
def main(Pool):
    with Pool() as pool: print(list(pool.map(made, [1, 2])))
""",
            "[7, 14]",
        ),
        Row(
            "a function that was edited after its first use",
            """
def f(): return "old"
def main(Pool):
    global f
    with Pool(1) as pool:
        first = pool.submit(f).result()
        exec("def f(): return 'new'", globals())
        print(first, pool.submit(f).result())
""",
            "old new",
        ),
        Row(
            "a global that the script changes between two submits",
            """
step = 1
def f(): return step
def main(Pool):
    global step
    with Pool(1) as pool:
        first = pool.submit(f).result()
        step = 2
        print(first, pool.submit(f).result())
""",
            "1 2",
        ),
        Row(
            "`inspect.getsource` and `inspect.signature` in a task",
            """
import inspect
def helper(a, *, b=2): return a
def f(): return inspect.getsource(helper).strip(), str(inspect.signature(helper))
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "('def helper(a, *, b=2): return a', '(a, *, b=2)')",
        ),
    ),
)

CLASSES = Section(
    "Classes and types",
    (
        Row(
            "instances of a class of the script, both ways",
            """
class P:
    def __init__(self, x): self.x = x
def f(p): return P(p.x + 1), isinstance(p, P)
def main(Pool):
    with Pool() as pool: back, known = pool.submit(f, P(1)).result()
    print(type(back) is P, back.x, known)
""",
            "True 2 True",
        ),
        Row(
            "an instance of a class that is local to a function",
            """
def main(Pool):
    class P:
        def __init__(self, x): self.x = x
        def m(self): return self.x * 2
    with Pool() as pool: print(pool.submit(P(4).m).result(), type(pool.submit(P, 1).result()) is P)
""",
            "8 True",
        ),
        Row(
            "a nested class, by its qualified name",
            """
class Outer:
    class Inner:
        n = 3
def f(): return Outer.Inner(), Outer.Inner.__qualname__
def main(Pool):
    with Pool() as pool: back, name = pool.submit(f).result()
    print(type(back) is Outer.Inner, name)
""",
            "True Outer.Inner",
        ),
        Row(
            "a data class; `dataclasses.MISSING`",
            """
import dataclasses
@dataclasses.dataclass
class D:
    a: int
    b: list = dataclasses.field(default_factory=list)
def f(d): return dataclasses.replace(d, a=2), dataclasses.fields(D)[0].default is dataclasses.MISSING
def main(Pool):
    with Pool() as pool: print(pool.submit(f, D(1)).result())
""",
            "(D(a=2, b=[]), True)",
        ),
        Row(
            "a frozen data class with slots",
            """
import dataclasses
@dataclasses.dataclass(frozen=True, slots=True)
class D:
    a: int
def f(d): return {d: d.a}[D(1)], D(d.a + 1)
def main(Pool):
    with Pool() as pool: print(pool.submit(f, D(1)).result())
""",
            "(1, D(a=2))",
        ),
        Row(
            "an enum member `is` the member",
            """
import enum
class Color(enum.Enum):
    RED = 1
    BLUE = "b"
def f(c): return c is Color.RED, Color("b")
def main(Pool):
    with Pool() as pool: known, back = pool.submit(f, Color.RED).result()
    print(known, back is Color.BLUE)
""",
            "True True",
        ),
        Row(
            "a named tuple with a method",
            """
import typing
class P(typing.NamedTuple):
    x: int
    y: int = 2
    def norm(self): return self.x + self.y
def f(p): return p.norm(), p._replace(x=5)
def main(Pool):
    with Pool() as pool: print(pool.submit(f, P(1)).result())
""",
            "(3, P(x=5, y=2))",
        ),
        Row(
            "`__slots__` with `__weakref__`",
            """
import weakref
class S:
    __slots__ = ("a", "__weakref__")
    def __init__(self, a): self.a = a
def f(s): return weakref.ref(s)() is s, s.a
def main(Pool):
    with Pool() as pool: print(pool.submit(f, S(3)).result())
""",
            "(True, 3)",
        ),
        Row(
            "`cached_property` and `partialmethod`",
            """
import functools
class C:
    def __init__(self, n): self.n = n
    @functools.cached_property
    def square(self): return self.n ** 2
    def add(self, a, b): return self.n + a + b
    add_one = functools.partialmethod(add, 1)
def f(c): return c.square, c.add_one(2)
def main(Pool):
    with Pool() as pool: print(pool.submit(f, C(3)).result())
""",
            "(9, 6)",
        ),
        Row(
            "`__init_subclass__` with keywords and a registry",
            """
class Base:
    known = {}
    def __init_subclass__(cls, key, **rest):
        super().__init_subclass__(**rest)
        Base.known[key] = cls
class A(Base, key="a"): n = 1
class B(A, key="b"): n = 2
def f(key): return Base.known[key]().n, sorted(Base.known)
def main(Pool):
    with Pool() as pool: print(pool.submit(f, "b").result())
""",
            "(2, ['a', 'b'])",
        ),
        Row(
            "a metaclass that counts its classes",
            """
class Meta(type):
    made = []
    def __new__(meta, name, bases, space):
        Meta.made.append(name)
        return super().__new__(meta, name, bases, space)
class A(metaclass=Meta): pass
class B(A): pass
def f(): return Meta.made, type(B()) is B
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "(['A', 'B'], True)",
        ),
        Row(
            "an abstract class with a registered one",
            """
import abc
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Square(Shape):
    def area(self): return 4
class Foreign: pass
Shape.register(Foreign)
def f(x): return isinstance(x, Shape), Square().area(), sorted(Shape.__abstractmethods__)
def main(Pool):
    with Pool() as pool: print(pool.submit(f, Foreign()).result())
""",
            "(True, 4, ['area'])",
        ),
        Row(
            "a `Protocol`, a `Generic`, `typing.get_type_hints`",
            """
import typing
T = typing.TypeVar("T")
@typing.runtime_checkable
class Sized(typing.Protocol):
    def size(self) -> int: ...
class Box(typing.Generic[T]):
    def __init__(self, x: T): self.x = x
    def size(self) -> "int": return 1
def f(box: "Box[int]") -> "Sized":
    return isinstance(box, Sized), typing.get_type_hints(f)["return"] is Sized, Box[int].__origin__ is Box
def main(Pool):
    with Pool() as pool: print(pool.submit(f, Box(1)).result())
""",
            "(True, True, True)",
        ),
        Row(
            "`NewType`",
            """
import typing
UserId = typing.NewType("UserId", int)
def f(x: UserId) -> UserId: return UserId(x + 1), UserId.__name__
def main(Pool):
    with Pool() as pool: print(pool.submit(f, UserId(1)).result())
""",
            "(2, 'UserId')",
        ),
        Row(
            "a sentinel as a default, tested with `is`",
            """
MISSING = object()
def f(x=MISSING): return "nothing" if x is MISSING else x
def g(): return f()
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result(), pool.submit(g).result(), pool.submit(f, 3).result())
""",
            "nothing nothing 3",
        ),
        Row(
            "a class attribute that the script changes between two submits",
            """
class Config: level = 1
def f(): return Config.level
def main(Pool):
    with Pool(1) as pool:
        first = pool.submit(f).result()
        Config.level = 2
        print(first, pool.submit(f).result())
""",
            "1 2",
        ),
        Row(
            "a metaclass that keeps its classes",
            """
class Meta(type):
    known = {}
    def __new__(meta, name, bases, space):
        made = super().__new__(meta, name, bases, space)
        meta.known[name] = made
        return made
class A(metaclass=Meta): pass
class B(A): pass
def f(): return Meta.known["A"] is A, Meta.known["B"] is B, sorted(Meta.known)
def main(Pool):
    with Pool(1) as pool: print(pool.submit(f).result())
""",
            "(True, True, ['A', 'B'])",
        ),
        Row(
            "a sentinel that is a class attribute, in an argument",
            """
class Options:
    UNSET = object()
    def __init__(self, value=UNSET): self.value = value
def f(options): return options.value is Options.UNSET
def main(Pool):
    with Pool(1) as pool: print(pool.submit(f, Options()).result(), pool.submit(f, Options(1)).result())
""",
            "True False",
        ),
        Row(
            "a singleton whose `__reduce__` is its name, both ways",
            """
class Nothing:
    def __bool__(self): return False
    def __reduce__(self): return "NOTHING"
NOTHING = Nothing()
def f(x): return x is NOTHING
def back(): return NOTHING
def main(Pool):
    with Pool(1) as pool: print(pool.submit(f, NOTHING).result(), pool.submit(back).result() is NOTHING)
""",
            "True True",
        ),
        Row(
            "a class that is registered with an abstract class of Python",
            """
import collections.abc
class Items:
    def __len__(self): return 0
collections.abc.Sequence.register(Items)
def f(x): return isinstance(x, collections.abc.Sequence)
def main(Pool):
    with Pool(1) as pool: print(pool.submit(f, Items()).result())
""",
            "True",
        ),
        Row(
            "classes of msgspec",
            """
import msgspec
class Item(msgspec.Struct, rename="camel"):
    own_name: str
    tags: list[str] = []
def f(x): return msgspec.json.encode(x).decode(), Item("b")
def main(Pool):
    with Pool(1) as pool: print(*pool.submit(f, Item("a", ["t"])).result())
""",
            '{"ownName":"a","tags":["t"]} Item(own_name=\'b\', tags=[])',
        ),
        Row(
            "objects of the script's classes pickled and read in tasks",
            """
import pickle
class P:
    def __init__(self, x): self.x = x
def write(x): return pickle.dumps(P(x))
def read(data): return pickle.loads(data).x
def main(Pool):
    with Pool(1) as pool: print(pool.submit(read, pool.submit(write, 3).result()).result(), read(pickle.dumps(P(1))))
""",
            "3 1",
        ),
    ),
)

GLOBALS = Section(
    "Globals of the script",
    (
        Row(
            "an initializer sets a global, tasks read it",
            """
model = None
def load(n):
    global model
    model = n
def f(x): return model * x
def main(Pool):
    with Pool(initializer=load, initargs=(3,)) as pool: print(list(pool.map(f, [1, 2])))
""",
            "[3, 6]",
        ),
        Row(
            "a task sets a global, the next one of the worker reads it",
            """
cache = {}
def f(x):
    cache.setdefault(x, len(cache))
    return dict(cache)
def main(Pool):
    with Pool(1) as pool: print([pool.submit(f, x).result() for x in "ab"])
""",
            "[{'a': 0}, {'a': 0, 'b': 1}]",
        ),
        Row(
            "a lock",
            """
import threading
lock = threading.Lock()
def f(x):
    with lock: return x + 1
def main(Pool):
    with Pool() as pool: print(list(pool.map(f, [1, 2])))
""",
            "[2, 3]",
        ),
        Row(
            "`threading.local`",
            """
import threading
local = threading.local()
def f(x):
    local.n = getattr(local, "n", 0) + x
    return local.n
def main(Pool):
    with Pool(1) as pool: print([pool.submit(f, 2).result() for _ in range(2)])
""",
            "[2, 4]",
        ),
        Row(
            "a `queue.Queue`, an `Event`, a `Condition`",
            """
import queue, threading
waiting, event, condition = queue.Queue(), threading.Event(), threading.Condition()
def f(x):
    waiting.put(x)
    with condition: event.set()
    return waiting.get(), event.is_set()
def main(Pool):
    with Pool() as pool: print(pool.submit(f, 3).result())
""",
            "(3, True)",
        ),
        Row(
            "weak references",
            """
import weakref
class Node: pass
node = Node()
names = weakref.WeakKeyDictionary({node: "first"})
by_name = weakref.WeakValueDictionary(first=node)
def f(): return names[node], by_name["first"] is node
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "('first', True)",
        ),
        Row(
            "a `ContextVar`",
            """
import contextvars
user = contextvars.ContextVar("user", default="nobody")
def f(name):
    before = user.get()
    token = user.set(name)
    found = user.get()
    user.reset(token)
    return before, found
def main(Pool):
    with Pool() as pool: print(pool.submit(f, "ann").result())
""",
            "('nobody', 'ann')",
        ),
        Row(
            "`struct.Struct`, `functools.cmp_to_key`, compiled patterns",
            """
import functools, re, struct
header, key, word = struct.Struct("<I"), functools.cmp_to_key(lambda a, b: b - a), re.compile(r"\\w+")
def f(x): return header.pack(x), sorted([1, 3, 2], key=key), word.findall("a b")
def main(Pool):
    with Pool() as pool: print(pool.submit(f, 1).result())
""",
            "(b'\\x01\\x00\\x00\\x00', [3, 2, 1], ['a', 'b'])",
        ),
        Row(
            "a logger",
            """
import logging
log = logging.getLogger("app.part")
def f(): return log.name, log is logging.getLogger("app.part")
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "('app.part', True)",
        ),
        Row(
            "a library loaded by `ctypes`, and a function that it calls",
            """
import ctypes
lib = ctypes.CDLL(None)
lib.strtod.restype = ctypes.c_double
Compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
@Compare
def compare(a, b): return a[0] - b[0]
def f(text):
    values = (ctypes.c_int * 3)(3, 1, 2)
    lib.qsort(values, 3, 4, compare)
    return lib.strtod(text, None), list(values)
def main(Pool):
    with Pool() as pool: print(pool.submit(f, b"1.5").result())
""",
            "(1.5, [1, 2, 3])",
        ),
        Row(
            "a text and a tuple as sentinels, tested with `is`; NaN as a key",
            """
import math
MISSING, NONE, names = ("missing",), "<none>", {math.nan: 1}
def f(a=MISSING, b=NONE): return a is MISSING, b is NONE, names.get(math.nan)
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "(True, True, 1)",
        ),
        Row(
            "the namespace of `exec`, changed by a task",
            """
space = {}
exec("K = 3\\ndef scaled(x): return K * x", space)
def f(x):
    space["K"] = 5
    return space["scaled"](x)
def main(Pool):
    with Pool() as pool: print(pool.submit(f, 2).result())
""",
            "10",
        ),
        Row(
            "a view of a `bytearray`",
            """
buffer = bytearray(4)
part = memoryview(buffer)[1:3]
def f():
    part[0] = 7
    return list(buffer)
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "[0, 7, 0, 0]",
        ),
        Row(
            "a mock",
            """
from unittest import mock
service = mock.MagicMock(return_value=3)
service.size.return_value = 4
def f(x): return service(x), service.size(), service.call_args.args
def main(Pool):
    with Pool() as pool: print(pool.submit(f, 1).result())
""",
            "(3, 4, (1,))",
        ),
        Row(
            "a file that is open for appending",
            """
import os, tempfile
path = os.environ.setdefault("ROW_LOG", os.path.join(tempfile.gettempdir(), f"row-{os.getpid()}.log"))
log = open(path, "a")
def f(x):
    print(x, file=log, flush=True)
def main(Pool):
    with Pool(1) as pool: list(pool.map(f, [1, 2]))
    print(open(path).read().split())
    os.unlink(path)
""",
            "['1', '2']",
        ),
        Row(
            "two globals that share an object",
            """
shared = []
left, right = {"log": shared}, {"log": shared}
def f(x):
    left["log"].append(x)
    return right["log"], shared
def main(Pool):
    with Pool() as pool: print(pool.submit(f, 1).result())
""",
            "([1], [1])",
        ),
        Row(
            "an object in a list and in a dictionary, known to different tasks",
            """
class Node:
    def __init__(self, name): self.name, self.hits = name, 0
nodes = [Node(name) for name in "ab"]
by_name = {node.name: node for node in nodes}
def hit(name): by_name[name].hits += 1
def total(): return sum(node.hits for node in nodes)
def main(Pool):
    with Pool(1) as pool:
        for _ in range(2):
            pool.submit(hit, "a").result()
            print(pool.submit(total).result())
""",
            "1\n2",
        ),
        Row(
            "two closures in a container that share a variable",
            """
def make():
    n = 0
    def hit():
        nonlocal n
        n += 1
    return {"hit": hit, "look": lambda: n}
both = make()
look, hits = both["look"], [both["hit"]]
def do(): hits[0]()
def see(): return look()
def main(Pool):
    with Pool(1) as pool:
        pool.submit(do).result()
        print(pool.submit(see).result())
""",
            "1",
        ),
        Row(
            "a dictionary and a view of it",
            """
table = {"a": 1}
values = table.values()
def put(): table["b"] = 2
def see(): return list(values)
def main(Pool):
    with Pool(1) as pool:
        pool.submit(put).result()
        print(pool.submit(see).result())
""",
            "[1, 2]",
        ),
        Row(
            "two objects that refer to each other",
            """
class Node: pass
a, b = Node(), Node()
a.other, b.other = b, a
def f(): return a.other is b, b.other is a
def main(Pool):
    with Pool(1) as pool: print(pool.submit(f).result())
""",
            "(True, True)",
        ),
        Row(
            "a module that was loaded from a path",
            """
import importlib.util, os, sys, tempfile
folder = tempfile.mkdtemp()
path = os.path.join(folder, "plugin_of_mine.py")
with open(path, "w") as file: file.write("K = 2\\ndef twice(x): return K * x\\n")
spec = importlib.util.spec_from_file_location("plugin_of_mine", path)
plugin = importlib.util.module_from_spec(spec)
sys.modules["plugin_of_mine"] = plugin
spec.loader.exec_module(plugin)
def f(x): return plugin.twice(x)
def main(Pool):
    with Pool() as pool: print(list(pool.map(f, [1, 2])), list(pool.map(plugin.twice, [3])))
""",
            "[2, 4] [6]",
        ),
    ),
)

EXCEPTIONS = Section(
    "Exceptions and results",
    (
        Row(
            "an exception whose `__init__` takes other parameters",
            """
class Refused(Exception):
    def __init__(self, code, where):
        super().__init__(f"{code} at {where}")
        self.code = code
def f(): raise Refused(3, "door")
def main(Pool):
    with Pool() as pool: error = pool.submit(f).exception()
    print(type(error) is Refused, error, error.code)
""",
            "True 3 at door 3",
        ),
        Row(
            "an exception whose text its `__init__` makes",
            """
class Refused(Exception):
    def __init__(self, why, code=2): super().__init__(f"{why} ({code})")
def f(): raise Refused("closed", 5)
def main(Pool):
    with Pool() as pool: print(pool.submit(f).exception())
""",
            "closed (5)",
        ),
        Row(
            "causes and contexts",
            """
def f():
    try: {}["k"]
    except KeyError as error: raise ValueError("bad") from error
def g():
    try: {}["k"]
    except KeyError: raise ValueError("bad")
def main(Pool):
    with Pool() as pool: caused, during = pool.submit(f).exception(), pool.submit(g).exception()
    print(repr(caused.__cause__), repr(during.__context__))
""",
            "KeyError('k') KeyError('k')",
        ),
        Row(
            "an exception as a result",
            """
class Problem(Exception):
    def __init__(self, where, *, code=0): super().__init__(f"{where}: {code}")
def f():
    try: raise Problem("disk", code=5)
    except Problem as error: return error
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "disk: 5",
        ),
        Row(
            "a frozen data class as an exception",
            """
import dataclasses
@dataclasses.dataclass(frozen=True)
class Failure(Exception):
    code: int
def f(): raise Failure(7)
def main(Pool):
    with Pool() as pool: print(pool.submit(f).exception().code)
""",
            "7",
        ),
        Row(
            "an exception that is false (`__len__`)",
            """
class Empty(Exception):
    def __len__(self): return 0
def f(): raise Empty("nothing there")
def main(Pool):
    with Pool() as pool: future = pool.submit(f)
    try: print(future.result())
    except Empty as error: print("raised", error)
""",
            "raised nothing there",
        ),
        Row(
            "notes and groups",
            """
class Odd(Exception):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b
def f():
    error = Odd(1, 2)
    error.add_note("seen at night")
    raise ExceptionGroup("all", [error, KeyError("k")])
def main(Pool):
    with Pool() as pool: future = pool.submit(f)
    try: future.result()
    except* Odd as group: print(group.exceptions[0].b, group.exceptions[0].__notes__)
    except* KeyError: pass
""",
            "2 ['seen at night']",
            since=(3, 11),
        ),
        Row(
            "StopIteration in `map` is an error",
            """
def f(x): return next(iter([])) if x == 1 else x
def main(Pool):
    with Pool() as pool:
        try: print(list(pool.map(f, [0, 1, 2])))
        except RuntimeError as error: print("RuntimeError")
""",
            "RuntimeError",
        ),
        Row(
            "`sys.exit` in a task ends that task",
            """
import sys
def f(x): sys.exit(x) if x else None
def main(Pool):
    with Pool() as pool: print(repr(pool.submit(f, 3).exception()), pool.submit(f, 0).result())
""",
            "SystemExit(3) None",
        ),
        Row(
            "an argument that cannot be pickled fails alone",
            """
import threading
def f(x): return 1
def main(Pool):
    with Pool() as pool:
        try: bad = pool.submit(f, (n for n in "ab")).exception() is not None
        except TypeError: bad = True
        print(pool.submit(f, 2).result())
""",
            "1",
        ),
        Row(
            "a result that cannot be pickled fails alone",
            """
def f(x): return open("/dev/null", "w") if x else 2
def main(Pool):
    with Pool() as pool:
        first = pool.submit(f, 1)
        first.exception()
        print(pool.submit(f, 0).result())
""",
            "2",
        ),
        Row(
            "a result that cannot be read fails alone",
            """
class Broken:
    def __reduce__(self): return int, ("no number",)
def f(x): return Broken() if x else 2
def main(Pool):
    with Pool() as pool:
        first = pool.submit(f, 1)
        try: first.exception()
        except Exception: pass
        print(pool.submit(f, 0).result())
""",
            "2",
        ),
        Row(
            "a task that ends its process costs that task",
            """
import os
def f(x): os._exit(3) if x == 1 else None
def main(Pool):
    with Pool(1) as pool:
        first = pool.submit(f, 1)
        first.exception()
        print(pool.submit(f, 2).result())
""",
            "None",
        ),
    ),
)

SURROUNDINGS = Section(
    "Surroundings",
    (
        Row(
            "variables and folder that the script has set",
            """
import os, tempfile
def f(): return os.environ["ROW_VALUE"], os.getcwd() == os.environ["ROW_FOLDER"]
def main(Pool):
    os.environ["ROW_VALUE"] = "x"
    os.environ["ROW_FOLDER"] = os.path.realpath(tempfile.mkdtemp())
    os.chdir(os.environ["ROW_FOLDER"])
    with Pool() as pool: print(pool.submit(f).result())
""",
            "('x', True)",
        ),
        Row(
            "`sys.argv`, `sys.path`",
            """
import sys
sys.path.append("/row/path")
def f(): return sys.argv[1:], "/row/path" in sys.path
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "(['--row'], True)",
        ),
        Row(
            "the umask",
            """
import os
def f():
    umask = os.umask(0)
    os.umask(umask)
    return oct(umask)
def main(Pool):
    os.umask(0o027)
    with Pool() as pool: print(pool.submit(f).result())
""",
            "0o27",
        ),
        Row(
            "an ignored signal",
            """
import signal
def f(): return signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
def main(Pool):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with Pool() as pool: print(pool.submit(f).result())
""",
            "True",
        ),
        Row(
            "variable, folder and search path set after the pool is made",
            """
import os, sys, tempfile
def f(): return os.environ["ROW_LATE"], os.path.basename(os.getcwd()), "/late" in sys.path
def main(Pool):
    with tempfile.TemporaryDirectory() as folder, Pool(1) as pool:
        os.mkdir(folder + "/late")
        os.chdir(folder + "/late")
        os.environ["ROW_LATE"] = "late"
        sys.path.append("/late")
        print(pool.submit(f).result())
        os.chdir("/")
""",
            "('late', 'late', True)",
        ),
        Row(
            "`decimal` is to refuse what is inexact",
            """
import decimal
decimal.getcontext().traps[decimal.Inexact] = True
def f():
    try: return decimal.Decimal(1) / 3
    except decimal.Inexact: return "refused"
def main(Pool):
    with Pool(1) as pool: print(pool.submit(f).result())
""",
            "refused",
        ),
        Row(
            "a filter that makes errors of the script's own warnings",
            """
import warnings
class Ours(UserWarning): pass
warnings.filterwarnings("error", category=Ours)
def f(): warnings.warn("w", Ours)
def main(Pool):
    with Pool(1) as pool: print(type(pool.submit(f).exception()).__name__)
""",
            "Ours",
        ),
        Row(
            "`sys.setrecursionlimit`, the precision of `decimal`",
            """
import decimal, sys
sys.setrecursionlimit(4000)
decimal.getcontext().prec = 5
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
def f(): return deep(3000), str(decimal.Decimal(1) / 3)
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "(3000, '0.33333')",
        ),
        Row(
            "`print` in a task",
            """
def f(x): print("task", x)
def main(Pool):
    with Pool(1) as pool: list(pool.map(f, [1, 2]))
""",
            "task 1\ntask 2",
        ),
        Row(
            "values that the script sets in modules that it imports",
            """
import pathlib, sys
if not pathlib.Path("settings.py").exists():
    text = "DEBUG, LIMITS = False, {}\\ndef run(x): return x, DEBUG, LIMITS\\ndef debug(): return DEBUG\\n"
    pathlib.Path("settings.py").write_text(text)
import settings
settings.DEBUG = True
settings.LIMITS["low"] = 1
def f(x): return settings.run(x)
def main(Pool):
    with Pool() as pool: print(pool.submit(f, 2).result(), pool.submit(settings.debug).result())
""",
            "(2, True, {'low': 1}) True",
        ),
        Row(
            "what a call sets in a module: `csv.register_dialect`, `codecs.register`, `logging.setLoggerClass`",
            """
import codecs, csv, logging
csv.register_dialect("mine", delimiter=";")
codecs.register(lambda name: codecs.lookup("utf-8") if name == "mine" else None)
class Logger(logging.Logger):
    def hello(self): return "hello"
logging.setLoggerClass(Logger)
def f(text): return next(csv.reader([text.decode("mine")], "mine")), logging.getLogger("new").hello()
def main(Pool):
    with Pool() as pool: print(pool.submit(f, b"a;b").result())
""",
            "(['a', 'b'], 'hello')",
        ),
        Row(
            "a handler of `SIGALRM` by which a task ends itself",
            """
import signal, time
class Late(Exception): pass
def late(*_): raise Late("too late")
signal.signal(signal.SIGALRM, late)
def f():
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try: time.sleep(20)
    finally: signal.setitimer(signal.ITIMER_REAL, 0)
def main(Pool):
    with Pool() as pool: print(repr(pool.submit(f).exception()))
""",
            "Late('too late')",
        ),
        Row(
            "functions of `os` and `time` that the script replaces, with a mock too",
            """
import os, time
from unittest import mock
os.getlogin = lambda: "ann"
mock.patch("time.sleep", return_value="at once").start()
def f(): return os.getlogin(), time.sleep(30)
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "('ann', 'at once')",
        ),
        Row(
            "a function that the script puts in place of a module's, and one that it registers there",
            """
import pathlib
if not pathlib.Path("steps.py").exists():
    text = "KNOWN = {}\\ndef add(f):\\n KNOWN[f.__name__] = f\\n return f\\n"
    text += "def slow(x): return x\\ndef run(x): return slow(x), KNOWN['mine'](x)\\n"
    pathlib.Path("steps.py").write_text(text)
import steps
def fast(x): return 10 * x
steps.slow = fast
@steps.add
def mine(x): return -x
def main(Pool):
    with Pool() as pool: print(pool.submit(steps.run, 2).result())
""",
            "(20, -2)",
        ),
        Row(
            "a thread prints that a task has left running",
            """
import threading, time
def speak():
    time.sleep(0.2)
    print("the thread", flush=True)
def f(): threading.Thread(target=speak, daemon=True).start()
def main(Pool):
    with Pool(1) as pool:
        pool.submit(f).result()
        time.sleep(2)
""",
            "the thread",
        ),
        Row(
            "records of `logging` reach the script's handler",
            """
import logging, sys
def f(): logging.getLogger("row").info("from a task")
def main(Pool):
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
    with Pool() as pool: pool.submit(f).result()
""",
            "row from a task",
        ),
        Row(
            "`subprocess.run` in a task; its failure is seen",
            """
import subprocess
def f(): return subprocess.run("exit 3", shell=True).returncode
def main(Pool):
    with Pool() as pool: print(pool.submit(f).result())
""",
            "3",
        ),
        Row(
            "a pool within a task",
            """
from concurrent.futures import ThreadPoolExecutor
import multiprocessing
class P:
    def __init__(self, x): self.x = x
def inner(p): return p.x + 1
def f(x):
    with multiprocessing.get_context("fork").Pool(1) as pool: return pool.map(inner, [P(x)])
def main(Pool):
    with Pool() as pool: print(pool.submit(f, 3).result())
""",
            "[4]",
        ),
    ),
)

SECTIONS = (FUNCTIONS, CLASSES, GLOBALS, EXCEPTIONS, SURROUNDINGS)
