"""Parameters that are lists, mappings and arrays: what an annotation says of their items."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

_LISTS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: set,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class CollectionType(NamedTuple):
    """``kind``: the class in the annotation, ``items``: the annotations in its brackets."""

    kind: Any
    items: tuple[Any, ...]

    def made(self, value: list[Any] | dict[str, Any], item: Callable[[Any, Any], Any]) -> Any:
        """``value`` as this collection; ``item`` makes a value of an annotation. Raises ValueError, TypeError."""
        if self.kind in _MAPPINGS:
            return self._mapping(value, item)
        if not isinstance(value, list):
            raise TypeError(value)
        if self._is_array():
            return _array(value)
        items = [item(one, part) for one, part in zip(self._each(len(value)), value, strict=True)]
        return _LISTS[self.kind](items)

    def _mapping(self, value: Any, item: Callable[[Any, Any], Any]) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise TypeError(value)
        name, inside = self.items if len(self.items) == 2 else (Any, Any)
        return {item(name, key): item(inside, part) for key, part in value.items()}

    def _each(self, count: int) -> list[Any]:
        """Return the annotation of each item: a tuple's may differ. Raises ValueError for a wrong number of them."""
        if self.kind is not tuple or self.items[1:] == (...,):
            return [self.items[0] if self.items else Any] * count
        if self.items and len(self.items) != count:
            raise ValueError(count)
        return list(self.items) or [Any] * count

    def _is_array(self) -> bool:
        return self.kind not in _LISTS


def collection_of(member: Any) -> CollectionType | None:
    """Return what a member of an annotation says of its items; None if it is no collection."""
    kind = typing.get_origin(member) or member
    known = isinstance(kind, type) and (kind in _LISTS or kind in _MAPPINGS or _is_array(kind))
    return CollectionType(kind, typing.get_args(member)) if known else None


def _is_array(kind: type) -> bool:
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray"


def _array(value: list[Any]) -> Any:
    import numpy  # whose annotation it is

    made = numpy.array(value)
    if made.dtype.kind == "O":
        raise ValueError(value)
    return made
