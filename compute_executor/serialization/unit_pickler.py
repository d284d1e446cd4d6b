"""Writes what belongs to a program: units, and functions that are no globals."""

from __future__ import annotations

from collections.abc import Mapping
from types import CellType, FunctionType
from typing import Any, NamedTuple

from compute_executor.serialization import by_value, per_process, views
from compute_executor.serialization.namespaces import Loan, Name
from compute_executor.serialization.pickler import EmptyCell, Owner, Pickler


def is_function_of(obj: Any, names: dict[str, Any]) -> bool:
    """Return whether it is a function that finds its globals there."""
    return type(obj) is FunctionType and obj.__globals__ is names


class Place(NamedTuple):
    """Where the values of a stream are from. ``own``: the names whose values it is to hold; ``key``, ``names``: their
    namespace; ``named``: its objects, by id; ``loans``: what is in another unit, by id."""

    own: tuple[Name, ...]
    key: str
    names: dict[str, Any]
    named: Mapping[int, str]
    loans: Mapping[int, Loan]


class NamingPickler(Pickler):
    """Writes what belongs to the program. In it, whatever object is another global is referred to by that name: lists
    and dicts too, which `reducer_override` never sees. So is what other globals share with it."""

    def __init__(self, file: Any, owner: Owner, place: Place) -> None:
        super().__init__(file, owner, place.own)
        self._place = place
        self._lent = dict(place.loans)

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        """Return the global name of an object, an empty one for the namespace itself; or where it is lent; None: it
        is written here."""
        identity = id(obj)  # asked about every object that is written: two look-ups for most
        short = self._place.named.get(identity)
        if short is None and identity not in self._lent:
            return self._other_namespace(obj) if type(obj) is dict and "__builtins__" in obj else None
        return self._reference_to(obj, short)

    def _other_namespace(self, names: dict[str, Any]) -> tuple[Any, ...] | None:
        """Return a dict that is the namespace of functions: of `exec`, or of a module. None: there are no functions
        in it by which it is found, and it is a dict like others."""
        module = by_value.module_of(names)
        if module is not None and by_value.travels_by_name(module):
            return "", f"{module.__name__}.__dict__"
        example = next((one for one in list(names.values()) if is_function_of(one, names)), None)
        if module is None and example is None:
            return None
        return self._namespace_itself(self._owner.space(names, module, example), names)

    def _reference_to(self, obj: Any, short: str | None) -> tuple[Any, ...] | None:
        place = self._place
        loan = self._lent.get(id(obj))
        if loan is not None:
            return self._borrowed(loan)
        if obj is place.names:
            return self._namespace_itself(place.key, place.names)
        if short is not None and "." in short:
            return "", short
        if short is None or (not self._own and isinstance(obj, (FunctionType, type))):
            return None
        name = place.key, short
        if name in self._own:
            return self._other_namespace(obj) if type(obj) is dict and "__builtins__" in obj else None
        self._owner.need(name, place.names)
        self.direct.add(name)
        self.edges[name] = None
        return name

    def _borrowed(self, loan: Loan) -> tuple[Any, ...]:
        self._owner.borrow(loan.name)
        self.direct.add(loan.name)
        self.edges[loan.name] = None
        return *loan.name, loan.number

    def _namespace_itself(self, key: str, names: dict[str, Any]) -> Name:
        """Return the dict of globals, as the value of something: what is in it is needed, if it can be had."""
        for short in list(names):
            if not short.startswith("__"):
                self.edges[key, short] = None
                self._owner.need((key, short), names, optional=True)
        return key, ""

    def _cell(self, cell: CellType) -> EmptyCell:
        made = super()._cell(cell)
        loan = self._place.loans.get(id(cell))
        if loan is not None:
            self._lent[id(made)] = loan
        return made

    def _contents(self, cell: CellType) -> tuple[Any, ...]:
        return () if id(cell) in self._place.loans else super()._contents(cell)


class UnitPickler(NamingPickler):
    """Writes a unit."""

    def reducer_override(self, obj: Any) -> Any:
        """As in any stream; what each process has of its own; and what shows another object."""
        reduced = per_process.reduce(obj) or views.reduce(obj, self._place.names.values())
        return super().reducer_override(obj) if reduced is None else self.hold(obj, reduced)
