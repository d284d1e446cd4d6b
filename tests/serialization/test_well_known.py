"""What a program has from Python as it is: built-in names, NaN, what it compares by ``is``."""

from __future__ import annotations

import builtins
import io
import math
import pickle
import subprocess
import sys

import pytest

from compute_executor.serialization import native, reading, well_known
from tests.serialization.conftest import Script


def test_nan_is_found_by_its_identity(script: Script) -> None:
    pytest.importorskip("numpy")
    script.run(
        "import math\nimport numpy as np\nOWN = float('nan')\nINF = math.inf\n"
        "listed, keyed, deep = [OWN, 1.0], {np.nan: 1, math.nan: 2}, [[np.nan]]\n"
        "def use(a=np.nan, b=math.nan, c=OWN): return a is np.nan, b is math.nan, c is OWN, OWN in listed\n"
        "def find(): return keyed[np.nan], keyed[math.nan], np.nan in deep[0], OWN != OWN, INF\n"
    )
    assert script.call("use") == (True,) * 4
    assert script.call("find") == (1, 2, True, True, math.inf)


def test_nan_where_there_is_no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    stream = io.BytesIO()

    class Writer(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return ("", "numpy.nan") if obj is math.nan else None

    Writer(stream).dump(math.nan)
    stream.seek(0)
    assert math.isnan(reading._UnitReader(stream).load())


@pytest.mark.parametrize(
    ("values", "maybe"),
    [
        ([1.0, 2], False),
        ([1.0, math.nan], True),
        ([1e308, 1e308], True),
        ([math.inf, 1.0], True),
        ([1.0, 10**400], True),
        ([1.0, "a"], False),
        ([math.nan, "a"], True),
    ],
)
def test_values_among_which_nan_may_be(values: list[object], maybe: bool) -> None:
    assert well_known.may_be_nan(values, set(map(type, values))) == maybe


def test_what_is_compared_by_is_stays_the_same_object(script: Script) -> None:
    script.run(
        "MISSING, NONE, LARGE = ('missing',), '<none>', 10**30\nA = B = (1, 2)\nC = tuple([1, 2])\n"
        "def use(a=MISSING, b=NONE, c=LARGE): return a is MISSING, b is NONE, LARGE is c\n"
        "def two(): return A is B, A is C, A == C\n"
        "class K:\n none = MISSING\n def m(self, x=NONE): return self.none is MISSING, x is NONE\n"
        " @staticmethod\n def s(x=MISSING): return x is MISSING\n"
        "def back(): return MISSING\n"
    )
    assert script.call("use") == (True, True, True)
    assert script.call("two") == (True, False, True)
    assert script.worker.call(script.names["K"]().m) == (True, True)
    assert script.call("K.s")
    assert script.call("back") == ("missing",)


def test_names_that_the_program_has_made_built_in(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    script.run(
        "import builtins\ndef use(x): return twice(x), shown\n"
        "def keep():\n global twice\n twice = len\n return twice('abc')\n"
    )
    assert type(script.call("use", 1)) is NameError
    monkeypatch.setattr(builtins, "twice", eval("lambda x: 2 * x", script.names), raising=False)
    monkeypatch.setattr(builtins, "shown", [1], raising=False)
    assert script.call("use", 2) == (4, [1])
    monkeypatch.setattr(builtins, "shown", [2], raising=False)
    assert script.call("use", 2) == (4, [2])
    assert script.call("keep") == 3


def test_no_name_of_python_itself_is_taken_along() -> None:
    source = (
        "import builtins\nfrom compute_executor.serialization import well_known\n"
        "print([name for name in vars(builtins) if not well_known.is_of_python(name)])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_namespace_of_exec_is_one(script: Script) -> None:
    script.run(
        "import json\nspace = {}\n"
        "exec('K = 3\\ndef scaled(x): return K * x\\nclass C:\\n def m(self): return K', space)\n"
        "held = {'space': space}\nspace['held'] = held\nplain = {}\nexec('K = [1]\\nL = K', plain)\n"
        "of_json, own = vars(json), globals()\n"
        "def change():\n space['K'] = 5\n plain['K'].append(2)\n"
        " return space['scaled'](2), space['scaled'].__globals__ is space, space['C']().m()\n"
        "def see(): return space['K'], held['space'] is space, space['held'] is held, sorted(space), plain['L']\n"
        "def others(): return of_json is vars(json), own is globals(), own['json'] is json\n"
    )
    assert script.call("change") == (10, True, 5)
    assert script.call("see") == (5, True, True, ["C", "K", "__builtins__", "held", "scaled"], [1, 2])
    assert script.call("others") == (True, True, True)


def test_a_stream_has_no_built_in_names(script: Script) -> None:
    script.run(
        "space = {}\nexec('K = 3\\ndef scaled(x): return K * x', space)\ndef use(): return space['scaled'](2)"
    )
    assert len(native.dump_function(script.names["use"])) < 3000
