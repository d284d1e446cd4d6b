"""An object that several globals share is one object in a worker, in whichever order tasks need them."""

from __future__ import annotations

import itertools

import pytest

from compute_executor.serialization import drafts, packer, sharing
from tests.serialization.conftest import Script

NODES = (
    "class Node:\n def __init__(self, name): self.name, self.hits = name, 0\n"
    "nodes = [Node(name) for name in 'ab']\nby_name = {node.name: node for node in nodes}\n"
    "def hit(name):\n by_name[name].hits += 1\n return by_name[name].hits\n"
    "def total(): return sum(node.hits for node in nodes)\n"
    "def both(): return nodes[0] is by_name['a'], total()\n"
)


@pytest.mark.parametrize("order", list(itertools.permutations(["hit", "total", "both"])))
def test_what_one_task_changes_another_sees_by_another_name(script: Script, order: tuple[str, ...]) -> None:
    script.run(NODES)
    hits = 0
    for name in order * 3:
        hits += name == "hit"
        expected = {"hit": hits, "total": hits, "both": (True, hits)}[name]
        assert script.call(name, *("a" for _ in [0] if name == "hit")) == expected


def test_a_container_that_is_made_later_shares_it_too(script: Script) -> None:
    script.run(NODES)
    assert script.call("hit", "b") == 1
    script.run("last = {'it': nodes[1]}\ndef look(): return last['it'].hits\n")
    assert script.call("look") == 1
    assert script.call("hit", "b") == 2
    assert script.call("look") == 2
    script.names["nodes"][1].hits = 100  # the caller's change counts
    assert script.call("look") == 100
    assert script.call("hit", "b") == 101


def test_an_id_that_another_object_had_before_leads_nowhere(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.run(NODES + "other = [0]\ndef use(): return other\n")
    assert script.call("use") == [0]
    assert script.call("hit", "a") == 1
    had = dict.fromkeys(map(id, script.names["nodes"]), ("__main__", "other"))
    monkeypatch.setattr(sharing, "_sent_in", had)
    assert script.call("total") == 1
    assert script.call("hit", "a") == 2


def test_what_is_not_needed_does_not_travel(script: Script) -> None:
    script.run(NODES + "nodes.append(iter([]))\ndef pull(): return len(nodes)\n")
    assert script.call("hit", "a") == 1
    assert script.call("hit", "b") == 1
    assert isinstance(script.names["nodes"].pop(), type(iter([])))
    assert script.call("total") == 2


def test_closures_in_containers_share_their_variable(script: Script) -> None:
    script.run(
        "def make():\n n = 0\n def hit():\n  nonlocal n; n += 1\n  return n\n"
        " def look(): return n\n return {'hit': hit, 'look': look}\n"
        "both = make()\nlook = both['look']\nhits = [both['hit']]\n"
        "def do(): return hits[0]()\ndef see(): return look(), both['look']()\n"
    )
    assert [script.call("do"), script.call("see"), script.call("do"), script.call("see")] == [
        1,
        (1, 1),
        2,
        (2, 2),
    ]


def test_a_closure_over_a_global_changes_that_global(script: Script) -> None:
    script.run(
        "log = []\ndef make(held):\n def add(x):\n  held.append(x)\n  return len(log)\n return add\n"
        "adders = (make(log),)\nboxed = [make(box := [log])]\ndef see(): return list(log)\n"
        "with_default = [lambda x, into=log: (into.append(x), len(log))]\n"
    )
    adder, with_default = script.names["adders"][0], script.names["with_default"][0]
    assert script.worker.call(adder, "a") == 1
    assert script.call("see") == ["a"]
    assert script.worker.call(with_default, "b") == (None, 2)
    assert script.call("see") == ["a", "b"]


def test_a_closure_shares_what_is_in_a_global(script: Script) -> None:
    script.run(NODES + "def make(node):\n def again():\n  node.hits += 1\n  return total()\n return again\n")
    again = script.names["make"](script.names["nodes"][0])
    assert script.call("hit", "a") == 1
    assert script.worker.call(again) == 2
    assert script.call("hit", "a") == 3


def test_namespaces_that_share_with_each_other(script: Script) -> None:
    script.run(
        "shared = []\none, two = {'a': shared}, {'b': [shared]}\n"
        "exec('def add(x):\\n a.append(x)\\n return list(a)', one)\n"
        "exec('def see(): return list(b[0])', two)\n"
        "def look(): return list(shared)\n"
    )
    one, two = script.names["one"], script.names["two"]
    assert script.worker.call(one["add"], 1) == [1]
    assert script.worker.call(two["see"]) == [1]
    assert script.call("look") == [1]
    assert script.worker.call(one["add"], 2) == [1, 2]
    assert script.worker.call(two["see"]) == [1, 2]


def test_classes_share_an_attribute_and_a_default(script: Script) -> None:
    script.run(
        "class A: cache = {}\nclass B:\n cache = A.cache\n def m(self, into=A.cache): return sorted(into)\n"
        "def put(k):\n A.cache[k] = 1\n return len(B.cache)\ndef see(): return sorted(B.cache), B().m()\n"
    )
    assert [script.call("see"), script.call("put", "x"), script.call("see")] == [([], []), 1, (["x"], ["x"])]


def test_a_circle_that_a_loan_closes(script: Script) -> None:
    script.run(
        "x, z = [1], [2]\nb = [x]\na = [x, z]\ndel x, z\n"
        "def first():\n b[0].append(0)\n return b\n"
        "def second(): return a[0] is b[0], a\n"
    )
    assert script.call("first") == [[1, 0]]
    assert script.call("second") == (True, [[1, 0], [2]])
    script.run(
        "b.append(a[1])\nb.append(a)\na.append(b)\ndef third(): return a[1] is b[1], b[2] is a, a[2] is b\n"
    )
    assert script.call("third") == (True, True, True)


def test_objects_are_found_in_what_holds_them() -> None:
    wanted: list[int] = []

    def holds(value: list[int] = wanted) -> list[int]:
        return value

    class Holder:
        attribute = wanted

    for value in (wanted, [(wanted,)], {"a": {"b": wanted}}, holds, lambda: wanted, Holder):
        assert list(sharing.found_in(value, {id(wanted), 1})) == [id(wanted)]
    for other in ([], [1, "text"], sharing, 1, Holder()):
        assert not list(sharing.found_in(other, {id(wanted)}))


def test_references_from_elsewhere_are_seen() -> None:
    inner: list[int] = []
    outer = [inner, inner]
    inside = [outer, inner]
    del inner
    held_by_a_pickler = list(inside)
    assert drafts.seen_from_outside({id(inside[1]): inside[1]}, inside, {}) == set()
    elsewhere = {"it": inside[1]}
    assert drafts.seen_from_outside({id(inside[1]): inside[1]}, inside, {}) == {id(elsewhere["it"])}
    del held_by_a_pickler


def test_members_are_found_whose_hash_follows_from_what_comes_later(script: Script) -> None:
    script.run(
        "class Person:\n def __init__(self, name): self.name, self.friends, self.table = name, set(), {}\n"
        " def __hash__(self): return hash(getattr(self, 'name', None))\n"
        "ann = Person('ann')\nann.friends.add(ann)\nann.table[ann] = 1\n"
        "def look(): return ann in ann.friends, ann.table.get(ann), len(ann.friends)\n"
    )
    assert script.call("look") == (True, 1, 1)


@pytest.mark.parametrize(
    "made", ["def made(): return is_one()", "class made:\n def __new__(cls): return is_one()"]
)
def test_a_global_that_had_another_value_before_what_it_is_now_was_made(script: Script, made: str) -> None:
    """Its name comes first in the namespace."""
    script.run(
        f"chosen = None\n{made}\nchosen = made\ndef is_one(): return chosen is made\ndef ask(): return chosen()"
    )
    assert script.call("made") is True
    assert script.call("chosen") is True
    assert script.call("ask") is True


def test_tuples_that_hold_what_changes(script: Script) -> None:
    script.run(
        "import collections\nPair = collections.namedtuple('Pair', 'a b')\n"
        "held = ([], 1)\ntable, listed = {'held': held}, [held]\n"
        "pair = Pair([], 1)\npairs, first = {'it': pair}, (pair,)\n"
        "def put():\n table['held'][0].append(1)\n pairs['it'].a.append(1)\n return table['held'] is held\n"
        "def look(): return len(listed[0][0]), listed[0] is held, len(first[0].a), first[0] is pair\n"
    )
    assert script.call("put") is True
    assert script.call("look") == (1, True, 1, True)
    assert script.call("put") is True
    assert script.call("look") == (2, True, 2, True)


def test_another_name_stands_for_what_the_program_had(script: Script) -> None:
    """Also where a task has stored something else under the first name before."""
    script.run(
        "a = [1]\nb = a\nboxed = {'a': a}\ndef f(): return 'old'\ntable = {'f': f}\n"
        "def replace():\n global a, f\n a = a + [2]\n f = lambda: 'new'\n return a, f()\n"
        "def look(): return b, boxed['a'] is b, table['f']()\ndef now(): return a, f()\n"
    )
    assert script.call("replace") == ([1, 2], "new")
    assert script.call("look") == ([1], True, "old")
    assert script.call("now") == ([1, 2], "new")


def test_the_namespace_of_a_named_tuple_is_known_again(script: Script) -> None:
    script.run(
        "import collections\nPair = collections.namedtuple('Pair', 'a b')\ndef f(): return Pair(1, 2)\n"
    )
    keys = {packer.key_of(("__main__", "Pair")) for _ in range(3)}
    assert len(keys) == 1
    assert keys != {b""}
