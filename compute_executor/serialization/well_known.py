"""What a program has from Python and from numpy as it is: built-in names, and objects that pickle would make anew.

NaN is equal to nothing, and found in a list or a dictionary by its identity alone."""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Collection
from typing import Any

_NUMBERS = frozenset({int, float, bool})


def places() -> dict[int, str]:
    """Return where they are found, by id: module and attribute, with a dot between them, as no global name has it."""
    found = {id(vars(builtins)): "builtins.__dict__", id(math.nan): "math.nan"}
    numpy: Any = sys.modules.get("numpy")
    nan = getattr(numpy, "nan", None)
    if type(nan) is float:
        found[id(nan)] = "numpy.nan"
    return found


def is_of_python(name: str) -> bool:
    """Return whether every Python has this built-in name."""
    value = vars(builtins)[name]
    module = getattr(value, "__module__", None)
    return module in _OF_PYTHON or type(value).__module__ in _OF_PYTHON - {"builtins"} or name in _CONSTANTS


_OF_PYTHON = frozenset({"builtins", "_sitebuiltins", "_io", "io"})
_CONSTANTS = frozenset(
    {"None", "True", "False", "Ellipsis", "NotImplemented"}
    | {"__debug__", "__doc__", "__name__", "__package__", "__spec__", "__loader__"}
)


def may_be_nan(values: Collection[Any], kinds: set[type]) -> bool:
    """Return whether one of them is NaN; or infinite numbers, or very large ones, make it hard to say."""
    if kinds <= _NUMBERS:
        try:
            total = sum(values)
        except OverflowError:
            return True
        return bool(total - total)
    return any(type(one) is float and math.isnan(one) for one in values)
