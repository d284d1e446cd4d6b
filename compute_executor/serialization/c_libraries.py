"""Libraries of C code that a program has loaded by ctypes: their functions, types that ctypes makes of others, and
functions of Python that C code calls."""

from __future__ import annotations

import ctypes
import gc
import operator
from typing import Any

from compute_executor.serialization import remade

_PYTHON_API, _ERRNO, _LAST_ERROR = 4, 8, 16
"""Flags of function types (Modules/_ctypes/ctypes.h)."""
_THUNK = "CThunkObject"


def of_type(cls: Any) -> tuple[Any, ...] | None:
    """Return what makes such a type again, which ctypes keeps once made; None: the program has made it itself."""
    if cls.__qualname__ in ("CFUNCTYPE.<locals>.CFunctionType", "PYFUNCTYPE.<locals>.CFunctionType"):
        return remade.function_type, (cls._flags_, cls._restype_, *cls._argtypes_)
    item = getattr(cls, "_type_", None)
    if not isinstance(item, type):
        return None
    kind: Any = item
    if issubclass(cls, ctypes._Pointer) and ctypes.POINTER(kind) is cls:
        return ctypes.POINTER, (item,)
    if issubclass(cls, ctypes.Array) and kind * cls._length_ is cls:
        return operator.mul, (item, cls._length_)
    return None


def of_library(library: Any) -> tuple[Any, ...]:
    """Return what loads a library again, with what the program has said about its functions."""
    flags = library._FuncPtr._flags_
    functions = {name: said(one) for name, one in vars(library).items() if isinstance(one, library._FuncPtr)}
    own = {
        name: value
        for name, value in vars(library).items()
        if name not in ("_name", "_FuncPtr", "_handle") and name not in functions
    }
    given = type(library), library._name, bool(flags & _ERRNO), bool(flags & _LAST_ERROR)
    return remade.library, given, (functions, own), None, None, remade.fill_library


def said(function: Any) -> tuple[Any, Any, Any]:
    """Return what the program has said about a function of a library: types of arguments and result, and what checks
    it."""
    return function.argtypes, function.restype, getattr(function, "errcheck", None)


def of_function(one: Any) -> tuple[Any, ...] | None:
    """Return what makes a function of a library again, or one of Python's for C code; None for any other object."""
    kind = type(one)
    inside: Any = getattr(one, "_objects", None) or {}
    library = inside.get("0")
    name = getattr(one, "__name__", None)
    if isinstance(library, ctypes.CDLL) and isinstance(name, str) and kind is library._FuncPtr:
        if vars(library).get(name) is one:
            return getattr, (library, name)
        return remade.library_function, (library, name), said(one), None, None, remade.fill_library_function
    if type(library).__name__ == _THUNK and kind.__mro__[1].__module__ == "_ctypes":
        functions = [part for part in gc.get_referents(one) if callable(part) and part is not kind]
        if len(functions) == 1:
            return kind, (functions[0],)
    return None
