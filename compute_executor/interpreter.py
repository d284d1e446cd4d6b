"""What a program has set in its interpreter beside its own code, and setting the same in a worker: how deep calls may
go, how exact decimals are. Only what differs from a fresh interpreter, and of modules that the program has loaded.

Plain values, in a form that every Python since 3.4 reads. Standard library only: workers import this.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple


class _Setting(NamedTuple):
    """How to read and set one thing of a module. ``fresh``: what it is in a new interpreter."""

    module: str
    get: Callable[[Any], Any]
    put: Callable[[Any, Any], object]
    fresh: Any


_CONTEXT = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _exactness(decimal: Any) -> tuple[Any, ...]:
    """Return the context of this thread; last of it, the names of the signals that raise."""
    context = decimal.getcontext()
    traps = sorted(signal.__name__ for signal, raises in context.traps.items() if raises)
    return (*(getattr(context, name) for name in _CONTEXT), traps)


def _set_exactness(decimal: Any, found: tuple[Any, ...]) -> None:
    context = decimal.getcontext()
    for name, value in zip(_CONTEXT, found, strict=False):
        setattr(context, name, value)
    for signal in context.traps:
        context.traps[signal] = signal.__name__ in found[-1]


def _stack_size(threading: Any) -> Any:
    found = threading.stack_size()  # which sets it to the default
    threading.stack_size(found)
    return found


_CATEGORIES = {"LC_COLLATE": "C", "LC_MONETARY": "C", "LC_NUMERIC": "C", "LC_TIME": "C", "LC_MESSAGES": "C"}
"""The categories of a locale, as Python has them when it starts; that of characters follows from the environment."""


def _places(locale: Any) -> dict[str, str]:
    found = {name: locale.setlocale(getattr(locale, name)) for name in _CATEGORIES if hasattr(locale, name)}
    return {name: value for name, value in found.items() if value != _CATEGORIES[name]}


def _set_places(locale: Any, found: dict[str, str]) -> None:
    for name, fresh in _CATEGORIES.items():
        if hasattr(locale, name):
            locale.setlocale(getattr(locale, name), found.get(name, fresh))


_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_PRINTING = {
    "edgeitems": 3,
    "threshold": 1000,
    "floatmode": "maxprec",
    "precision": 8,
    "suppress": False,
    "linewidth": 75,
    "nanstr": "nan",
    "infstr": "inf",
    "sign": "-",
    "legacy": False,
}


def _numbers(numpy: Any) -> dict[str, dict[str, Any]]:
    """Return what numpy does about a division by zero and the like, and how it prints."""
    errors, printing = numpy.geterr(), numpy.get_printoptions()
    found = {
        "errors": {name: value for name, value in errors.items() if value != _ERRORS.get(name)},
        "printing": {
            name: printing[name] for name, value in _PRINTING.items() if printing.get(name) != value
        },
    }
    return {name: values for name, values in found.items() if values}


def _set_numbers(numpy: Any, found: dict[str, dict[str, Any]]) -> None:
    numpy.seterr(**{**_ERRORS, **found.get("errors", {})})
    numpy.set_printoptions(**{**_PRINTING, **found.get("printing", {})})


def _options(pandas: Any) -> dict[str, Any]:
    """Return the options of pandas that are not as they were, of plain values."""
    found = {}
    for name, option in pandas._config.config._registered_options.items():
        value = (
            pandas.get_option(name)
            if name not in pandas._config.config._deprecated_options
            else option.defval
        )
        if type(value) in _PLAIN and value != option.defval:
            found[name] = value
    return found


def _set_options(pandas: Any, found: dict[str, Any]) -> None:
    for name in {**_options(pandas), **found}:
        with contextlib.suppress(Exception):  # another version
            fresh = pandas._config.config._registered_options[name].defval
            pandas.set_option(name, found.get(name, fresh))


def _drawing(matplotlib: Any) -> dict[str, Any]:
    """Return what is set for figures and is not as it was when matplotlib was imported, of plain values and texts."""
    found = {}
    for name, fresh in matplotlib.rcParamsOrig.items():
        value = dict.__getitem__(matplotlib.rcParams, name)
        if value == fresh:
            continue
        if type(value).__name__ == "Cycler":
            found[name] = repr(value)
        elif type(value) in _PLAIN or (type(value) is list and _PLAIN.issuperset(map(type, value))):
            found[name] = value
    return found


def _set_drawing(matplotlib: Any, found: dict[str, Any]) -> None:
    for name in {**_drawing(matplotlib), **found}:
        with contextlib.suppress(Exception):  # another version
            matplotlib.rcParams[name] = found.get(name, matplotlib.rcParamsOrig[name])


_PLAIN = frozenset({bool, int, float, str, type(None)})

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
        "decimal",
        _exactness,
        _set_exactness,
        (28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0, ["DivisionByZero", "InvalidOperation", "Overflow"]),
    ),
    "timeout": _Setting(
        "socket", lambda it: it.getdefaulttimeout(), lambda it, v: it.setdefaulttimeout(v), None
    ),
    "field": _Setting("csv", lambda it: it.field_size_limit(), lambda it, v: it.field_size_limit(v), 131072),
    "locale": _Setting("locale", _places, _set_places, {}),
    "stack": _Setting("threading", _stack_size, lambda it, v: it.stack_size(v), 0),
    "numpy": _Setting("numpy", _numbers, _set_numbers, {}),
    "pandas": _Setting("pandas", _options, _set_options, {}),
    "matplotlib": _Setting("matplotlib", _drawing, _set_drawing, {}),
}


def observe() -> dict[str, Any]:
    """Return what is set in this interpreter and thread."""
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
    """Set the same here, as far as this Python knows it: for a module that is none of Python's own, as soon as it is
    imported."""
    for name, value in found.items():
        setting = SETTINGS.get(name)
        if setting is None:
            continue
        if setting.module in sys.modules or setting.module in sys.stdlib_module_names:
            _put(setting, value)
        else:
            after_import(setting.module, functools.partial(_put, setting, value))


def _put(setting: _Setting, value: Any, _module: Any = None) -> None:
    with contextlib.suppress(Exception):
        setting.put(importlib.import_module(setting.module), value)


def after_import(name: str, then: Callable[[Any], None]) -> None:
    """Call ``then`` with a module as soon as it is imported."""
    sys.meta_path.insert(0, AfterImport(name, then))


class AfterImport:
    """Finder that calls a function with a module as soon as it is imported, and then takes itself away."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> Any:
        """importlib's question to an entry of sys.meta_path."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = self._found_by_others(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: types.ModuleType) -> None:
                execute(module)
                self._then(module)

            spec.loader.exec_module = exec_module
        return spec

    @staticmethod
    def _found_by_others(name: str, path: Any) -> Any:
        for finder in list(sys.meta_path):
            found = finder.find_spec(name, path) if hasattr(finder, "find_spec") else None
            if found is not None:
                return found
        return None
