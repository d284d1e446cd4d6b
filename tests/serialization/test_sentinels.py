"""What is known by its identity is the same object on the other side, wherever the program keeps it."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from compute_executor.serialization import sentinels
from tests.serialization.conftest import Script


def test_an_object_with_state_is_no_sentinel() -> None:
    class Plain:
        pass

    class Slotted:
        __slots__ = ("a",)

    with_state = Plain()
    with_state.a = 1  # type: ignore[attr-defined]
    assert sentinels.is_stateless(Plain(), Plain)
    assert not sentinels.is_stateless(with_state, Plain)
    assert not sentinels.is_stateless(Slotted(), Slotted)
    assert not sentinels.is_stateless(3, int)
    assert sentinels.is_known_by_identity(object())
    assert not sentinels.is_known_by_identity(types.SimpleNamespace())


def test_sentinels_come_back_as_the_very_objects(script: Script) -> None:
    script.run(
        "class Missing: pass\nMISSING = Missing()\n"
        "class Options:\n UNSET = object()\n class Inner:\n  NONE = Missing()\n"
        " def __init__(self, value=UNSET): self.value = value\n"
        "def use(options, none, missing):\n"
        " return options.value is Options.UNSET, none is Options.Inner.NONE, missing is MISSING\n"
        "def back(): return Options(), Options.Inner.NONE, MISSING\n"
    )
    options, missing = script.names["Options"], script.names["MISSING"]
    assert script.call("use", options(), options.Inner.NONE, missing) == (True, True, True)
    assert script.call("use", options(1), missing, options.Inner.NONE) == (False, False, False)
    there = script.call("back")
    assert there[0].value is options.UNSET
    assert there[1] is options.Inner.NONE
    assert there[2] is missing


def test_sentinels_of_modules_that_workers_import(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "with_sentinels.py").write_text(
        "UNSET = object()\nclass Nothing: pass\nNOTHING = Nothing()\nclass Options:\n DEFAULT = object()\n"
        "def known(*values): return [one in (UNSET, NOTHING, Options.DEFAULT) for one in values]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    script.run(
        "import with_sentinels\nfrom with_sentinels import UNSET, NOTHING\n"
        "def find(path):\n import sys\n sys.path.insert(0, path)\n"
        "def use(*values): return with_sentinels.known(*values), UNSET is with_sentinels.UNSET\n"
        "def back(): return UNSET, NOTHING, with_sentinels.Options.DEFAULT\n"
    )
    module = sys.modules["with_sentinels"]
    script.call("find", str(tmp_path))
    values = module.UNSET, module.NOTHING, module.Options.DEFAULT
    assert script.call("use", *values, object()) == ([True, True, True, False], True)
    assert all(one is other for one, other in zip(script.call("back"), values, strict=True))
    monkeypatch.delitem(sys.modules, "with_sentinels")


def test_objects_that_say_which_global_they_are(script: Script) -> None:
    script.run(
        "class Token:\n def __new__(cls, name):\n  made = super().__new__(cls)\n  made.name = name\n  return made\n"
        " def __reduce__(self): return self.name\n"
        "ONE = Token('ONE')\n"
        "class Group:\n TWO = Token('Group.TWO')\n"
        "class Plain:\n def __init__(self, n): self.n = n\n def __reduce__(self): return Plain, (self.n + 1,)\n"
        "def use(one, two, plain): return one is ONE, two is Group.TWO, plain.n, one.name\n"
        "def back(): return ONE, Group.TWO\n"
        "def odd(x): return x\n"
    )
    names = script.names
    given = names["ONE"], names["Group"].TWO, names["Plain"](1)
    assert script.call("use", *given) == (True, True, 2, "ONE")
    there = script.call("back")
    assert there[0] is given[0]
    assert there[1] is given[1]
    with pytest.raises(Exception, match="is not this object in __main__"):
        script.call("odd", names["Token"]("ONE"))


def test_members_of_enums_are_found_by_their_names_where_values_are_not_equal(script: Script) -> None:
    script.run(
        "import enum\nclass Token(enum.Enum):\n NONE = object()\n SAME = NONE\n PAIR = (object(), 1)\n"
        "class Odd(enum.Enum):\n A = object()\n def __reduce_ex__(self, protocol): return getattr, (Odd, 'A')\n"
        "class Bits(enum.Flag):\n A = 1\n B = 2\n"
        "kept = {'none': Token.NONE}\n"
        "def use(*ones, default=Token.NONE):\n"
        " there = Token.NONE, Token.PAIR, Odd.A, Bits.A | Bits.B\n"
        " return [a is b for a, b in zip(ones, there)], default is kept['none'] is Token.NONE\n"
        "def back(): return Token.NONE, Token.PAIR\n"
    )
    names = script.names
    ones = names["Token"].SAME, names["Token"].PAIR, names["Odd"].A, names["Bits"](3)
    assert script.call("use", *ones) == ([True] * 4, True)
    none, pair = script.call("back")
    assert none is names["Token"].NONE
    assert pair is names["Token"].PAIR
