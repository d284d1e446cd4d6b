"""Text, and the values of documents, to what the annotation of a parameter asks for.

An annotation that is not known here (or none) gives no conversion; then the text decides (:mod:`.values`).
"""

from __future__ import annotations

import contextlib
import inspect
import json
import typing
from collections.abc import Callable, Iterable
from typing import Any, Optional

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps import converters
from compute_executor.sweeps.collection_types import CollectionType, collection_of
from compute_executor.sweeps.values import Value, cell, floating, typed, unescaped


class Conversion:
    """What makes values of the parameter ``name``, called with a text. Raises InvalidRequest for what does not
    fit."""

    def __init__(self, name: str, annotation: Any, read: converters.Reader) -> None:
        self._name, self._annotation, self._read = name, annotation, read
        self._members = converters.members(annotation)
        self.collection: CollectionType | None = next(filter(None, map(collection_of, self._members)), None)

    def __call__(self, text: str) -> Value:
        """Return the value of a text."""
        stripped = text if str in self._members else text.strip()
        return self._told(stripped, lambda: self._read(stripped))

    def of(self, value: Value) -> Value:
        """Return the value of one that a document brings with its type, which must be that of the annotation, or one
        whose text stands for it: ``1`` for a float, ``"2026-01-02"`` for a date."""
        if type(value) in self._members:
            return value
        if isinstance(value, (list, dict)) and self.collection is not None:
            collection = self.collection
            return self._told(value, lambda: collection.made(value, _item))
        if isinstance(value, str):
            return self(value)
        if isinstance(value, (list, dict)) or (value is None and not converters.is_choice(self._members)):
            raise self._refused(value)
        if isinstance(value, bool) and str in self._members:
            raise self._refused(value)
        return self("null" if value is None else unescaped(cell(value)))

    def each(self, text: str) -> list[Value]:
        """Return the values of a list of collections: ``[1, 2], [3]``."""
        try:
            found = json.loads(f"[{text}]", parse_float=floating)
        except ValueError as error:
            raise self._refused(text) from error
        return [self.of(value) for value in found]

    def _told(self, value: Value, make: Callable[[], Value]) -> Value:
        try:
            return make()
        except InvalidRequest:
            raise
        except (ValueError, ArithmeticError, TypeError):
            raise self._refused(value) from None

    def _refused(self, value: Value) -> InvalidRequest:
        shown = "null" if value is None else repr(value)
        how = "" if self.collection is None else ' (as JSON: [1, 2] or {"a": 1})'
        return InvalidRequest(f"{self._name} = {shown} is no {converters.shown(self._annotation)}{how}")


class Parameters:
    """The annotations of a function's parameters."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._hints = _hints(function)

    def converter(self, name: str) -> Conversion | None:
        """Return what makes values of parameter ``name``; None where the text decides."""
        return _conversion(name, self._hints.get(name))

    def whole(self, name: str) -> bool:
        """Return whether parameter ``name`` is annotated as an int."""
        members = converters.members(self._hints.get(name))
        return int in members and float not in members

    def textual(self, name: str) -> bool:
        """Return whether a colon in a value of ``name`` is a letter of it, not a range: a str, a Path, a date."""
        annotation = self._hints.get(name)
        return self.converter(name) is not None and not converters.is_number(annotation)


def _conversion(name: str, annotation: Any) -> Conversion | None:
    read = None if annotation is None else _reader(annotation)
    return None if read is None else Conversion(name, annotation, read)


def _item(annotation: Any, value: Value) -> Value:
    """Return a value inside a collection."""
    conversion = _conversion("an item", annotation)
    return value if conversion is None else conversion.of(value)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    annotated: Any = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    if not isinstance(annotated, type) and not inspect.isroutine(annotated):
        annotated = getattr(annotated, "func", getattr(annotated, "__call__", annotated))  # noqa: B004
    with contextlib.suppress(Exception):  # annotations are any code; without them the text decides
        hints = typing.get_type_hints(annotated)
        return {**hints, **{name: Optional[hints[name]] for name in _none(annotated) if name in hints}}  # noqa: UP045
    return {}


def _none(function: Callable[..., Any]) -> list[str]:
    """Return the parameters whose default is None: whatever their annotation says, they may be."""
    return [one.name for one in inspect.signature(function).parameters.values() if one.default is None]


def _reader(annotation: Any) -> converters.Reader | None:
    """Return what makes a value of a text; raises ValueError and the like. None for an annotation that is not
    known."""
    members = converters.members(annotation)
    if len(members) == 1:
        return _one(members[0])
    return _union(members)


def _one(member: Any) -> converters.Reader | None:
    collection = collection_of(member)
    return converters.reader(member) if collection is None else _in_json(collection)


def _in_json(collection: CollectionType) -> converters.Reader:
    def read(text: str) -> Value:
        found = json.loads(text, parse_float=floating)
        if not isinstance(found, (list, dict)):
            raise TypeError(text)
        return collection.made(found, _item)

    return read


def _union(members: tuple[Any, ...]) -> converters.Reader | None:
    """Return each member in turn, a str last: it takes any text. A text that reads as just one of the members is
    that."""
    ordered = sorted((m for m in members if m is not type(None)), key=lambda member: member is str)
    if int in members and not {float, str}.isdisjoint(members):  # the int in 1e3 and 2.0 is theirs
        ordered = [member for member in ordered if member is not int]
    known = [found for found in map(_one, ordered) if found is not None]
    if not known:
        return None
    others = len(known) < len(ordered)  # of which any text may be one

    def read(text: str) -> Value:
        if type(None) in members and text.lower() in ("null", "none"):
            return None
        plain = _plain(text)
        if type(plain) in members and type(plain) in (bool, int, float):
            return plain
        return _first(known, text) if not others else _first([*known, typed], text)

    return read


def _plain(text: str) -> Value:
    with contextlib.suppress(InvalidRequest):
        return typed(text)
    return None


def _first(readers: Iterable[converters.Reader], text: str) -> Value:
    for read in readers:
        with contextlib.suppress(ValueError, ArithmeticError, TypeError):
            return read(text)
    raise ValueError(text)
