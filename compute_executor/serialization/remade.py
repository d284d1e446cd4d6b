"""Makes again what `reducers` took apart. Called by streams while they are read, in workers too: standard library
only."""

from __future__ import annotations

import functools
import threading
from contextvars import ContextVar
from typing import Any, NewType

from compute_executor.serialization import reading


def cached(function: Any, size: int | None, typed: bool, attributes: dict[str, Any]) -> Any:
    """A function with a cache of its own, which is empty."""
    made = functools.lru_cache(maxsize=size, typed=typed)(function)
    vars(made).update(attributes)
    return made


def cached_property(kind: Any, function: Any, name: str | None, text: str | None) -> Any:
    """A cached property with a lock of its own, where Python still gives it one."""
    made = kind(function)
    made.attrname = name
    made.__doc__ = text
    return made


def single_dispatch(base: Any) -> Any:
    """A generic function with no more than what it does with any object."""
    return functools.singledispatch(base)


def fill_single_dispatch(function: Any, state: tuple[list[tuple[type, Any]], dict[str, Any]]) -> None:
    """Its implementations for other types, and its attributes."""
    implementations, attributes = state
    for kind, one in implementations:
        function.register(kind, one)
    vars(function).update(attributes)


def new_type(name: str, qualified: str, module: str, kind: Any) -> Any:
    """A `typing.NewType`."""
    make: Any = NewType  # a checker wants the name in the source
    made = make(name, kind)
    made.__qualname__ = qualified
    made.__module__ = module
    return made


def type_variable(
    kind: Any, name: str, constraints: tuple[Any, ...], keywords: dict[str, Any], module: str
) -> Any:
    """A `typing.TypeVar`, ParamSpec or TypeVarTuple."""
    made = kind(name, *constraints, **keywords)
    made.__module__ = module
    return made


def type_alias(kind: Any, name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    """A type alias, with its value as it was."""
    return kind(name, value, type_params=parameters)


def generator_manager(kind: Any, function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """A context manager made of a generator."""
    return kind(function, args, keywords)


def memory(content: bytes | bytearray, form: str, shape: tuple[int, ...]) -> memoryview:
    """A view of memory of its own."""
    view = memoryview(content)
    return view if form == "B" and len(shape) == 1 else view.cast(form, shape)  # type: ignore[call-overload]


def context_variable(name: str, default: tuple[Any, ...]) -> Any:
    """A context variable that has no value yet."""
    make: Any = ContextVar  # a checker wants the name in the source
    return make(name, default=default[0]) if default else make(name)


# -- what each process has of its own ------------------------------------------------------------------------


def thread_local(kind: Any) -> Any:
    """A thread's own values. The ``__init__`` of a class of the program's has run where they come from."""
    return threading.local.__new__(kind)


def fill_thread_local(one: Any, values: dict[str, Any]) -> None:
    """The values of this thread."""
    vars(one).update(values)


def weak(kind: Any, *target: Any) -> Any:
    """A weak reference to what lives as long as the reference's unit; to nothing, if there is nothing any more."""
    return kind(reading.keep(target[0])) if target else kind(_Gone())


class _Gone:
    """What a weak reference refers to that is dead."""


def weak_container(kind: Any, items: Any) -> Any:
    """A container of weak references to what lives as long as its unit."""
    return kind(reading.keep(items))
