"""JSON that gives the very same value back, or is refused: never a tuple that becomes a list, or a number that
becomes a text.

Standard library only, and complete in this one file: its source also travels to workers that do not have this
package.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 100
"""Lists and dicts inside of each other. A value that contains itself is told by it, too."""

MAX_BITS = 14_000
"""Bits of a whole number, 4215 decimal digits: Python reads 4300 of them by default (`sys.int_info`)."""

_INSTEAD = {
    tuple: "JSON has no tuples, use a list",
    set: "use a sorted list",
    frozenset: "use a sorted list",
    bytes: "use text, such as base64.b64encode(value).decode()",
    bytearray: "use text, such as base64.b64encode(value).decode()",
    complex: "use a list of two numbers",
}
_PLAIN = "JSON has None, bool, int, float, str, list, and dict with texts as keys"


def fault(value: Any, where: str) -> str:
    """Return what keeps ``value``, which is called ``where``, from being the same after a journey as JSON; "" if
    nothing does.

    >>> fault([1, {"a": {2}}], "argument 0")
    "argument 0[1]['a'] is a set: use a sorted list"
    """
    waiting: list[tuple[Any, Any, int]] = [
        ([value], None, -1)
    ]  # containers, how to come to each, and how deep it is
    while waiting:
        container, path, depth = waiting.pop()
        is_dict = type(container) is dict
        for step, one in container.items() if is_dict else enumerate(container):
            if is_dict:
                why = _of_key(step)
                if why:
                    return f"{where}{_told(path)} has the key {step!r:.80}, which {why}"
            kind = type(one)
            if kind is list or kind is dict:
                if depth + 1 >= MAX_DEPTH:
                    return f"{where}{_told(path)} is nested more than {MAX_DEPTH} deep, or contains itself"
                waiting.append((one, (path, step), depth + 1))
                continue
            why = _of_atom(one, kind)
            if why:
                return f"{where}{_told((path, step))} {why}"
    return ""


def _told(path: Any) -> str:
    """Return the steps of a path, of which the first leads to the value itself."""
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(f"[{step!r:.80}]")
    return "".join(reversed(steps[:-1]))


def _of_key(key: Any) -> str:
    if type(key) is not str:
        return "is no str: JSON has only texts as keys, use a list of pairs"
    return "" if key.isascii() else _of_text(key)


def _of_atom(value: Any, kind: type) -> str:
    if kind is str:
        return "" if value.isascii() else _of_text(value)
    if kind is bool or value is None:
        return ""
    if kind is float:
        return "" if math.isfinite(value) else f"is {value}, which JSON cannot say: use None or a text"
    if kind is int:
        bits = value.bit_length()
        return "" if bits <= MAX_BITS else f"is an int of {bits} bits, more than {MAX_BITS}: use hex(value)"
    article = "an" if kind.__name__[:1].lower() in "aeiou" else "a"
    return f"is {article} {kind.__name__}: {_INSTEAD.get(kind, _PLAIN)}"


def _of_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        return (
            f"has the lone surrogate U+{code:04X} at character {error.start}: use text that UTF-8 can encode"
        )
    return ""


def dumps(value: Any) -> str:
    """Return the JSON of a value that has no fault: ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError for what is none, NaN and Infinity included, or nested too
    deeply."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def checked(value: Any, what: str) -> Any:
    """``value``. Raises TypeError if it has a fault."""
    found = fault(value, what)
    if found:
        raise TypeError(found)
    return value
