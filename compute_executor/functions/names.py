"""The name under which a function is registered."""

from __future__ import annotations

import functools
from typing import Any


def function_name(function: Any) -> str:
    """Return the qualified name of a function, that of its class for a callable object, that of the function for a
    partial."""
    if isinstance(function, functools.partial):
        return function_name(function.func)
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__
