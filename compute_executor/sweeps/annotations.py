"""Text to a value by the annotation of the parameter that takes it.

An annotation that is not known here (or none) gives no converter; then the text decides (:mod:`.values`).
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import enum
import fractions
import inspect
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any, Union

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.values import floating, typed

Converter = Callable[[str], Any]
"""Makes the value of a text. Raises ValueError if it does not fit."""

_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_TEXTUAL = (str, pathlib.PurePath, datetime.date, datetime.time)


class Parameters:
    """The annotations of a function's parameters."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._hints = _hints(function)

    def converter(self, name: str) -> Converter | None:
        """What makes values of parameter ``name``; None where the text decides. The converter raises
        InvalidRequest."""
        annotation = self._hints.get(name)
        found = None if annotation is None else _converter(annotation)
        if found is None:
            return None

        def convert(text: str) -> Any:
            try:
                return found(text.strip())
            except InvalidRequest:
                raise
            except ValueError:
                raise InvalidRequest(f"{name} = {text.strip()!r} is no {_shown(annotation)}") from None

        return convert

    def whole(self, name: str) -> bool:
        """Whether parameter ``name`` is annotated as an int."""
        members = typing.get_args(self._hints.get(name)) or (self._hints.get(name),)
        return int in members and float not in members

    def textual(self, name: str) -> bool:
        """Whether a colon in a value of ``name`` is a letter of it, not a range: a str, a Path, a date."""
        annotation = self._hints.get(name)
        members = typing.get_args(annotation) or (annotation,)
        return any(isinstance(member, type) and issubclass(member, _TEXTUAL) for member in members)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    annotated: Any = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    if not isinstance(annotated, type) and not inspect.isroutine(annotated):
        annotated = getattr(annotated, "func", getattr(annotated, "__call__", annotated))  # noqa: B004
    with contextlib.suppress(Exception):  # annotations are any code; without them the text decides
        return typing.get_type_hints(annotated)
    return {}


def _converter(annotation: Any) -> Converter | None:
    annotation = getattr(annotation, "__supertype__", annotation)  # a NewType
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return _one_of({_text(option): option for option in typing.get_args(annotation)})
    if origin is Union or origin is getattr(types, "UnionType", Union):
        return _union(typing.get_args(annotation))
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, enum.Enum):
        return _one_of({**{_text(m.value): m for m in annotation}, **dict(annotation.__members__)})
    return _CONVERTERS.get(annotation) or _constructor(annotation)


def _constructor(annotation: type) -> Converter | None:
    if issubclass(annotation, pathlib.PurePath):
        return annotation
    return None


def _one_of(options: dict[str, Any]) -> Converter:
    def convert(text: str) -> Any:
        if text in options:
            return options[text]
        folded = {name: value for name, value in options.items() if value is None or isinstance(value, bool)}
        if text.lower() in folded:
            return folded[text.lower()]
        raise ValueError(text)

    return convert


def _text(option: Any) -> str:
    """How an option is written on the command line."""
    if option is None:
        return "null"
    return str(option).lower() if isinstance(option, bool) else str(option)


def _union(members: tuple[Any, ...]) -> Converter | None:
    """Each member in turn, a str last: it takes any text."""
    ordered = sorted((m for m in members if m is not type(None)), key=lambda member: member is str)
    converters = [_converter(member) for member in ordered]
    if None in converters:
        return None

    def convert(text: str) -> Any:
        if type(None) in members and text.lower() in ("null", "none"):
            return None
        for one in converters:
            with contextlib.suppress(ValueError):
                return one(text)  # type: ignore[misc]  # none is None
        raise ValueError(text)

    return convert


def _bool(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError(text)
    return _TRUTH[text.lower()]


def _int(text: str) -> int:
    value = typed(text)
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(decimal.Decimal(text))
    raise ValueError(text)


def _decimal(text: str) -> decimal.Decimal:
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise ValueError(text) from None


def _shown(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return f"{annotation.__name__} ({', '.join(annotation.__members__)})"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


_CONVERTERS: dict[type, Converter] = {
    bool: _bool,
    int: _int,
    float: floating,
    str: str,
    complex: complex,
    decimal.Decimal: _decimal,
    fractions.Fraction: fractions.Fraction,
    datetime.date: datetime.date.fromisoformat,
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
}
