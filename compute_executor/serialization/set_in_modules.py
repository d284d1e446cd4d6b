"""Setting in a worker what a script has set in modules that it imports, as soon as a task imports them.

Standard library only: workers use this.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Collection
from typing import Any, NamedTuple

from compute_executor import interpreter
from compute_executor.serialization import reading
from compute_executor.serialization.namespaces import Program

VALUE, ITEM, CONTENT, DISPATCH, CALL = "value", "item", "content", "dispatch", "call"
_ALL = -1
"""In place of the number of a change: all of a stream, as where it cannot be read."""


class ModuleChange(NamedTuple):
    """Something in a module. ``path``: its dotted name there; ``kind``: the value of an attribute, an item of what
    the name stands for, all that is in it, implementations of a generic function, or what a call of it does (the
    value then is a function that calls it)."""

    path: tuple[str, ...]
    kind: str
    key: Any
    value: Any


def reached(obj: Any, path: tuple[str, ...]) -> Any:
    """Return what a dotted name stands for."""
    for name in path:
        obj = getattr(obj, name)
    return obj


def apply(streams: dict[str, bytes], program: Program) -> None:
    """Make the changes in each module that is loaded, and in the others when they are."""
    for name, stream in streams.items():
        change = functools.partial(_change, stream, program)
        if name in sys.modules:
            change(sys.modules[name])
        else:
            interpreter.after_import(name, change)


def _change(stream: bytes, program: Program, module: Any) -> None:
    """Make the changes in a module. What cannot be made in the middle of reading what a task is sent with, which has
    imported the module, is made when that is read: it may be about a class that is made then."""
    failed = _made(stream, program, module)
    if failed and reading.worker_reads():
        reading.afterwards(lambda: _tell(module, _made(stream, program, module, failed)))
    else:
        _tell(module, failed)


def _made(
    stream: bytes, program: Program, module: Any, only: Collection[int] = (_ALL,)
) -> dict[int, Exception]:
    """Make the changes of a stream with the numbers ``only``; return what could not be made, by number."""
    failed: dict[int, Exception] = {}
    with program.undisturbed():
        try:
            changes, _ = reading.adopt(lambda: reading.load(stream), program)
        except Exception as error:
            return {_ALL: error}
        for number, one in enumerate(changes):
            if _ALL in only or number in only:
                try:
                    _make(module, one)
                except Exception as error:
                    failed[number] = error
    return failed


def _tell(module: Any, failed: dict[int, Exception]) -> None:
    """Warn about what is not as in the program."""
    for error in failed.values():
        warnings.warn(
            f"what the script has set in {module.__name__} cannot be set in a worker: "
            f"{type(error).__name__}: {error}",
            stacklevel=2,
        )


def _make(module: Any, change: ModuleChange) -> None:
    path, kind, key, value = change
    if kind == CALL:
        value()
        return
    if kind == VALUE:
        setattr(reached(module, path[:-1]), path[-1], value)
        return
    target = reached(module, path)
    if kind == ITEM:
        target[key] = value
    elif kind == DISPATCH:
        for one, implementation in value:
            target.register(one, implementation)
    else:
        target.clear()
        (target.update if isinstance(target, (dict, set)) else target.extend)(value)
