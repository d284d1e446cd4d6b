"""Objects that show what is in another one: views of dictionaries, of memory, arrays that share theirs.

As values of globals they show it in a worker, too. As arguments they are copies, as with any pool of processes.
"""

from __future__ import annotations

import array
import collections
import gc
import sys
import types
from collections.abc import Iterable
from typing import Any

from compute_executor.serialization import remade

_EMPTY: tuple[dict[Any, Any], ...] = {}, collections.OrderedDict()
_OF_DICTS = {
    type(view): name
    for kind in _EMPTY
    for name, view in (("keys", kind.keys()), ("values", kind.values()), ("items", kind.items()))
}
_OWNERS = (bytearray, array.array)
"""What has memory that may change, and shows it to anybody."""


def reduce(obj: Any, others: Iterable[Any]) -> tuple[Any, ...] | None:
    """Return what makes such an object again; None for any other. ``others``: values of globals."""
    kind: Any = type(obj)
    if kind is types.MappingProxyType:
        return types.MappingProxyType, (gc.get_referents(obj)[0],)
    name = _OF_DICTS.get(kind)
    if name is not None:
        return remade.view, (gc.get_referents(obj)[0], name)
    if kind is memoryview:
        return _memory(obj)
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(obj, numpy.ndarray):
        return None
    if kind is not numpy.ndarray and kind not in (numpy.recarray, numpy.matrix):
        return None
    return _array(obj, numpy.ndarray, others)


def _array(obj: Any, kind: Any, others: Iterable[Any]) -> tuple[Any, ...] | None:
    """Return an array that shares its memory with another global."""
    owner = _owner(obj, kind)
    if obj.dtype.hasobject or owner is None:
        return None
    if isinstance(owner, kind):
        if not any(_shares(one, owner, obj) for one in others if isinstance(one, kind)):
            return None
        start = owner.__array_interface__["data"][0]
    else:
        start = address(memoryview(owner))
    offset = obj.__array_interface__["data"][0] - start
    shown_as = None if type(obj) is kind else type(obj)
    layout = remade.Layout(obj.dtype, obj.shape, obj.strides, offset, obj.flags.writeable, shown_as)
    return remade.array_view, (owner, layout)


def _owner(obj: Any, kind: Any) -> Any:
    """Return what has the memory that an array shows; None: nothing that is known here."""
    found = obj.base
    if isinstance(found, kind) and type(found.base) is memoryview:
        found = found.base
    if type(found) is memoryview:
        found = found.obj
    return found if type(found) in _OWNERS or _is_whole(found, kind) else None


def _shares(one: Any, owner: Any, obj: Any) -> bool:
    return one is owner or (one is not obj and one.base is owner)


def _is_whole(base: Any, kind: Any) -> bool:
    """Return whether it is an array without gaps."""
    return type(base) is kind and bool(base.flags.c_contiguous or base.flags.f_contiguous)


def _memory(view: Any) -> tuple[Any, ...] | None:
    """Return a view of memory that others may have too. None: nobody else can have it, or it has gaps in two
    directions."""
    numpy: Any = sys.modules.get("numpy")
    owner = view.obj
    if not (type(owner) in _OWNERS or (numpy is not None and _is_whole(owner, numpy.ndarray))):
        return None
    size, step, length = view.itemsize, 1, view.nbytes
    if not view.c_contiguous:
        if view.ndim != 1 or view.strides[0] % size:
            return None
        step = view.strides[0] // size
        length = (abs(step) * (view.shape[0] - 1) + 1) * size
    if not length:
        return None
    start = address(view) - address(memoryview(owner)) - (length - size if step < 0 else 0)
    return remade.memory_view, (
        owner,
        remade.Piece(start, length, step, view.format, view.shape, view.readonly),
    )


def address(view: memoryview) -> int:
    """Return where in memory the first element of a view is."""
    import ctypes  # what most programs do without

    class PyBuffer(ctypes.Structure):
        _fields_ = (
            ("buf", ctypes.c_void_p),
            ("obj", ctypes.py_object),
            ("sizes", ctypes.c_ssize_t * 2),
            ("flags", ctypes.c_int * 2),
            ("pointers", ctypes.c_void_p * 5),
        )

    found = PyBuffer()
    api = ctypes.pythonapi
    api.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(found), _FULL_READ_ONLY)
    start = found.buf
    api.PyBuffer_Release(ctypes.byref(found))
    return int(start or 0)


_FULL_READ_ONLY = 0x11C
"""PyBUF_FULL_RO, of Python's stable interface."""
