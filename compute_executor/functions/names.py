"""The name under which a function is registered."""

from __future__ import annotations

import functools
from typing import Any

LONGEST = 1000
"""Characters of a name; of a longer one, the first."""


def function_name(function: Any) -> str:
    """Return the qualified name of a function, that of its class for a callable object, that of the function for a
    partial. As text that can travel, whatever a program has made of the name."""
    if isinstance(function, functools.partial):
        return function_name(function.func)
    name = getattr(function, "__qualname__", None)
    name = name if isinstance(name, str) else type(function).__qualname__
    return name[:LONGEST].encode("utf-8", "backslashreplace").decode()
