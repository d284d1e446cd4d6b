"""The columns of what a function returned: those of a mapping, a dataclass, a named tuple or a series."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from compute_executor.sweeps.values import plain

ERROR = "error"
RESULT = "result"

_PLAIN = (int, float, str, bool, type(None))


def as_result(value: Any) -> Mapping[str, Any]:
    """Return the columns in a value, those of a mapping in it as ``a.b``; else one called ``result``.

    >>> as_result({"a": {"b": 1}}), as_result(5)
    ({'a.b': 1}, {'result': 5})
    """
    if type(value) in _PLAIN:
        return {RESULT: value}
    fields = _fields(value)
    if not _is_many(fields):
        return {RESULT: fields}
    return _flat(fields)


def named(result: Mapping[str, Any], taken: frozenset[str]) -> Mapping[str, Any]:
    """Return the same with a name of its own, ``result.NAME``, for what is called like a parameter or like
    ``error``."""
    if taken.isdisjoint(result):
        return result
    return {f"{RESULT}.{key}" if key in taken else key: value for key, value in result.items()}


def _fields(value: Any) -> Any:
    """Return the columns in a value, or itself: a frame is one value, a mapping is many."""
    if hasattr(value, "dims"):  # of xarray: one value with labels of its own
        return value
    if isinstance(value, (Mapping, enum.Enum)) or hasattr(value, "columns"):
        return value
    made = plain(value)
    return made if isinstance(made, dict) else value


def _is_many(value: Any) -> bool:
    return isinstance(value, Mapping) and not hasattr(value, "dims")  # a Dataset is a Mapping


def _flat(value: Mapping[Any, Any]) -> Mapping[str, Any]:
    if all(type(name) is str and type(item) in _PLAIN for name, item in value.items()):
        return value
    flat: dict[str, Any] = {}
    for name, item in value.items():
        inner = item if type(item) in (int, float, str) else _fields(item)
        found = _flat(inner) if _is_many(inner) and inner else {"": item}
        for part, cell_value in found.items():
            path = f"{name}.{part}" if part else str(name)
            while path in flat:  # 1 and "1" as keys
                path += "_"
            flat[path] = cell_value
    return flat
