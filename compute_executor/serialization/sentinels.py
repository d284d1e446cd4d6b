"""Objects that are known by their identity alone: sentinels, which a program compares with ``is``.

Standard library only: workers use this.
"""

from __future__ import annotations

import copyreg
import operator
import struct
import sys
import weakref
from collections.abc import Iterator
from enum import Enum
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import Any

from compute_executor.serialization import by_value


def is_known_by_identity(obj: Any) -> bool:
    """Return whether another object of the same kind and content would not do."""
    kind = type(obj)
    return kind is object or is_stateless(obj, kind)


def names_itself(kind: Any) -> bool:
    """Return whether a class of the program's says itself how its objects are pickled: perhaps by the name of a
    global."""
    own = type(kind.__reduce__) is FunctionType or type(kind.__reduce_ex__) is FunctionType
    return own and not by_value.importable(kind)


def is_one_of_a_kind(obj: Any) -> bool:
    """Return whether it is known by its identity, or says that it is a global."""
    if names_itself(type(obj)):
        try:
            return isinstance(obj.__reduce_ex__(4), str)
        except Exception:  # what the program does there
            return False
    return is_known_by_identity(obj)


_POINTER = struct.calcsize("P")
_stateless: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def is_stateless(obj: Any, kind: type) -> bool:
    """Return whether nothing but its identity makes out this object."""
    try:
        known = _stateless.get(kind)
        if known is None:
            known = _stateless[kind] = _without_state(kind)
    except TypeError:  # a metaclass whose classes have no hash
        known = _without_state(kind)
    try:
        return known and not getattr(obj, "__dict__", None)
    except Exception:  # a __getattr__ that raises something else than AttributeError
        return False


def pickles_plainly(kind: Any) -> bool:
    """Return whether neither a class nor what it is derived from says how its objects are pickled."""
    return kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__


def _without_state(kind: Any) -> bool:
    # A class of C may keep what it likes in its instances, such as whether a lock is taken.
    pointers = (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
    visible = kind.__basicsize__ - pointers * _POINTER == object.__basicsize__
    return (
        pickles_plainly(kind)
        and visible
        and all(
            base is object
            or (
                base.__flags__ & 1 << 9
                and not any(isinstance(one, MemberDescriptorType) for one in vars(base).values())
            )
            for base in kind.__mro__
        )
    )


# -- where they are found ------------------------------------------------------------------------------------


class _OfModules:
    """The objects in modules that workers import, and in classes there, that are nothing but themselves. Looked for
    again when another module was loaded; any thread may ask."""

    def __init__(self) -> None:
        self._found: tuple[int, dict[int, tuple[Any, str, str]]] = 0, {}

    def where(self, obj: Any) -> tuple[str, str] | None:
        """Return the module of one, and its dotted name in it."""
        count, known = self._found
        if count != len(sys.modules):
            count, known = len(sys.modules), {}
            for module in [one for one in list(sys.modules.values()) if isinstance(one, ModuleType)]:
                for path, value in _sentinels(module):
                    if by_value.travels_by_name(module):
                        known.setdefault(id(value), (value, module.__name__, path))
            self._found = count, known
        one = known.get(id(obj))
        return None if one is None else one[1:]


def _sentinels(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for short, value in list(vars(module).items()):
        if type(value) is object:
            yield short, value
        elif _is_of(value, module):
            for name, one in list(vars(value).items()):
                if type(one) is object:
                    yield f"{short}.{name}", one


_of_modules = _OfModules()


def imported(obj: Any) -> tuple[str, str] | None:
    """Return the module that workers import, and the dotted name in it, of an object that is known by its
    identity."""
    if type(obj) is object:
        return _of_modules.where(obj)
    module = by_value.loaded(type(obj).__module__)
    if module is None or not by_value.travels_by_name(module):
        return None
    short = next((short for short, value in list(vars(module).items()) if value is obj), None)
    return None if short is None else (module.__name__, short)


def holder(obj: Any, module: ModuleType) -> tuple[type, str] | None:
    """Return the class of a module that has ``obj`` as an attribute, and the attribute's name."""
    waiting = [one for one in list(vars(module).values()) if _is_of(one, module)]
    seen: set[int] = set()
    while waiting:
        cls = waiting.pop()
        if id(cls) in seen:
            continue
        seen.add(id(cls))
        for name, value in vars(cls).items():
            if value is obj:
                return cls, name
            if _is_of(value, module) and value.__qualname__.startswith(f"{cls.__qualname__}."):
                waiting.append(value)
    return None


def _is_of(cls: Any, module: ModuleType) -> bool:
    return isinstance(cls, type) and cls.__module__ == module.__name__


def member(obj: Enum) -> tuple[Any, ...] | None:
    """Return how an enum's member is found again whose value may be equal to no other, such as `object()`: by its
    name. None: by its value, as pickle does it, or as its class says."""
    kind = type(obj)
    if (
        type(obj._value_) in _EQUAL
        or kind.__reduce_ex__ is not Enum.__reduce_ex__
        or kind in copyreg.dispatch_table
    ):
        return None
    name = obj._name_
    return (operator.getitem, (kind, name)) if kind.__members__.get(name) is obj else None


_EQUAL = frozenset({int, str, bytes, float, bool, type(None)})
