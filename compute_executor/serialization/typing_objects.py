"""Makes again what `reducers` took apart. Called by streams while they are read, in workers too: standard library
only."""

from __future__ import annotations

import functools
from typing import Any, NewType


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
