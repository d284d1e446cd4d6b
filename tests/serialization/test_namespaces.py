"""One program, one namespace: what is set in a worker stays, what the caller changes arrives."""

from __future__ import annotations

import gc
import types

import pytest

from compute_executor.serialization import native, reading
from compute_executor.serialization.namespaces import Program, Sources, Table, UnitRecord
from tests.serialization.conftest import Script


def test_a_global_that_an_initializer_sets_is_seen_by_tasks(script: Script) -> None:
    script.run(
        "factor = None\n"
        "def prepare(value):\n global factor, other\n factor = other = value\n"
        "def scaled(x): return factor * x\n"
        "def with_other(x): return other * x\n"
    )
    assert script.call("prepare", 10) is None
    assert script.call("scaled", 2) == 20
    assert script.call("with_other", 3) == 30  # a name that the script itself never has
    assert script.names["factor"] is None


def test_tasks_share_their_globals(script: Script) -> None:
    script.run(
        "count = 0\nseen = {}\n"
        "def hit(x):\n global count\n count += 1; seen[x] = count; return count\n"
        "def look(): return count, seen\n"
    )
    assert [script.call("hit", "a"), script.call("hit", "b")] == [1, 2]
    assert script.call("look") == (2, {"a": 1, "b": 2})


def test_a_value_that_the_caller_changes_arrives_and_the_others_stay(script: Script) -> None:
    script.run(
        "step = 0\nmodel = None\n"
        "def load():\n global model\n model = 'loaded'\n"
        "def work(): return step, model\n"
        "def other(): return model\n"
    )
    script.call("load")
    for step in range(3):
        script.names["step"] = step
        assert script.call("work") == (step, "loaded")
    assert script.call("other") == "loaded"


def test_both_versions_of_a_function_stay_right(script: Script) -> None:
    script.run("K = 1\ndef g(): return 'old', K\ndef f(): return g()\n")
    old = script.names["f"]
    assert script.worker.call(old) == ("old", 1)
    script.run("K = 2\ndef g(): return 'new', K\ndef f(): return g()\n")
    assert script.call("f") == ("new", 2)
    script.run("K = 1\ndef g(): return 'old', K\n")
    assert script.worker.call(old) == ("old", 1)
    script.run("del g\n")
    assert isinstance(script.worker.call(old), NameError)


def test_a_registered_function_gets_back_what_it_was_sent_with(script: Script) -> None:
    script.run("K = 1\ndef f(): return K\ndef g(): return K\n")
    first = script.worker.registry.route(script.names["f"]).function
    assert script.call("f") == 1
    script.names["K"] = 2
    assert script.call("g") == 2
    payload = b"\0\0\0\5\x80\5]\x94."
    assert script.worker._answer(first.digest, 0, first.code, payload) == 1


def test_globals_that_share_an_object_share_it_there(script: Script) -> None:
    script.run(
        "a = []\nb = a\nregistry = {'a': a, 'nested': [a]}\n"
        "def append(x): a.append(x)\n"
        "def look(): return a, b, registry\n"
        "def same(x=a): return a is b is registry['a'] is registry['nested'][0] is x\n"
    )
    assert script.call("same") is True
    script.call("append", 1)
    assert script.call("look") == ([1], [1], {"a": [1], "nested": [[1]]})


def test_closures_that_share_a_variable_share_it_there(script: Script) -> None:
    script.run(
        "def make():\n n = 0\n def hit():\n  nonlocal n; n += 1\n  return n\n"
        " def look(): return n\n return hit, look\n"
        "hit, look = make()\n"
        "def both(): return hit(), hit(), look()\n"
        "def other(): return look()\n"
    )
    assert script.call("both") == (1, 2, 2)
    assert script.call("other") == 2


def test_objects_of_the_script_are_pickled_in_a_task(script: Script) -> None:
    script.run(
        "import pickle, typing\nclass State:\n def __init__(self, n): self.n = n\n"
        "def save(n): return pickle.loads(pickle.dumps(State(n))).n\n"
        "def hinted(x: 'State') -> 'State': return x\n"
        "def hints(): return typing.get_type_hints(hinted)['return'] is State\n"
        "def names():\n import __main__\n return __main__.State is State\n"
    )
    assert script.call("save", 3) == 3
    assert script.call("hints") is True
    assert script.call("names") is True


def test_an_answer_is_of_the_caller_s_classes_and_leaves_them_alone(script: Script) -> None:
    script.run(
        "class C:\n known = 1\n def __init__(self, n): self.n = n\n def double(self): return 2 * self.n + K\n"
        "K = 0\n"
        "class Bad(Exception):\n def __init__(self, a, *, b): super().__init__(a); self.b = b\n"
        "def make(n): C.known = 5; return C(n)\n"
        "def fail(): raise Bad(1, b=2)\n"
        "def give(): return make, C, lambda: K\n"
    )
    cls = script.names["C"]
    method = cls.double
    made = script.call("make", 3)
    assert type(made) is cls
    assert (cls.double, cls.known, made.double()) == (method, 1, 6)
    error = script.call("fail")
    assert type(error) is script.names["Bad"]
    assert (error.args, error.b) == ((1,), 2)
    script.names["K"] = 7
    function, same, adder = script.call("give")
    assert function is script.names["make"]
    assert same is cls
    assert adder() == 7


def test_a_script_that_starts_again_knows_its_classes_by_name_and_content(script: Script) -> None:
    source = "class C:\n def __init__(self, n): self.n = n\ndef make(n): return C(n)\n"
    script.run(source)
    code = native.dumps(script.names["make"])
    script.names.clear()
    script.names["__name__"] = "__main__"
    script.run(source)
    gc.collect()
    payload = b"\0\0\0\6\x80\5K\3\x85."

    assert type(script.worker._answer(b"digest", None, code, payload)) is script.names["C"]
    script.run("class C: pass\n")
    gc.collect()
    answer = script.worker._answer(b"digest", 0, code, payload)
    assert type(answer) is not script.names["C"]
    assert answer.n == 3


def test_a_function_of_the_program_is_called_where_its_globals_are(script: Script) -> None:
    space: dict[str, object] = {"__name__": "made"}
    exec(
        "count = 0\ndef hit():\n global count\n count += 1\n return count\ndef look(): return count\n", space
    )
    assert [script.worker.call(space["hit"]) for _ in range(2)] == [1, 2]
    assert script.worker.call(space["look"]) == 2


def test_an_answer_with_classes_of_the_worker_leaves_the_caller_its_own_objects(script: Script) -> None:
    script.run(
        "def same(x): return x\ndef local(x):\n import collections\n"
        " Point = collections.namedtuple('Point', 'a b', defaults=[(0,)])\n return Point(1), same(x)\n"
    )
    for _ in range(2):
        point, function = script.call("local", script.names["same"])
        assert tuple(point) == (1, (0,))
        assert function is script.names["same"]


def test_two_programs_in_one_worker_do_not_see_each_other() -> None:
    main = types.ModuleType("__main__")
    program = Program(reading.read_unit, main)
    record = UnitRecord((("__main__", "x"),), b"key", b"\x80\x05K\x01\x85.", ())
    ones = program.needs(Table(b"one", (record,), ()), [Sources()])
    program.apply(ones)
    program.space("__main__").names["x"] = 5
    twos = program.needs(Table(b"two", (record,), ()), [Sources()])
    program.apply(twos)
    assert program.space("__main__").names["x"] == 1
    program.apply(ones)
    assert program.space("__main__").names["x"] == 5


def test_a_metaclass_that_keeps_its_classes_and_they(script: Script) -> None:
    script.run(
        "class Meta(type):\n known = {}\n def __new__(meta, name, bases, space):\n"
        "  made = super().__new__(meta, name, bases, space)\n  meta.known[name] = made\n  return made\n"
        "class A(metaclass=Meta): pass\nclass B(A): pass\nclass C(B): pass\n"
        "def use():\n same = [Meta.known[n] is c for n, c in dict(A=A, B=B, C=C).items()]\n"
        " return same, type(C) is Meta, C.__mro__[2] is A\n"
    )
    assert script.call("use") == ([True, True, True], True, True)
    assert script.call("A").__class__ is script.names["A"]


def test_objects_that_globals_of_two_namespaces_share(script: Script) -> None:
    """A function made by exec has globals of its own; what they share with the program's stays shared."""
    script.run(
        "shared = []\nspace = {'theirs': shared}\n"
        "exec('def add(x):\\n theirs.append(x)\\n return theirs', space)\n"
        "add = space['add']\ndef use(x): return add(x) is shared, len(shared)\n"
    )
    assert script.call("use", 1) == (True, 1)
    script.run("def other(x): return add(x) is shared\n")
    assert script.call("other", 2) is True
    assert script.call("use", 1) == (True, 3)


def test_classes_of_the_library_attrs(script: Script) -> None:
    attrs = pytest.importorskip("attrs")
    script.run(
        "import attrs\n@attrs.define\nclass A:\n x: int = attrs.field(converter=int)\n"
        " y: list = attrs.Factory(list)\n"
        "@attrs.frozen\nclass B(A):\n z: str = 'q'\n"
        "def use(a): return attrs.evolve(a, x='2'), B(1), attrs.asdict(a)\n"
    )
    a = script.names["A"]("3")
    for _ in range(2):
        assert script.call("use", a) == (attrs.evolve(a, x=2), script.names["B"](1), {"x": 3, "y": []})


def test_objects_that_refer_to_each_other_in_a_circle(script: Script) -> None:
    script.run(
        "class Node:\n def __init__(self, other=None): self.other = other\n"
        "a = Node(); b = Node(a); a.other = b\nitems = []; box = {'items': items}; items.append(box)\n"
        "class Registry: known = {}\nregistry = Registry(); Registry.known['it'] = registry\n"
        "c = Node(); Node.last = c; c.other = Node(c)\nd = c.other\n"
        "def use(): return (a.other is b, b.other is a, items[0] is box, box['items'] is items, "
        "Registry.known['it'] is registry, Node.last is c, c.other is d, d.other is c)\n"
        "def a_only(): return a.other.other is a, hasattr(b, 'tag')\n"
        "def tag(): b.tag = 1\n"
    )
    assert script.call("use") == (True,) * 8
    assert script.call("a_only") == (True, False)
    script.call("tag")
    assert script.call("a_only") == (True, True)


def test_a_class_of_a_namespace_that_is_no_module_goes_and_comes_often(script: Script) -> None:
    script.run(
        "space = {'__name__': 'nowhere', 'held': [1]}\n"
        "exec('''def again(x): return held, x\nclass C:\n def m(self, x): return type(self), again(x), C''', space)\n"
    )
    method = script.names["space"]["C"]().m
    for argument in (method, 1, method, 2):
        script.names["method"] = method
        kind, (held, _), by_name = script.call("method", argument)
        assert kind is by_name is script.names["space"]["C"]
        assert held == [1]


def test_modules_that_are_not_entered_have_one_namespace_each(script: Script) -> None:
    script.run(
        "import types\n"
        "def loaded(value):\n"
        "    made = types.ModuleType('plugin')\n"
        "    exec(f'value = {value}\\ndef get(): return value', vars(made))\n"
        "    exec('def change():\\n global value\\n value += 1', vars(made))\n"
        "    return made\n"
        "one, two = loaded(1), loaded(10)\n"
        "change = one.change\n"
        "def use(): return one.value, one.get(), two.value, two.get(), one is two, one.__name__\n"
    )
    assert script.call("use") == (1, 1, 10, 10, False, "plugin")
    script.call("change")
    assert script.call("use") == (2, 2, 10, 10, False, "plugin")
