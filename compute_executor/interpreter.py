"""What a program has set in its interpreter beside its own code, and setting the same in a worker: how deep calls may
go, how exact decimals are. Only what differs from a fresh interpreter, and of modules that the program has loaded.

Plain values, in a form that every Python since 3.4 reads. Standard library only: workers import this.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class _Setting(NamedTuple):
    """How to read and set one thing of a module. ``fresh``: what it is in a new interpreter."""

    module: str
    get: Callable[[Any], Any]
    put: Callable[[Any, Any], object]
    fresh: Any


def _exactness(decimal: Any) -> tuple[Any, ...]:
    context = decimal.getcontext()
    return context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp


def _set_exactness(decimal: Any, found: tuple[Any, ...]) -> None:
    for name, value in zip(("prec", "rounding", "Emin", "Emax", "capitals", "clamp"), found, strict=True):
        setattr(decimal.getcontext(), name, value)


SETTINGS = {
    "recursion": _Setting(
        "sys", lambda it: it.getrecursionlimit(), lambda it, v: it.setrecursionlimit(v), 1000
    ),
    "digits": _Setting(
        "sys", lambda it: it.get_int_max_str_digits(), lambda it, v: it.set_int_max_str_digits(v), 4300
    ),
    "switch": _Setting(
        "sys", lambda it: it.getswitchinterval(), lambda it, v: it.setswitchinterval(v), 0.005
    ),
    "decimal": _Setting(
        "decimal", _exactness, _set_exactness, (28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0)
    ),
    "timeout": _Setting(
        "socket", lambda it: it.getdefaulttimeout(), lambda it, v: it.setdefaulttimeout(v), None
    ),
    "field": _Setting("csv", lambda it: it.field_size_limit(), lambda it, v: it.field_size_limit(v), 131072),
    "locale": _Setting(
        "locale", lambda it: it.setlocale(it.LC_NUMERIC), lambda it, v: it.setlocale(it.LC_NUMERIC, v), "C"
    ),
}


def observe() -> dict[str, Any]:
    """What is set in this interpreter and thread."""
    found = {}
    for name, setting in SETTINGS.items():
        module = sys.modules.get(setting.module)
        if module is None:
            continue
        with contextlib.suppress(
            Exception
        ):  # a Python that does not have it, a module that is somebody else's
            value = setting.get(module)
            if value != setting.fresh:
                found[name] = value
    return found


def apply(found: dict[str, Any]) -> None:
    """Set the same here, as far as this Python knows it."""
    for name, value in found.items():
        setting = SETTINGS.get(name)
        if setting is not None:
            with contextlib.suppress(Exception):
                setting.put(importlib.import_module(setting.module), value)
