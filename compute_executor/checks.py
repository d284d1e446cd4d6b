"""Checks of arguments where a user passes them. Plain functions: the value as it is used, TypeError or ValueError.

A whole number is whatever says that it is one (``__index__``: also those of numpy), a number of seconds whatever can
be made a float, text only ``str``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any


def integer(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """Return ``value`` as an int. Raises TypeError for what is none (2.0, "2"), ValueError outside the bounds.

    >>> integer("max_workers", 3, least=1)
    3
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise _wrong_type(name, "an integer", value) from None
    if (least is not None and number < least) or (most is not None and number > most):
        bounds = f"at least {least}" if most is None else f"between {least} and {most}"
        raise ValueError(f"{name} must be {bounds}, not {number}")
    return number


def seconds(name: str, value: Any, *, zero: bool) -> float:
    """Return ``value`` as a float of seconds. ``zero``: whether 0 is allowed. Raises TypeError for what is no number,
    ValueError for one that is negative, infinite or none (NaN)."""
    number = real(name, value)
    if number < 0 or (number == 0 and not zero):
        least = "must not be negative" if zero else "must be greater than 0"
        raise ValueError(f"{name} {least}, it is {value!r}")
    return number


def real(name: str, value: Any) -> float:
    """Return ``value`` as a finite float. Raises TypeError for what is no number, ValueError for infinity and NaN."""
    if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
        raise _wrong_type(name, "a number of seconds", value)
    number = float(value) if hasattr(value, "__float__") else float(operator.index(value))
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, it is {value!r}")
    return number


def text(name: str, value: Any) -> str:
    """Return ``value``. Raises TypeError for what is no ``str``, ValueError for one that no message can hold."""
    if not isinstance(value, str):
        raise _wrong_type(name, "text", value)
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"{name} holds half of a surrogate pair, which is no character: {value!r:.100}")
    return value


def mapping(name: str, value: Any) -> dict[str, Any]:
    """Return ``value`` as a dict. Raises TypeError for what is no mapping from names."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _wrong_type(name, "a mapping from names to values", value)
    return dict(value)


def texts(name: str, value: Any) -> list[str]:
    """Return ``value`` as a list. Raises TypeError for what is no sequence of ``str``."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong_type(name, "a list of texts", value)
    return [text(name, one) for one in value]


def _wrong_type(name: str, wanted: str, value: Any) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {value!r:.100} of type {type(value).__name__}")
