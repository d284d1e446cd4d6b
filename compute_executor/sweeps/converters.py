"""Text to a value of one type: what the members of an annotation make of it."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import pathlib
import re
import types
import typing
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Union

from compute_executor.sweeps.values import floating, typed

Reader = Callable[[str], Any]
"""Makes the value of a text. Raises ValueError, ArithmeticError or TypeError if it does not fit."""

_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_NUMBERS = (int, float, complex, decimal.Decimal, fractions.Fraction)
_CLOCK = re.compile(
    r"(?P<sign>-)?(?:(?P<days>\d+) days?,? ?)?"
    r"(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d(?:\.\d{1,6})?)",
    re.ASCII,
)
_ISO = re.compile(
    r"(?P<sign>-)?P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a value may have, those of a union one by one, without what only names or comments
    them."""
    annotation = getattr(annotation, "__supertype__", annotation)  # a NewType
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return members(typing.get_args(annotation)[0])
    if origin is Union or origin is getattr(types, "UnionType", Union):
        return tuple(dict.fromkeys(one for part in typing.get_args(annotation) for one in members(part)))
    return (annotation,)


def reader(member: Any) -> Reader | None:
    """Return what makes a value of a member; None if it is not known."""
    if typing.get_origin(member) is typing.Literal:
        return _one_of({_text(option): option for option in typing.get_args(member)})
    if not _is_class(member):
        return None
    if issubclass(member, enum.Enum):
        return _enumerated(member)
    if issubclass(member, pathlib.PurePath):
        path: Reader = member
        return path
    return _READERS.get(member) or _of_numpy(member)


def is_number(annotation: Any) -> bool:
    """Return whether a value may be a number, or one of given ones: a range of numbers then makes sense."""
    return any(_is_number(member) for member in members(annotation))


def is_choice(found: tuple[Any, ...]) -> bool:
    """Return whether an annotation lists its values."""
    return any(typing.get_origin(member) is typing.Literal for member in found)


def shown(annotation: Any) -> str:
    """Return an annotation for a person."""
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return f"{annotation.__name__} ({', '.join(annotation.__members__)})"
    return annotation.__name__ if _is_class(annotation) else str(annotation).replace("typing.", "")


def _is_class(member: Any) -> bool:
    """Return whether it is a class; in Python 3.10 ``list[int]`` is one, too, of which nothing can be a subclass."""
    return isinstance(member, type) and typing.get_origin(member) is None


def _is_number(member: Any) -> bool:
    if typing.get_origin(member) is typing.Literal:
        return not any(isinstance(option, str) for option in typing.get_args(member))
    if not _is_class(member):
        return False
    if issubclass(member, enum.Enum):
        return not any(isinstance(one.value, str) for one in member)
    return issubclass(member, _NUMBERS) or _kind(member) in ("b", "i", "u", "f", "c")


def _one_of(options: dict[str, Any]) -> Reader:
    folded = {name: value for name, value in options.items() if value is None or isinstance(value, bool)}
    if "null" in folded:
        folded["none"] = None

    def read(text: str) -> Any:
        if text in options:
            return options[text]
        return _known(folded, text)

    return read


def _known(options: dict[str, Any], text: str) -> Any:
    if text.lower() not in options:
        raise ValueError(text)
    return options[text.lower()]


def _text(option: Any) -> str:
    """Return how an option is written on the command line."""
    if option is None:
        return "null"
    return str(option).lower() if isinstance(option, bool) else str(option)


def _enumerated(kind: type[enum.Enum]) -> Reader:
    """By value or by name, which goes before; flags also as ``READ|WRITE``."""
    one = _one_of({**{_text(member.value): member for member in kind}, **dict(kind.__members__)})
    if not issubclass(kind, enum.Flag):
        return one

    def read(text: str) -> Any:
        found = kind(0)
        for part in text.split("|") if text != "0" else ():
            found |= one(part.strip())
        return found

    return read


def _bool(text: str) -> bool:
    return bool(_known(_TRUTH, text))


def _int(text: str) -> int:
    value = typed(text)
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(decimal.Decimal(text))
    raise ValueError(text)


def _strict(kind: Callable[[str], Any]) -> Reader:
    """Without what only Python's source has: ``1_000``, or digits of other scripts."""

    def read(text: str) -> Any:
        if "_" in text or not text.isascii():
            raise ValueError(text)
        return kind(text)

    return read


def _nothing(text: str) -> None:
    if text.lower() not in ("null", "none"):
        raise ValueError(text)


def _moment(text: str) -> datetime.datetime:
    # Python 3.10 knows no Z
    return datetime.datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)


def _duration(text: str) -> datetime.timedelta:
    """``1:30:00``, ``2 days, 0:00:05``, or ISO 8601 without years and months, whose length is not fixed."""
    found = _CLOCK.fullmatch(text) or (_ISO.fullmatch(text) if text[-1:] not in ("P", "T") else None)
    if found is None:
        raise ValueError(text)
    parts = found.groupdict()
    sign = -1 if parts.pop("sign") else 1
    return sign * datetime.timedelta(
        **{name: float(part) if "." in part else int(part) for name, part in parts.items() if part}
    )


def _unwritten(text: str) -> Any:
    """Of what no text stands for."""
    raise ValueError(text)


def _is_numpy(member: type) -> bool:
    return member.__module__ == "numpy" and any(one.__name__ == "generic" for one in member.__mro__)


def _kind(member: type) -> str:
    """Return the letter of a scalar type of numpy; empty for others, and for those that stand for many
    (``floating``)."""
    if not _is_numpy(member) or member.__subclasses__():
        return ""
    import numpy  # whose type it is

    return numpy.dtype(member).kind


def _of_numpy(member: type) -> Reader | None:
    """Return numbers and times of numpy. What one cannot hold is refused."""
    kind = _kind(member)
    if kind in ("M", "m", "U"):
        return member
    read = {"b": _bool, "i": _int, "u": _int, "f": floating, "c": _strict(complex)}.get(kind)
    if read is None:
        return None

    def convert(text: str) -> Any:
        import numpy  # whose type it is

        value = read(text)
        if kind in ("i", "u") and not numpy.iinfo(member).min <= value <= numpy.iinfo(member).max:
            raise OverflowError(f"{value} is outside of {member.__name__}")  # numpy 1 would wrap around
        with numpy.errstate(over="raise"):
            return member(value)

    return convert


_READERS: dict[type, Reader] = {
    bool: _bool,
    int: _int,
    float: floating,
    str: str,
    complex: _strict(complex),
    decimal.Decimal: _strict(decimal.Decimal),
    fractions.Fraction: _strict(fractions.Fraction),
    datetime.date: datetime.date.fromisoformat,
    datetime.datetime: _moment,
    datetime.time: datetime.time.fromisoformat,
    datetime.timedelta: _duration,
    uuid.UUID: uuid.UUID,
    bytes: _unwritten,
    bytearray: _unwritten,
    type(None): _nothing,
}
