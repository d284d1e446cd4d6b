"""The public names of a package with their parameters: of ours, and of the SDK where it is installed."""

from __future__ import annotations

import concurrent.futures
import inspect
import re
from importlib import import_module
from typing import Any

CLASSES = {
    "Client": "",
    "Executor": "",
    "ShellFunction": "",
    "MPIFunction": "",
    "ShellResult": "",
    "ComputeSerializer": ".serialize",
    "SerializationStrategy": ".serialize",
    "Batch": ".sdk.batch",
}
"""Where each lies below the package."""

FUTURES = {"compute_executor": ".future", "globus_compute_sdk": ".sdk.asynchronous.compute_future"}


def parameters(function: Any) -> list[str]:
    """``name``, ``name=default``, ``key name`` (by keyword only), ``*name``, ``**name``; without ``self``."""
    found = []
    marks: dict[Any, str] = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    for one in inspect.signature(function).parameters.values():
        if one.name == "self":
            continue
        stars = marks.get(one.kind, "")
        default = "" if one.default is one.empty else f"={one.default!r}"
        found.append(f"{'key ' if one.kind is one.KEYWORD_ONLY else ''}{stars}{one.name}{default}")
    return found


def signatures(package: str) -> dict[str, list[str]]:
    """All names by ``Class`` and ``Class.member``; names of errors and strategies."""
    places = {**CLASSES, "ComputeFuture": FUTURES[package]}
    found: dict[str, list[str]] = {}
    for name, place in places.items():
        kind = getattr(import_module(f"{package}{place}"), name)
        found[name] = [] if inspect.isabstract(kind) else parameters(kind.__init__)
        for member in dir(kind):
            if not member.startswith("_") and not hasattr(concurrent.futures.Future, member):
                found[f"{name}.{member}"] = _member(kind, member)
        for member in _set_when_made(kind):
            found.setdefault(f"{name}.{member}", ["property", "settable"])
    errors = vars(import_module(f"{package}.errors")).values()
    found["errors"] = sorted(
        one.__name__ for one in errors if isinstance(one, type) and issubclass(one, Exception)
    )
    found["serialize"] = sorted(import_module(f"{package}.serialize").__all__)
    return found


def _set_when_made(kind: type) -> list[str]:
    """The public attributes that a constructor gives to what it makes: anybody can set them later."""
    constructor = inspect.unwrap(getattr(kind, "__init__"))  # noqa: B009 - checkers refuse it by its name
    if not hasattr(constructor, "__code__"):
        return []
    source = inspect.getsource(constructor)
    return sorted(set(re.findall(r"^\s*self\.([a-z]\w*)(?:: [^=]+)? = ", source, re.MULTILINE)))


def _member(kind: type, name: str) -> list[str]:
    static = inspect.getattr_static(kind, name)
    if isinstance(static, property):
        return ["property", *(["settable"] if static.fset else [])]
    if hasattr(type(static), "__set__"):
        return ["property", *([] if type(static).__name__ == "FixedAttribute" else ["settable"])]
    if callable(static) or isinstance(static, (staticmethod, classmethod)):
        return parameters(getattr(kind, name))
    return ["attribute"]
