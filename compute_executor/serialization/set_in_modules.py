"""Setting in a worker what a script has set in modules that it imports, as soon as a task imports them.

Standard library only: workers use this.
"""

from __future__ import annotations

import functools
import sys
import warnings
from typing import Any, NamedTuple

from compute_executor import interpreter
from compute_executor.serialization import reading
from compute_executor.serialization.namespaces import Program

VALUE, ITEM, CONTENT, DISPATCH = "value", "item", "content", "dispatch"


class ModuleChange(NamedTuple):
    """Something in a module. ``path``: its dotted name there; ``kind``: the value of an attribute, an item of what
    the name stands for, all that is in it, or implementations of a generic function."""

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
    try:
        changes, _ = reading.adopt(lambda: reading.load(stream), program)
        for one in changes:
            _make(module, one)
    except Exception as error:
        warnings.warn(
            f"what the script has set in {module.__name__} cannot be set in a worker: "
            f"{type(error).__name__}: {error}",
            stacklevel=2,
        )


def _make(module: Any, change: ModuleChange) -> None:
    path, kind, key, value = change
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
