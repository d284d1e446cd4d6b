"""``--grid name=1,2,5`` and ``--grid name=0:1:50``: one swept parameter. Text in, values out; no I/O."""

from __future__ import annotations

import math
from typing import NamedTuple

from compute_executor.cli.values import Value, typed, typed_alike
from compute_executor.cli.wrong_input import WrongInput

MAX_VALUES = 10_000_000
"""Values of one parameter: they are held in memory (a product of grids is not), 32 bytes each."""


class Axis(NamedTuple):
    """A parameter and the values it takes, in the order given."""

    name: str
    values: list[Value]


def parse_axis(text: str) -> Axis:
    """The axis that one ``--grid`` asks for. Raises WrongInput.

    >>> parse_axis("rate=1,2,5")
    Axis(name='rate', values=[1, 2, 5])
    >>> parse_axis("rate=0:1:5")
    Axis(name='rate', values=[0.0, 0.25, 0.5, 0.75, 1.0])
    """
    name, equals, values = text.partition("=")
    name = name.strip()
    if not equals or not name.isidentifier():
        raise _malformed(text, "it must be a parameter name, =, and values")
    if ":" in values:
        return Axis(name, _range(text, values))
    return Axis(name, _listed(text, values))


def _listed(text: str, values: str) -> list[Value]:
    texts = values.split(",")
    if not all(part.strip() for part in texts):
        raise _malformed(text, "a value is empty")
    return typed_alike(texts)


def _range(text: str, values: str) -> list[Value]:
    parts = [typed(part) for part in values.split(":")]
    if len(parts) != 3:
        raise _malformed(text, "a range has three parts, start:stop:count")
    start, stop, count = parts
    if isinstance(start, str) or isinstance(stop, str) or not (math.isfinite(start) and math.isfinite(stop)):
        raise _malformed(text, "start and stop must be numbers")
    if not isinstance(count, int) or not 1 <= count <= MAX_VALUES:
        raise _malformed(text, f"the count must be a whole number from 1 to {MAX_VALUES:,}")
    return _spaced(start, stop, count)


def _spaced(start: float, stop: float, count: int) -> list[Value]:
    """``count`` values with both ends included; ints where the ends are ints and the steps are whole."""
    if count == 1:
        return [start]
    steps, width = count - 1, stop - start
    if isinstance(width, int) and width % steps == 0:
        return [start + width // steps * step for step in range(count)]
    return [*(start + width * step / steps for step in range(steps)), float(stop)]


def _malformed(text: str, why: str) -> WrongInput:
    return WrongInput(
        f"--grid {text}: {why}. Write name=1,2,5 or name=0:1:50 (start:stop:count, ends included)."
    )
