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
workers load a function anew for each task, so the wrapper is little: what it needs are globals of its own (to load a
closure takes as long as all the rest), and what only exceptions need is a text until one comes. It adds 10 us
to the 12 us that loading a function takes there.
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
import ast
import base64


class Carrier(Exception):
    carries = True


def literal(value):
    try:
        if ast.literal_eval(repr(value)) == value:
            return value
    except Exception:
        pass
    return str(value)


def marked():
    kind = type(error)
    args = tuple(literal(value) for value in error.args)
    attributes = {{name: literal(value) for name, value in vars(error).items()}}
    text = repr((kind.__module__, kind.__qualname__, args, attributes))
    if len(text) <= {MAX_DESCRIPTION}:
        text = base64.b64encode(text.encode("utf-8", "backslashreplace")).decode("ascii")
        return f"{{kind.__name__}}: {{error}}\\n{MARK} {{text}}"


try:
    message = marked()
except Exception:
    message = None
if message and not getattr(error, "carries", False):
    raise Carrier(message) from error
"""
"""Run with the exception as ``error``: raises the carrier, or nothing if the exception cannot ride (or rides)."""

SOURCE = f"""
_marking = {MARKING!r}


def _carrying(*args, **kwargs):
    try:
        return _carried(*args, **kwargs)
    except Exception as error:
        exec(_marking, {{"error": error}})
        raise


def _calling(function, /, *args, **kwargs):
    return function(*args, **kwargs)


def _each(calls):
    values = []
    try:
        for args in calls:
            values.append(_carrying(*args))
    except Exception:
        import traceback

        return values, traceback.format_exc().encode("utf-8", "backslashreplace")
    return values, None
"""
"""To be run in a namespace where ``_carried`` is the function. Also the source of what calls functions on our behalf
there (`stock`): it, too, must arrive by value."""

CARRYING, EACH, CALLING = "_carrying", "_each", "_calling"
"""What the source defines: the wrapper, the wrapper for many argument tuples, the generic caller."""

_LOADED = re.compile(re.escape(MARK) + r" ([A-Za-z0-9+/]+={0,2})\s*$")


def carrying(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, wrapped so that what it raises can be unloaded from the text of its traceback."""
    wrapped: Callable[..., Any] = _space(function)[CARRYING]
    wrapped.__name__ = wrapped.__qualname__ = getattr(function, "__name__", "call")
    return wrapped


def each(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function made to take many argument tuples at once: its answer is ``(values, error)``, the error as
    the text of its traceback."""
    made: Callable[..., Any] = _space(function)[EACH]
    return made


def calling() -> Callable[..., Any]:
    """Return the generic caller, wrapped."""
    return carrying(_space(None)[CALLING])


def source(name: str, text: str) -> str:
    """Return the source of the function ``name``, which is ``text``, and of what carries it: `CARRYING` and `EACH`.
    The function keeps its name, by which it may call itself."""
    return f"{SOURCE}\n\n{text}\n\n_carried = {name}\n"


def _space(function: Callable[..., Any] | None) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": NAME, "_carried": function}
    exec(compile(SOURCE, "<carrier>", "exec"), namespace)  # our own source, see the module's docstring
    return namespace


def unload(text: str) -> Exception | None:
    """Return the exception that rides in a traceback's text, with the rest of that text as its cause; None if none
    does, or none that can be rebuilt here."""
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
    """Return the exception class of that name. Raises TypeError if none is loaded."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        raise TypeError(f"{module}.{name} is no exception class here")
    return found


def _rebuilt(kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    """Return an instance without its ``__init__``, whose parameters may be others than ``args``."""
    error = kind.__new__(kind, *args)
    error.args = tuple(args)
    error.__dict__.update(attributes)
    return error
