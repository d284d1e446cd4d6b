"""What travels around a function to workers that do not have this package, so that it answers only with what JSON
can hold.

Their endpoint writes the answer as JSON; without this, it would make lists of tuples, and texts of keys. Compiled
from source under a module name that exists nowhere, which makes dill send it by value, as `carrier` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compute_executor.serialization import strict_json

NAME = "__compute_executor_json__"
"""The module that exists nowhere."""

STRATEGY = "globus_compute_sdk.serialize.JSONData"
"""How such endpoints write results as JSON (`result_serializers`)."""

IN_JSON, EACH, CALLING, ANYWHERE = "_in_json", "_each_in_json", "_calling", "_in_json_anywhere"
"""What the source defines: the wrapper, the wrapper for many argument tuples, the generic caller, and the wrapper for
a function that workers of this package may get as well."""

_SOURCE = """

def _in_json(*args, **kwargs):
    return checked(_carried(*args, **kwargs), "the result")


def _each_in_json(calls):
    values, error = [], None
    try:
        for args in calls:
            values.append(checked(_carried(*args), "the result"))
    except Exception as raised:
        import traceback

        error = [type(raised).__qualname__, str(raised), traceback.format_exc()]
    return [values, error]


def _in_json_anywhere(*args, **kwargs):
    import sys

    value = checked(_carried(*args, **kwargs), "the result")
    if "compute_executor.endpoint.worker.worker" not in sys.modules:
        return value
    from compute_executor.serialization.json_form import unchecked

    return unchecked(value)


def _calling(function, text, /):
    args, kwargs = loads(text)
    return function(*args, **kwargs)
"""
"""To be run behind the source of `strict_json`, in a namespace where ``_carried`` is the function."""


def wrapped(function: Callable[..., Any] | None, wrapper: str = IN_JSON) -> Callable[..., Any]:
    """Return the function in one of the wrappers; None: the generic caller, in the first."""
    space: dict[str, Any] = {"__name__": NAME, "_carried": function}
    exec(compile(_whole(), "<json>", "exec"), space)  # our own source, see the module's docstring
    if function is None:
        return wrapped(space[CALLING])
    made: Callable[..., Any] = space[wrapper]
    made.__name__ = made.__qualname__ = getattr(function, "__name__", "call")
    return made


def source(name: str, text: str) -> str:
    """Return the source of the function ``name``, which is ``text``, and of its wrappers."""
    return f"{_whole()}\n\n{text}\n\n_carried = {name}\n"


def _whole() -> str:
    import inspect  # 10 ms, and only stock endpoints need it

    return inspect.getsource(strict_json) + _SOURCE
