"""What a class is made of: what its statement has to know, and what can be set when it is there."""

from __future__ import annotations

import abc
import pickle
from collections.abc import Callable
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

from compute_executor.serialization import by_value


class OnlyItsStatement(pickle.PicklingError):
    """A class that nothing but its class statement can make."""


HEAP_TYPE = 1 << 9
_OPAQUE = (GetSetDescriptorType, MemberDescriptorType)
_MADE_BY_PYTHON = frozenset({"__dict__", "__weakref__", "__annotate_func__", "_abc_impl", "__slotnames__"})
"""By the class statement, or when an instance is pickled: no change of the program's."""
_FIRST = (
    "__module__",
    "__doc__",
    "__slots__",
    "__orig_bases__",
    "__firstlineno__",
    "__static_attributes__",
)
"""What the class statement itself is to know of a class's attributes."""
ENUM_MACHINERY = frozenset(
    {"_generate_next_value_", "_member_names_", "_member_map_", "_member_type_", "_value2member_map_"}
    | {"_unhashable_values_", "_unhashable_values_map_", "_hashable_values_", "_value_repr_", "_boundary_"}
    | {"_flag_mask_", "_singles_mask_", "_all_bits_", "_inverted_", "__reduce_ex__", "_use_args_"}
)


LAYOUT = ("_fields_", "_pack_", "_anonymous_", "_type_", "_length_", "_flags_", "_restype_", "_argtypes_")
"""What the layout of a class of ctypes follows from."""


def maker(metaclass: type) -> type:
    """Return the first of a metaclass's classes that is not the program's own."""
    if metaclass.__name__ == "_TypedDictMeta":  # which refuses bases that it has given itself
        return type
    return next(one for one in metaclass.__mro__ if "__new__" in vars(one) and by_value.importable(one))


def attributes(cls: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the class statement is to know, and the rest."""
    found = dict(vars(cls))
    first = {name: found.pop(name) for name in _FIRST if name in found}
    first["__qualname__"] = cls.__qualname__
    for name in ("__dict__", "__class__"):  # of which setting one would mean something else
        if isinstance(found.get(name), property):
            first[name] = found.pop(name)
    slots = first.get("__slots__")
    if slots is not None:
        first["__slots__"] = [slots] if isinstance(slots, str) else _slots(cls, slots)
    rest = {
        "".join(name): value
        for name, value in found.items()
        if name not in _MADE_BY_PYTHON
        and not (name == "__annotations__" and not value)  # made when somebody asks for it
        and not (isinstance(value, _OPAQUE) and getattr(value, "__objclass__", None) is cls)
    }
    return first, rest


def _slots(cls: type, slots: Any) -> Any:
    """Return the slots in the form that they had; an iterator is spent by now, but its descriptors are there."""
    if isinstance(slots, (tuple, list, dict)):
        return slots
    found = [name for name, value in vars(cls).items() if isinstance(value, MemberDescriptorType)]
    return found + [name for name in ("__weakref__", "__dict__") if name in vars(cls)]


def virtual(cls: type) -> list[type]:
    """Return the classes that were registered with an abstract one."""
    if not isinstance(cls, abc.ABCMeta):
        return []
    return _registered(cls)


class _Registrations:
    """The abstract classes that workers import, by the id of each class that is registered with them. Looked for
    again when Python has counted another registration; any thread may ask."""

    def __init__(self) -> None:
        self._found: tuple[Any, dict[int, list[type]]] = None, {}

    def of(self, cls: type) -> list[type]:
        """Return those of one class."""
        count, found = self._found
        if count != abc.get_cache_token():
            count, found = abc.get_cache_token(), _all_registrations()
            self._found = count, found
        return [one for one in found.get(id(cls), ()) if cls in _registered(one)]


def _all_registrations() -> dict[int, list[type]]:
    found: dict[int, list[type]] = {}
    waiting: list[type] = [object]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        waiting += type.__subclasses__(one)
        if isinstance(one, abc.ABCMeta):
            for member in _registered(one):
                if not by_value.importable(member) and by_value.importable(one):
                    found.setdefault(id(member), []).append(one)
    return found


registered_with: Callable[[type], list[type]] = _Registrations().of
"""The abstract classes of imported modules that a class of the program is registered with."""


def _registered(cls: type) -> list[type]:
    dump: Any = abc._get_dump  # type: ignore[attr-defined]  # not in typeshed
    return [one for one in (found() for found in dump(cls)[0]) if one is not None]


_MEMBER_MACHINERY = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})


def own_attributes(member: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(member).items() if name not in _MEMBER_MACHINERY}


_EXACT: dict[type, Any] = {
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes.__getnewargs__,
}


def mixed_in(kind: Any, member: Any) -> tuple[Any, ...] | None:
    """Return the type that is mixed into an enum, and the arguments that make its part of a member."""
    if kind is object:
        return None
    if kind in _EXACT:
        exact = _EXACT[kind](member)
        return kind, exact if isinstance(exact, tuple) else (exact,)
    value = member._value_
    return kind, value if isinstance(value, tuple) and kind is not tuple else (value,)
