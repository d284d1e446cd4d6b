"""Exceptions through endpoints that return only text: the exception rides along in its own traceback.

A stock Globus Compute endpoint answers a task that raised with the text of the traceback, and nothing else. So a
function that is registered there is wrapped: what it raises is raised again inside a carrier, whose message ends
in a marker and a description of the exception: module and name of its class, args and attributes, as a literal in
base64. :func:`unload` rebuilds it from the text. Where that is not possible (no marker, no such class here), the
text is all there is, as without this.

A description, and no pickle: a traceback also shows what the function had read somewhere, and whoever wrote that
could put a marker of their own at its end. The worst that comes of it is another exception: classes are looked up
among modules that are loaded already, must be exceptions, and are not called; literals are all they can hold.

The wrapper must run where this package is not installed, in any Python that the function itself runs in. It is
therefore compiled from source under a module name that exists nowhere, which makes dill send it by value. Stock
workers load a function anew for each task, so what only exceptions need is a text in it until one comes.
"""

from __future__ import annotations

import ast
import base64
import re
import sys
from collections.abc import Callable
from typing import Any

from compute_executor.serialization.exceptions import RemoteTraceback

MARK = "compute-executor carries:"
MAX_DESCRIPTION = 64 * 1024
"""Characters of a description that may ride in a text; over it, the exception is only described by the text."""

NAME = "__compute_executor_carrier__"
"""The module that exists nowhere."""

MARKING = f"""
class Carrier(Exception):
    carries = True


def literal(value):
    import ast

    try:
        if ast.literal_eval(repr(value)) == value:
            return value
    except Exception:
        pass
    return str(value)


def description(error):
    kind = type(error)
    args = tuple(literal(value) for value in error.args)
    attributes = {{name: literal(value) for name, value in vars(error).items()}}
    return repr((kind.__module__, kind.__qualname__, args, attributes))


def mark(error):
    import base64

    try:
        text = description(error)
    except Exception:
        text = ""
    if not 0 < len(text) <= {MAX_DESCRIPTION}:
        return ""
    return "{MARK} " + base64.b64encode(text.encode("utf-8", "backslashreplace")).decode("ascii")
"""

SOURCE = f"""
MARKING = {MARKING!r}


def carrying(function):
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if getattr(error, "carries", False):
                raise
            space = {{"__name__": "{NAME}"}}
            exec(MARKING, space)
            marked = space["mark"](error)
            if not marked:
                raise
            raise space["Carrier"](f"{{type(error).__name__}}: {{error}}\\n{{marked}}") from error

    call.__name__ = getattr(function, "__name__", "call")
    call.__doc__ = getattr(function, "__doc__", None)
    return call


def calling(function, /, *args, **kwargs):
    return function(*args, **kwargs)


def each_of(function):
    def each(calls):
        values = []
        try:
            for args in calls:
                values.append(function(*args))
        except Exception as error:
            import traceback

            space = {{"__name__": "{NAME}"}}
            exec(MARKING, space)
            text = traceback.format_exc() + space["mark"](error)
            return values, text.encode("utf-8", "backslashreplace")
        return values, None

    return each
"""
"""Also the source of what calls functions on our behalf there (`stock`): it, too, must arrive by value."""

_LOADED = re.compile(re.escape(MARK) + r" ([A-Za-z0-9+/]+={0,2})\s*$")


def carrying(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, wrapped so that what it raises can be unloaded from the text of its traceback."""
    wrapped: Callable[..., Any] = made("carrying", function)
    return wrapped


def made(name: str, *args: Any) -> Any:
    """What the function ``name`` of the source answers."""
    return space()[name](*args)


def space() -> dict[str, Any]:
    """A new namespace in which the source has run."""
    namespace: dict[str, Any] = {"__name__": NAME}
    exec(compile(SOURCE, "<carrier>", "exec"), namespace)  # our own source, see the module's docstring
    return namespace


def unload(text: str) -> Exception | None:
    """The exception that rides in a traceback's text, with the rest of that text as its cause; None if none does,
    or none that can be rebuilt here."""
    found = _LOADED.search(text)
    if found is None or len(found[1]) > 8 * MAX_DESCRIPTION:
        return None
    try:
        module, name, args, attributes = ast.literal_eval(base64.b64decode(found[1], validate=True).decode())
        error = _rebuilt(_class_of(module, name), args, attributes)
    except (ValueError, TypeError, AttributeError, SyntaxError, MemoryError, RecursionError):
        return None
    error.__cause__ = RemoteTraceback(text[: found.start()])
    return error


def _class_of(module: str, name: str) -> type[Exception]:
    """The exception class of that name. Raises TypeError if none is loaded."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        raise TypeError(f"{module}.{name} is no exception class here")
    return found


def _rebuilt(kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    """An instance without its ``__init__``, whose parameters may be others than ``args``."""
    error = kind.__new__(kind, *args)
    error.args = tuple(args)
    error.__dict__.update(attributes)
    return error
