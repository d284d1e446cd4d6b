"""An object as plain values that can be compared: what a caller can see of it."""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Mapping
from typing import Any

from compute_executor.serialization.exceptions import RemoteTraceback

_ADDRESS = re.compile(r"0x[0-9a-f]+")
_KNOWN_BY_NAME = (type, types.FunctionType, enum.Enum)
_LEAVES = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    type(None),
    type(...),
    type(NotImplemented),
    range,
)


class Globals:
    """The objects that a program's globals are, or have been, each by its name and its place among those of the
    name."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Any]] = {}
        self.by_id: dict[int, str] = {}

    def look(self, names: Mapping[str, Any]) -> None:
        """Take the globals as they are now."""
        for name, value in list(names.items()):
            seen = self._seen.setdefault(name, [])
            if not name.startswith("__") and not any(one is value for one in seen):
                seen.append(value)
                self.by_id.setdefault(id(value), f"{name}#{len(seen)}")


def outcome(error: BaseException | None, value: Any, names: Globals) -> Any:
    """How a call has ended."""
    describing = _Describing(names.by_id)
    return ("returned", describing.value(value)) if error is None else ("raised", describing.error(error))


class _Describing:
    """One description, in which an object that was met before is its number."""

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self._met: dict[int, int] = {}
        self._kept: list[Any] = []

    def value(self, obj: Any) -> Any:
        """Any object."""
        if type(obj) in _LEAVES:
            return type(obj).__name__, _ADDRESS.sub("0x", repr(obj))
        named = self._names.get(id(obj))
        if named is not None and (
            isinstance(obj, _KNOWN_BY_NAME) or "__qualname__" in getattr(obj, "__dict__", ())
        ):
            return "global", named
        if id(obj) in self._met:
            return "again", self._met[id(obj)]
        if type(obj) is not tuple:  # of constants, which Python may keep once or twice
            self._met[id(obj)] = len(self._met)
            self._kept.append(obj)
        return self._made(obj)

    def _made(self, obj: Any) -> Any:
        kind = type(obj)
        if isinstance(obj, type):
            return self._class(obj)
        if isinstance(obj, BaseException):
            return self.error(obj)
        if kind is types.FunctionType:
            return self._function(obj)
        if kind is types.MethodType:
            return "method", self.value(obj.__func__), self.value(obj.__self__)
        parts: list[Any] = [self._kind(kind)]
        if isinstance(obj, enum.Enum):
            return *parts, obj._name_, obj in type(obj), self.value(obj._value_)
        parts += self._contents(obj)
        if hasattr(obj, "__dict__") and kind.__module__ != "typing":
            parts.append(sorted((str(key), self.value(part)) for key, part in vars(obj).items()))
        for base in kind.__mro__:
            slots = base.__dict__.get("__slots__", ())
            for name in [slots] if isinstance(slots, str) else slots:
                if not name.startswith("__") and hasattr(obj, name) and base.__module__ == "__main__":
                    parts.append((name, self.value(getattr(obj, name))))
        return tuple(parts)

    def _contents(self, obj: Any) -> list[Any]:
        if isinstance(obj, (set, frozenset)):
            return [sorted(map(repr, map(self._alone, obj)))]
        if isinstance(obj, Mapping) and hasattr(obj, "items"):
            return [
                [(self.value(key), self.value(part)) for key, part in dict.items(obj)]
                if isinstance(obj, dict)
                else [(self.value(k), self.value(v)) for k, v in obj.items()]
            ]
        if isinstance(obj, (list, tuple)):
            return [
                [self.value(part) for part in list.__iter__(obj)]
                if isinstance(obj, list)
                else [self.value(part) for part in tuple.__iter__(obj)]
            ]
        for leaf in (int, float, str, bytes):
            if isinstance(obj, leaf):
                return [leaf.__repr__(obj)]
        return [] if hasattr(obj, "__dict__") else [_ADDRESS.sub("0x", repr(obj))]

    def _alone(self, obj: Any) -> Any:
        return self.value(obj) if type(obj) in _LEAVES else (self._kind(type(obj)), repr(obj))

    def _kind(self, kind: type) -> Any:
        return self._names.get(id(kind)) or (kind.__module__, kind.__qualname__)

    def _class(self, cls: type) -> Any:
        if cls.__module__ != "__main__":
            return "class", cls.__module__, cls.__qualname__
        hidden = (
            "__dict__",
            "__weakref__",
            "__firstlineno__",
            "__static_attributes__",
            "_abc_impl",
            "__slotnames__",
        )
        return (
            "class",
            cls.__qualname__,
            self._kind(type(cls)),
            [self._kind(base) for base in cls.__bases__],
            sorted(name for name in vars(cls) if name not in hidden),
        )

    def _function(self, function: Any) -> Any:
        if function.__globals__.get("__name__", "__main__") != "__main__":
            return "function", function.__module__, function.__qualname__
        cells = []
        for cell in function.__closure__ or ():
            try:
                cells.append(self.value(cell.cell_contents))
            except ValueError:
                cells.append("empty")
        return (
            "function",
            function.__qualname__,
            function.__doc__,
            self.value(function.__defaults__),
            self.value(function.__kwdefaults__),
            cells,
            self.value(vars(function)),
        )

    def error(self, error: BaseException | None) -> Any:
        """An exception, its attributes, its members, its causes. The remote traceback is no part of it."""
        if error is None or isinstance(error, RemoteTraceback):
            return None
        state = {key: part for key, part in vars(error).items() if key != "__notes__"}
        context = error.__context__
        return (
            self._kind(type(error)),
            self.value(error.args),
            _ADDRESS.sub("0x", _text(error)),
            self.value(state),
            self.value(getattr(error, "__notes__", [])),
            self.error(error.__cause__),
            self.error(context),
            self._suppressed(error),
            [self.error(one) for one in getattr(error, "exceptions", ())],
        )

    @staticmethod
    def _suppressed(error: BaseException) -> bool | None:
        """Whether the context is hidden; the remote traceback, as the cause, hides it from everybody."""
        remote = error.__cause__ is None or isinstance(error.__cause__, RemoteTraceback)
        return None if remote else error.__suppress_context__


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as refused:
        return f"refuses: {type(refused).__name__}"
