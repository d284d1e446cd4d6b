"""``--grid`` and ``--set``: one swept parameter. Text in, values out; the only I/O is to look for files.

``name=1,2,5``: these values (quotes hold a comma: ``name='"a, b",c'``). ``name=0:1:50``: start:stop:count, both ends
included; ``name=1:1000:4:log``: the same with equal ratios. ``name=1..10`` and ``name=0..1..0.25``: first..last, with
a step. ``name=data/*.csv``: the files that match, sorted.
"""

from __future__ import annotations

import csv
import glob
import math
import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.annotations import Conversion, Parameters
from compute_executor.sweeps.values import Value, cell, typed, typed_alike

MAX_VALUES = 1_000_000_000
"""Values of a range, which are made one at a time."""
HELD = 10_000
"""Values of a range up to which they are made at once."""

_STEPPED = re.compile(r"([^.]+(?:\.[^.]+)?)\.\.([^.]+(?:\.[^.]+)?)(?:\.\.(.+))?")


class Axis(NamedTuple):
    """A parameter and the values it takes, in the order given."""

    name: str
    values: Sequence[Value]


class _Generated(Sequence[Value]):
    """``count`` values, each made when it is asked for: a range of any length takes no memory."""

    def __init__(self, count: int, at: Callable[[int], Value]) -> None:
        self._count, self._at = count, at

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        if not 0 <= place < self._count:
            raise IndexError(place)
        return self._at(place)


def _made(count: int, at: Callable[[int], Value]) -> Sequence[Value]:
    generated = _Generated(count, at)
    return list(generated) if count <= HELD else generated


def parse_axis(text: str, parameters: Parameters | None = None) -> Axis:
    """Return the axis that one ``--grid`` asks for, with values as ``parameters`` annotates them. Raises
    InvalidRequest.

    >>> parse_axis("rate=1,2,5")
    Axis(name='rate', values=[1, 2, 5])
    >>> parse_axis("rate=0:1:5")
    Axis(name='rate', values=[0.0, 0.25, 0.5, 0.75, 1.0])
    >>> parse_axis("n=1..10..3"), parse_axis("n=1:1000:4:log")
    (Axis(name='n', values=[1, 4, 7, 10]), Axis(name='n', values=[1.0, 10.0, 100.0, 1000.0]))
    """
    name, values = _named(text, "--grid")
    convert = parameters.converter(name) if parameters else None
    textual = parameters is not None and parameters.textual(name)
    try:
        return Axis(name, _values(values, convert, textual))
    except InvalidRequest as error:
        raise InvalidRequest(
            f"--grid {text}: {error.message}. Write name=1,2,5 or name=0:1:50 (start:stop:count, ends included)."
        ) from error


def parse_constant(text: str, parameters: Parameters | None = None) -> Axis:
    """Return the axis of one value that ``--set name=value`` asks for: all of the text after the first ``=``."""
    name, value = _named(text, "--set")
    convert = (parameters.converter(name) if parameters else None) or typed
    try:
        return Axis(name, [convert(value)])
    except InvalidRequest as error:
        raise InvalidRequest(f"--set {text}: {error.message}") from error


def _named(text: str, option: str) -> tuple[str, str]:
    name, equals, values = text.partition("=")
    name = name.strip()
    if not equals or not name.isidentifier():
        raise InvalidRequest(f"{option} {text}: it must be a parameter name, =, and values")
    return name, values


def _values(text: str, convert: Conversion | None, textual: bool) -> Sequence[Value]:
    if convert is not None and convert.collection is not None and text.lstrip()[:1] in ("[", "{"):
        return convert.each(text)
    if any(letter in text for letter in "*?["):
        return _converted(_files(text), convert or str)
    made = None if textual else _sequence(text)
    if made is not None:
        return made if convert is None else _fitting(made, convert)
    texts = _split(text)
    return typed_alike(texts) if convert is None else _converted(texts, convert)


def _converted(texts: Iterable[str], convert: Callable[[str], Value]) -> list[Value]:
    return [convert(text) for text in texts]


def _fitting(made: Sequence[Value], convert: Conversion) -> Sequence[Value]:
    """Return a range as the parameter's annotation wants it. A long one that is right as it is is not made at
    once."""
    ends = [made[0], made[len(made) // 2], made[len(made) - 1]]
    if len(made) > HELD and all(_same(convert(cell(value)), value) for value in ends):
        return made
    return _converted(map(cell, made), convert)


def _same(one: Value, other: Value) -> bool:
    return type(one) is type(other) and bool(one == other)


def _sequence(text: str) -> Sequence[Value] | None:
    """Return a range; None if the text is a list of values."""
    if ":" in text:
        return _range(text)
    stepped = _STEPPED.fullmatch(text)
    return _steps(*stepped.groups()) if stepped else None


def _files(pattern: str) -> list[str]:
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        raise InvalidRequest("no file matches")
    return found


def _split(text: str) -> list[str]:
    texts = next(csv.reader([text], skipinitialspace=True), []) if '"' in text else text.split(",")
    if not texts or not all(part.strip() for part in texts):
        raise InvalidRequest("a value is empty")
    return [part.strip() for part in texts]


def _range(text: str) -> Sequence[Value]:
    parts = [part.strip() for part in text.split(":")]
    logarithmic = len(parts) == 4 and parts[3] == "log"
    if len(parts) != 3 and not logarithmic:
        raise InvalidRequest("a range has three parts, start:stop:count, and may end in :log")
    start, stop, count = _number(parts[0]), _number(parts[1]), typed(parts[2])
    if type(count) is not int or not 1 <= count <= MAX_VALUES:
        raise InvalidRequest(f"the count must be a whole number from 1 to {MAX_VALUES:,}")
    if logarithmic:
        return _ratios(start, stop, count)
    return _spaced(start, stop, count)


def _number(text: str) -> float:
    value = typed(text)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise InvalidRequest("start and stop must be numbers")
    return value  # type: ignore[no-any-return]  # it has just been looked at


def _spaced(start: float, stop: float, count: int) -> Sequence[Value]:
    """``count`` values with both ends included; ints where the ends are ints and the steps are whole."""
    if count == 1:
        return [start]
    steps, width = count - 1, stop - start
    if isinstance(width, int) and width % steps == 0:
        return _made(count, lambda step: start + width // steps * step)
    return _made(count, lambda step: float(stop) if step == steps else start + width * step / steps)


def _ratios(start: float, stop: float, count: int) -> Sequence[Value]:
    """``count`` floats with both ends included, each the same number of times the one before."""
    if not (start > 0 and stop > 0):
        raise InvalidRequest("a :log range needs a start and a stop above zero")
    if count == 1:
        return [float(start)]
    first, last = math.log10(start), math.log10(stop)
    ends = {0: float(start), count - 1: float(stop)}
    return _made(
        count,
        lambda step: ends[step] if step in ends else 10 ** (first + (last - first) * step / (count - 1)),
    )


def _steps(first: str, last: str, step: str | None) -> Sequence[Value] | None:
    """``first..last..step``, exactly as written: 0..1..0.1 has 0.3 and not 0.30000000000000004."""
    numbers = [typed(part) for part in (first, last, step or "1")]
    if any(type(number) not in (int, float) or not math.isfinite(number) for number in numbers):
        return None  # a word with dots, ../data say
    start, stop, width = (Fraction(part.strip()) for part in (first, last, step or "1"))
    if not width or (stop - start) / width < 0:
        raise InvalidRequest("the step does not lead from the first value to the last")
    count = int((stop - start) / width) + 1
    if count > MAX_VALUES:
        raise InvalidRequest(f"the count must be a whole number from 1 to {MAX_VALUES:,}")
    kind = int if all(type(number) is int for number in numbers) else float
    return _made(count, lambda place: kind(start + width * place))
