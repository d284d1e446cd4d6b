"""Libraries of C code, their functions, and types of ctypes: there and back."""

from __future__ import annotations

import ctypes

import pytest

from compute_executor.errors import SerializationError
from compute_executor.serialization import native
from tests.serialization.conftest import Script


def test_a_library_is_loaded_again_with_what_was_said_about_it(script: Script) -> None:
    script.run(
        "import ctypes\nlib = ctypes.CDLL(None, use_errno=True)\nlib.version = 3\n"
        "lib.strtod.restype = ctypes.c_double\nlib.strtod.argtypes = [ctypes.c_char_p, ctypes.c_void_p]\n"
        "def double(result, function, arguments): return 2 * result\n"
        "lib.abs.errcheck = double\nabsolute, another = lib.abs, lib['labs']\nanother.restype = ctypes.c_long\n"
        "def use(): return lib.strtod(b'1.5', None), absolute(-4), another(-2), absolute is lib.abs, "
        "another is lib.labs, lib.version, lib.open(b'', 0), ctypes.get_errno()\n"
        "def python(): return ctypes.pythonapi.PyLong_AsLong(ctypes.py_object(5))\n"
    )
    assert script.call("use") == (1.5, 8, 2, True, False, 3, -1, 2)
    assert script.call("python") == 5
    assert script.worker.call(script.names["absolute"], -3) == 6


def test_functions_that_c_code_calls(script: Script) -> None:
    script.run(
        "import ctypes\nlib = ctypes.CDLL(None)\nInts = ctypes.c_int * 3\nPointer = ctypes.POINTER(ctypes.c_int)\n"
        "Compare = ctypes.CFUNCTYPE(ctypes.c_int, Pointer, Pointer)\nlib.qsort.restype = None\n"
        "class Pair(ctypes.Structure): _fields_ = [('first', ctypes.c_int), ('both', Ints)]\n"
        "@Compare\ndef compare(a, b): return b[0] - a[0]\n"
        "def use():\n values = Ints(1, 3, 2)\n lib.qsort(values, 3, 4, compare)\n return list(values)\n"
        "def same(): return Ints is ctypes.c_int * 3, Pointer is ctypes.POINTER(ctypes.c_int), "
        "Compare is ctypes.CFUNCTYPE(ctypes.c_int, Pointer, Pointer), list(Pair(1, Ints(4)).both), "
        "ctypes.sizeof(ctypes.POINTER(Pair))\n"
        "Held = ctypes.PYFUNCTYPE(ctypes.py_object)\ndef held(): return Held(lambda: 'held')()\n"
    )
    assert script.call("use") == [3, 2, 1]
    assert script.call("same") == (True, True, True, [4, 0, 0], ctypes.sizeof(ctypes.c_void_p))
    assert script.call("held") == "held"


def test_an_address_is_refused() -> None:
    number = ctypes.c_int(3)
    with pytest.raises(SerializationError, match="pointer"):
        native.dumps(ctypes.pointer(number))
    found = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.cast(ctypes.CDLL(None).rand, ctypes.c_void_p).value or 0)
    with pytest.raises(SerializationError, match="pointer"):
        native.dumps(found)
