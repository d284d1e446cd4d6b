"""Which value makes a function large: for the error that refuses it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from types import FunctionType
from typing import Any, NamedTuple

from compute_executor.errors import PayloadTooLarge
from compute_executor.functions.fingerprint import importable
from compute_executor.functions.names import function_name
from compute_executor.serialization.code_names import looked_up


class Carried(NamedTuple):
    """A value that a function takes along: what it is to the function, and its size in bytes."""

    what: str
    size: int


def check_size(function: Any, size: int, limit: int) -> None:
    """Raise PayloadTooLarge, which names the largest value that it takes along, if ``size`` is over ``limit``."""
    if size <= limit:
        return
    found = largest(function)
    blame = f", most of them {found.what} with {found.size:,} bytes" if found is not None else ""
    raise PayloadTooLarge(
        f"the function {function_name(function)} takes along {size:,} bytes{blame}; Globus Compute takes {limit:,}. "
        "Have the function read it from a file or a URL that the endpoint can reach, or use an Executor of your own "
        "service, which takes it"
    )


def largest(function: Any) -> Carried | None:
    """Return the largest value that a function takes along; None if there is none to name."""
    return max(_carried(function, "", set()), key=lambda one: one.size, default=None)


def _carried(function: Any, of: str, seen: set[int]) -> Iterator[Carried]:
    """Globals, closure variables and defaults, also those of the helper functions that travel with it."""
    if not isinstance(function, FunctionType) or id(function) in seen:
        return
    seen.add(id(function))
    for kind, name, value in _values(function):
        if isinstance(value, FunctionType) and not importable(value):
            yield from _carried(value, f" of `{name}`", seen)
        else:
            yield Carried(f"{kind} `{name}`{of}", _size(value))


def _values(function: FunctionType) -> Iterator[tuple[str, str, Any]]:
    for name in looked_up(function.__code__):
        if name in function.__globals__:
            yield "global", name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield "variable", name, cell.cell_contents
        except ValueError:  # empty
            continue
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    for name, value in zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True):
        yield "default of", name, value
    for name, value in (function.__kwdefaults__ or {}).items():
        yield "default of", name, value


def _size(value: Any) -> int:
    try:
        return memoryview(value).nbytes
    except (TypeError, BufferError, ValueError):
        pass
    try:
        return len(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    except Exception:  # by value, or not at all: what is large is data
        return 0
