"""Objects that show what is in another one: views of dictionaries, arrays that share their memory.

As values of globals they show it in a worker, too. As arguments they are copies, as with any pool of processes.
"""

from __future__ import annotations

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


def reduce(obj: Any, others: Iterable[Any]) -> tuple[Any, ...] | None:
    """What makes such an object again; None for any other. ``others``: values of globals."""
    if type(obj) is types.MappingProxyType:
        return types.MappingProxyType, (gc.get_referents(obj)[0],)
    name = _OF_DICTS.get(type(obj))
    if name is not None:
        return remade.view, (gc.get_referents(obj)[0], name)
    numpy: Any = sys.modules.get("numpy")
    return None if numpy is None or type(obj) is not numpy.ndarray else _array(obj, numpy.ndarray, others)


def _array(obj: Any, kind: Any, others: Iterable[Any]) -> tuple[Any, ...] | None:
    """An array that shares its memory with another global."""
    base = obj.base
    if (
        type(base) is not kind
        or not (base.flags.c_contiguous or base.flags.f_contiguous)
        or obj.dtype.hasobject
    ):
        return None
    if not any(one is base or (one is not obj and one.base is base) for one in others if type(one) is kind):
        return None
    offset = obj.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    layout = remade.Layout(obj.dtype, obj.shape, obj.strides, offset, obj.flags.writeable)
    return remade.array_view, (base, layout)
