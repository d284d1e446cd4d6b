"""Units that are being written."""

from __future__ import annotations

import gc
import logging
import re
import sys
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from compute_executor.serialization import by_value
from compute_executor.serialization.large import Part
from compute_executor.serialization.namespaces import Loan, Name
from compute_executor.serialization.pickler import Pickler

VALUES = frozenset(
    {str, bytes, int, float, complex, bool, type(None), tuple, frozenset, type(Ellipsis), range}
    | {CodeType, BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType}
)
_PLAIN = VALUES - {tuple, frozenset}
BY_NAME = (ModuleType, logging.Logger, re.Pattern)
_OF_A_PLAIN_ONE = 4
"""References to the value of a global: its namespace, the tuple of values, two callers."""


def may_hold(obj: Any) -> bool:
    """Return whether a tuple or frozenset may have something in it that changes. Those of numbers and text have
    not."""
    return type(obj) in (tuple, frozenset) and any(type(one) not in _PLAIN for one in obj)


class Draft:
    """A unit that is being written. Without names: the stream itself."""

    def __init__(self, names: tuple[Name, ...], asked_by: Name | None) -> None:
        self.names = names
        self.optional = False
        self.asked_by = asked_by
        self.stream = self.key = b""
        self.direct: set[Name] = set()
        self.edges: tuple[Name, ...] = ()
        self.sources: Any = ()
        self.parts: tuple[Part, ...] = ()
        self.loans: dict[int, Loan] = {}
        """What is in another unit, by id."""
        self.inner: dict[int, Any] = {}
        """What is in it and may change, or is known by its identity, by id."""
        self.numbers: dict[int, int] = {}
        """The number of each in the stream."""
        self.outside: set[int] = set()
        """Those to which something else may refer."""

    def note(self, pickler: Pickler) -> None:
        """Take down what a pickler has written."""
        self.direct = pickler.direct
        self.edges = tuple(sorted(pickler.edges))
        self.sources = pickler.sources.record()
        written = pickler.numbers()
        objects = [one for _, one in written.values()]
        self.numbers = {identity: number for identity, (number, _) in written.items()}
        del written
        self.inner = _changeable(objects, pickler.held)
        self.outside = seen_from_outside(self.inner, objects, pickler.held)

    def note_plain(self, value: Any) -> None:
        """Take down that nothing but this one may change."""
        self.inner = {id(value): value}
        self.numbers = {id(value): 0}
        if sys.getrefcount(value) > _OF_A_PLAIN_ONE + 1:
            self.outside = {id(value)}


def _changeable(objects: list[Any], held: dict[int, Any]) -> dict[int, Any]:
    """Return what may change, or is known by its identity, by id."""
    found = {}
    for obj in objects:
        kind: Any = type(obj)
        if isinstance(obj, (type, FunctionType, *BY_NAME)) or (kind in VALUES and not may_hold(obj)):
            continue
        if isinstance(obj, Enum):
            continue  # the same member is found in the same class
        if kind.__hash__ is not None and kind.__eq__ is not object.__eq__ and by_value.importable(kind):
            continue  # equal is as good as the same
        found[id(obj)] = obj
    found.update(held)
    return found


_OWN_REFERENCES = 4
"""To an object: the dictionary in which it comes, the list of what is inside, the pickler, and the question."""


def seen_from_outside(objects: Mapping[int, Any], inside: list[Any], held: Mapping[int, Any]) -> set[int]:
    """Return the ids of those objects to which something refers that is not inside. ``held``: those that the pickler
    holds. One that is wrongly taken for such an object costs a search; one that is not noticed, its being shared."""
    counts = Counter(map(id, gc.get_referents(*inside, *_closures(inside))))
    return {
        identity
        for identity in objects
        if sys.getrefcount(objects[identity]) > _OWN_REFERENCES + counts[identity] + _is_held(identity, held)
    }


def _is_held(identity: int, held: Mapping[int, Any]) -> bool:
    """Return whether there is one more reference. What a pickler writes is another object for a cell."""
    return identity in held and type(held[identity]) is not CellType


def _closures(inside: list[Any]) -> list[Any]:
    return [one.__closure__ for one in inside if type(one) is FunctionType and one.__closure__]
