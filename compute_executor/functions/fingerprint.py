"""Has a function that travels by value changed since it was last serialised?

A function of ``__main__`` takes along its code, defaults, closure and the globals that it uses, and those of its
helper functions. ThreadPoolExecutor would see a change of any of them, so we must: :func:`snapshot` remembers
what they were, and :meth:`Snapshot.unchanged` compares by identity, which is enough as long as every one of
them is immutable. If one is not (a list, an object), there is no snapshot, and the function is serialised at
each submit.

Plain functions of values: no I/O, no threads.
"""

from __future__ import annotations

import abc
import builtins
import sys
from collections.abc import Iterable, Mapping
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any

from compute_executor.serialization import by_value, code_names, well_known

_ATOMS = frozenset(
    {int, float, str, bytes, bool, complex, type(None), type(Ellipsis), type(NotImplemented), range}
    | {CodeType, MemberDescriptorType, GetSetDescriptorType}
)
_WRAPPERS = (staticmethod, classmethod)
_CLASS_MACHINERY = frozenset(
    {"__dict__", "__weakref__", "__annotations__", "__annotations_cache__", "__annotate_func__", "_abc_impl"}
    | {"__slotnames__"}
    | {"__dataclass_fields__", "__dataclass_params__"}
)
"""Attributes that the class statement made: nobody changes them in place and expects a worker to see it."""
_DEEPEST = 6
"""Dots in the name of a submodule that is looked for."""
_ABSENT: Any = object()
_ROOT: Any = object()
MAX_VISITS = 2000
"""Values looked at before a function counts as too entangled for a snapshot (a look costs about 0.3 us)."""


def importable(obj: Any) -> bool:
    """Return whether a worker gets this function or class by importing it: pickled by name, not by value."""
    return isinstance(obj, (FunctionType, BuiltinFunctionType, type)) and by_value.importable(obj)


class Snapshot:
    """What a function referred to. Holds no strong reference to the function itself."""

    __slots__ = ("_cells", "_functions", "_loaded", "_modules", "_names", "_registrations", "_sizes")

    def __init__(self) -> None:
        self._registrations = abc.get_cache_token()
        """How many classes were registered with abstract ones."""
        self._loaded = len(sys.modules)
        self._modules: set[str] = set()
        """Submodules that its code may refer to, and that are not imported."""
        self._functions: list[tuple[Any, CodeType, Any, Any]] = []
        self._sizes: list[tuple[Mapping[str, Any], int]] = []
        self._names: list[tuple[Mapping[str, Any], str, Any]] = []
        self._cells: list[tuple[Any, int, Any]] = []  # function, which of its cells, content

    def unchanged(self, function: Any) -> bool:
        """Return whether ``function``, of which this was taken, would be serialised to the same again."""
        for one, code, defaults, keywords in self._functions:
            this = function if one is _ROOT else one
            if this.__code__ is not code or this.__defaults__ is not defaults:
                return False
            if this.__kwdefaults__ is not keywords:
                return False
        if abc.get_cache_token() != self._registrations:
            return False
        if len(sys.modules) != self._loaded and self._submodules_came():
            return False
        return self._same_names(function)

    def _submodules_came(self) -> bool:
        """Return whether a submodule has been imported that its code may refer to."""
        self._loaded = len(sys.modules)
        return not self._modules.isdisjoint(sys.modules)

    def _same_names(self, function: Any) -> bool:
        for names, size in self._sizes:
            if len(names) != size:
                return False
        for names, name, value in self._names:
            if names.get(name, _ABSENT) is not (function if value is _ROOT else value):
                return False
        for one, index, value in self._cells:
            cell = (function if one is _ROOT else one).__closure__[index]
            if _contents(cell) is not (function if value is _ROOT else value):
                return False
        return True


def snapshot(function: FunctionType) -> Snapshot | None:
    """Return the snapshot of ``function``; None if it refers to something that may change in place."""
    walk = _Walk(function)
    try:
        walk.function(function)
    except _Mutable:
        return None
    return walk.taken


class _Mutable(Exception):
    """A value that may change in place was met."""


class _Walk:
    """One look through all that a function refers to."""

    def __init__(self, root: FunctionType) -> None:
        self.root = root
        self.taken = Snapshot()
        self._seen: set[int] = set()

    def function(self, function: FunctionType) -> None:
        if self._known(function):
            return
        code, defaults = function.__code__, function.__defaults__
        one = _ROOT if function is self.root else function
        self.taken._functions.append((one, code, defaults, function.__kwdefaults__))
        self._all(defaults or ())
        self._names(function.__kwdefaults__ or {})
        self._names(vars(function))
        for index, cell in enumerate(function.__closure__ or ()):
            value = _contents(cell)
            self.taken._cells.append((one, index, self._rooted(value)))
            self._value(value)
        if code_names.may_find_any(code) or any(map(by_value.comes_along, code_names.imported(code))):
            raise _Mutable
        found = code_names.perhaps(code, function.__globals__)
        if found:
            self.taken._sizes.append((function.__globals__, len(function.__globals__)))
        for name in dict.fromkeys((*code_names.looked_up(code), *found)):
            self._name(function.__globals__, name)
            if name not in function.__globals__:
                self._built_in(name)
            self._submodules(function.__globals__.get(name), code)

    def _built_in(self, name: str) -> None:
        """Note a name that the program may put among the built-in ones, or has put there."""
        names = vars(builtins)
        if name in names and well_known.is_of_python(name):
            self.taken._names.append((names, name, names[name]))
        else:
            self._name(names, name)

    def _submodules(self, value: Any, code: CodeType) -> None:
        """Note what of a package may be imported later, and then is an attribute of it that the code refers to."""
        if type(value) is ModuleType and hasattr(value, "__path__"):
            packages = [value.__name__]
            while packages:
                package = packages.pop()
                for name in code.co_names:
                    found = f"{package}.{name}"
                    if found not in sys.modules:
                        self.taken._modules.add(found)
                    elif found != package and found.count(".") < _DEEPEST:
                        packages.append(found)

    def _names(self, mapping: Mapping[str, Any], without: frozenset[str] = frozenset()) -> None:
        self.taken._sizes.append((mapping, len(mapping)))
        for name in list(mapping):
            if name not in without:
                self._name(mapping, name)

    def _name(self, mapping: Mapping[str, Any], name: str) -> None:
        value = mapping.get(name, _ABSENT)
        self.taken._names.append((mapping, name, self._rooted(value)))
        self._value(value)

    def _rooted(self, value: Any) -> Any:
        return _ROOT if value is self.root else value

    def _all(self, values: Iterable[Any]) -> None:
        for value in values:
            self._value(value)

    def _value(self, value: Any) -> None:
        kind = type(value)
        if kind in _ATOMS or value is _ABSENT or importable(value):
            return
        if kind is ModuleType and sys.modules.get(value.__name__) is value:
            return
        if kind is tuple or kind is frozenset:
            self._all(value)
        elif kind is FunctionType:
            self.function(value)
        elif kind in _WRAPPERS:
            self._value(value.__func__)
        elif kind is property:
            self._all((value.fget, value.fset, value.fdel))
        elif isinstance(value, type):
            self._class(value)
        else:
            raise _Mutable

    def _class(self, cls: type) -> None:
        if self._known(cls):
            return
        self._all(cls.__bases__)
        self._names(vars(cls), without=_CLASS_MACHINERY)
        self._value(type(cls))

    def _known(self, obj: Any) -> bool:
        if id(obj) in self._seen:
            return True
        self._seen.add(id(obj))
        if len(self._seen) + len(self.taken._names) > MAX_VISITS:
            raise _Mutable
        return False


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return _ABSENT
