"""What shows another object shows it in a worker."""

from __future__ import annotations

import pytest

from tests.serialization.conftest import Script


def test_views_of_dictionaries(script: Script) -> None:
    script.run(
        "import collections, types\nsettings = {'a': 1}\nordered = collections.OrderedDict(b=2)\n"
        "keys, values, items = settings.keys(), ordered.values(), [settings.items()]\n"
        "shown = types.MappingProxyType(settings)\n"
        "def put():\n settings['z'] = 3\n ordered['y'] = 4\n"
        "def see(): return sorted(keys), list(values), sorted(items[0]), len(shown)\n"
    )
    assert script.call("see") == (["a"], [2], [("a", 1)], 1)
    script.call("put")
    assert script.call("see") == (["a", "z"], [2, 4], [("a", 1), ("z", 3)], 2)


def test_arrays_that_share_their_memory(script: Script) -> None:
    pytest.importorskip("numpy")
    script.run(
        "import numpy as np\ngrid = np.arange(12.0).reshape(3, 4)\n"
        "row, back, turned, ints = grid[1], grid[::-1, ::-2], grid.T, grid.view('i8')\n"
        "table, fixed = {'row': row}, grid[0]\nfixed.flags.writeable = False\nalone = np.ones(9)[2:4]\n"
        "def fill():\n row[:] = 7\n back[0, 0] = 99\n turned[0, 0] = 5\n ints[0, 1] = 0\n"
        " return table['row'].tolist()\n"
        "def see(): return grid.tolist(), alone.tolist(), fixed.flags.writeable, back.base is not None\n"
    )
    assert script.call("fill") == [7.0] * 4
    expected = [[5.0, 0.0, 2.0, 3.0], [7.0] * 4, [8.0, 9.0, 10.0, 99.0]]
    assert script.call("see") == (expected, [1.0, 1.0], False, True)


def test_views_of_memory(script: Script) -> None:
    script.run(
        "import array\nbuffer = bytearray(8)\npart, back = memoryview(buffer)[2:6], memoryview(buffer)[::-2]\n"
        "words, fixed = memoryview(buffer).cast('H'), memoryview(buffer).toreadonly()\n"
        "numbers = array.array('d', [1, 2, 3])\nsome, none = memoryview(numbers)[1:], memoryview(buffer)[3:3]\n"
        "square, columns = memoryview(buffer).cast('B', (2, 4)), memoryview(b'abcd')[::2]\n"
        "def put():\n part[0] = 7\n back[0] = 9\n words[0] = 258\n some[0] = 5.0\n square[1, 0] = 3\n"
        "def see(): return list(buffer), numbers.tolist(), fixed.readonly, fixed[2], words.format, len(none), "
        "bytes(columns)\n"
    )
    script.call("put")
    assert script.call("see") == ([2, 1, 7, 0, 3, 0, 0, 9], [1, 5, 3], True, 7, "H", 0, b"ac")


def test_arrays_in_memory_that_is_no_array(script: Script) -> None:
    pytest.importorskip("numpy")
    script.run(
        "import numpy as np\nbuffer = bytearray(8)\nints = np.frombuffer(buffer, 'i4')\nsecond = ints[1:]\n"
        "shown = memoryview(ints)\ntable = np.zeros(2, [('a', 'i4'), ('b', 'f8')])\n"
        "column, records = table['a'], table.view(np.recarray)\n"
        "def put():\n second[0] = 1\n buffer[0] = 2\n records.b[1] = 4\n column[0] = 3\n"
        "def see(): return ints.tolist(), shown[1], table.tolist(), type(records).__name__\n"
    )
    script.call("put")
    assert script.call("see") == ([2, 1], 1, [(3, 0), (0, 4)], "recarray")
