"""The name under which a function is registered."""

from __future__ import annotations

from typing import Any


def function_name(function: Any) -> str:
    """Return the qualified name of a function, or that of its class for a callable object."""
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__
