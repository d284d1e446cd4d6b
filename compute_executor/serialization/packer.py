"""Streams of what has functions and classes by value in it: the units that it needs, then the object itself.

A *unit* is the value of a global name, pickled alone; an object that several of them share is in one of them
(`sharing`). Names whose values refer to each other in a circle are one unit. The *key* of a unit follows from the
content of it and of all that its objects refer to; what its code looks up by name is not in it, for that is looked up
when it runs.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import sys
from collections.abc import Collection, Mapping
from types import (
    FunctionType,
    ModuleType,
)
from typing import Any

from compute_executor.serialization import (
    buffers,
    by_value,
    code_names,
    namespaces,
    per_process,
    reading,
    sharing,
    tokens,
    well_known,
)
from compute_executor.serialization.buffers import BufferSink, Keep, with_buffers
from compute_executor.serialization.content import HEAD, binary
from compute_executor.serialization.drafts import BY_NAME, VALUES, Draft, may_hold
from compute_executor.serialization.large import Content, Part, Piece, Sink, parts_of, whole
from compute_executor.serialization.namespaces import MAIN, Loan, Name, Unit
from compute_executor.serialization.pickler import PROTOCOL, Owner, Pickler
from compute_executor.serialization.unit_pickler import NamingPickler, Place, UnitPickler

_SMALL = 64 * 1024
_BASE = ("__name__", "__package__", "__file__")


class Unserializable(Exception):
    """A global that cannot be pickled. ``way``: its name, then who refers to it, one after the other."""

    def __init__(self, value: Any, way: list[str], error: BaseException) -> None:
        super().__init__(str(error))
        self.value = value
        self.way = way
        self.error = error


class Packer(Owner):
    """One stream and its units. ``main``: whose program it belongs to, see `namespaces.Table`. ``keep``: makes parts
    of large buffers; ``base``: where in its file the stream will begin."""

    def __init__(self, main: bytes | None = None, keep: Keep | None = None, base: int = 0) -> None:
        self._main = main
        self._keep = keep
        self._base = base
        self._parts: list[Part] = []
        self._names: dict[str, dict[str, Any]] = {}
        self._keys: dict[int, str] = {}
        self._drafts: dict[Name, Draft] = {}
        self._absent: dict[Name, None] = {}
        self._waiting: list[Draft] = []
        self._needed: dict[Name | None, dict[Name, None]] = {}
        """What each name, and the stream itself (None), cannot do without."""
        self._failures: dict[Name, tuple[Draft, Any, BaseException]] = {}
        self._asking: Name | None = None
        self._by_id: dict[str, dict[int, str]] = {}
        self._root: tuple[Any, FunctionType | None] = None, None

    def pack(self, obj: Any, function: FunctionType | None = None) -> Content:
        """Return the stream of ``obj``. ``function``: the one that it is, or holds; then objects that this function
        shares with globals of the program are those. Raises what pickle raises; Unserializable for a global that is
        needed."""
        draft = Draft((), None)
        self._root = obj, function
        sink, pickler = self._dump_root(draft, {})
        if self._names:
            self._write_all(None if function is None else draft)
            if draft.loans:
                sink, pickler = self._dump_root(draft, draft.loans)
        stream: Content = sink.pieces
        if self._names:
            stream = self._joined(sink.pieces, pickler.sources.record())
        elif len(sink.pieces) == 1:
            stream = bytes(sink.pieces[0])
        return with_buffers(stream, sink.taken, self._base, self._keep, self._all_parts())

    def _dump_root(self, draft: Draft, loans: dict[int, Loan]) -> tuple[BufferSink, Pickler]:
        sink = BufferSink()
        obj, function = self._root
        if function is None:
            pickler = Pickler(sink, self)
            pickler.dump(obj)
        else:
            pickler = NamingPickler(sink, self, self._place_of(function, loans))
            pickler.dump(obj)
            draft.note(pickler)
        return sink, pickler

    def _place_of(self, function: FunctionType, loans: dict[int, Loan]) -> Place:
        names = function.__globals__
        key = self.space(names, by_value.module_of(names), function)
        return Place((), key, names, self._named(key), loans)

    def _all_parts(self) -> list[Part]:
        found = [*self._parts, *(part for draft in self._all() for part in draft.parts)]
        return list({part.name: part for part in found}.values())

    def key_of(self, name: Name) -> bytes:
        """Return the key of the unit that this global would be. Raises as `pack` does."""
        module = by_value.loaded(name[0])
        if module is None or name[1] not in vars(module):
            return b""
        self.space(vars(module), module, None)
        self.need(name, vars(module))
        self._write_all()
        return self._drafts[name].key

    # -- what picklers ask for: Owner ------------------------------------------------------------------------

    def space(self, names: dict[str, Any], module: ModuleType | None, example: FunctionType | None) -> str:
        """Return the key of a namespace: a module's name, or a token."""
        key = self._keys.get(id(names))
        if key is None:
            key = self._keys[id(names)] = tokens.key_of(names, module, example)
            self._names[key] = names
        return key

    def need(self, name: Name, names: dict[str, Any], *, optional: bool = False) -> None:
        """Have a global name travel along, or that there is none. ``optional``: if it can."""
        if not optional:
            self._needed.setdefault(self._asking, {})[name] = None
        if name in self._drafts or name in self._absent or name in self._failures:
            return
        if name[1] in names:
            made = namespaces.unit_of(names[name[1]])
            if made is not None and made[0] == name and made[1].stream:
                self.need_unit(*made)
                return
            draft = self._drafts[name] = Draft((name,), self._asking)
            self._waiting.append(draft)
            for other in _circles.get(name, ()):
                self._look_at(other)
        elif not optional:
            self._absent[name] = None

    def _namespace(self, key: str) -> dict[str, Any] | None:
        """Return the namespace of that key; None: it is gone."""
        if key in self._names:
            return self._names[key]
        names = tokens.find(key)
        module = by_value.loaded(key.strip("<>"))
        if names is None and module is not None:
            names = vars(module)
        if names is not None and self.space(names, module, None) != key:
            return None
        return names

    def _look_at(self, name: Name) -> None:
        """Have a global travel along, if it can, that was sent before."""
        names = self._namespace(name[0])
        if names is not None and name[1] in names:
            self.need(name, names, optional=True)

    def name_of(self, obj: Any, names: dict[str, Any], module: ModuleType | None) -> Name | None:
        """Return the global name that stands for ``obj`` in a namespace."""
        key = self.space(names, module, obj if isinstance(obj, FunctionType) else None)
        short = self._named(key).get(id(obj))
        return None if short is None else (key, short)

    def need_unit(self, name: Name, unit: Unit) -> None:
        """Have a unit travel along that an object here was made from, and what it refers to."""
        if name in self._drafts or not unit.stream:
            return
        self._names.setdefault(name[0], {"__name__": name[0]})
        draft = Draft(unit.names, None)
        draft.stream, draft.key, draft.edges = unit.stream, unit.key, unit.edges
        draft.sources = unit.sources.files
        self._drafts.update(dict.fromkeys(unit.names, draft))
        for other, near in unit.near.items():
            found = near()
            if found is not None:
                self.need_unit(other, found)

    def refer(self, part: Part) -> None:
        """Note a part that has to be kept for the stream."""
        self._parts.append(part)

    def borrow(self, name: Name) -> None:
        """Note that what is being written cannot do without an object in the unit of this name."""
        self._needed.setdefault(self._asking, {})[name] = None

    # -- writing ---------------------------------------------------------------------------------------------

    def _write_all(self, root: Draft | None = None) -> None:
        self._write_waiting()
        asked = set(self._drafts), dict(self._absent)
        drafts = self._look_elsewhere(root)
        while groups := sharing.circles_of(drafts, self._is_object):
            self._join(groups)
            drafts = self._look_elsewhere(root)
        for draft, lenders in sharing.in_order(drafts):
            draft.loans = {one: Loan(lender.names[0], lender.numbers[one]) for one, lender in lenders.items()}
            if draft.loans and draft.names:
                self._write(draft)
        self._leave_out(*asked, root)
        self._tell_what_is_optional()
        fresh = [draft for draft in self._all() if not draft.key]
        keys = [(draft, self._key(draft)) for draft in fresh]
        for draft, key in keys:
            draft.key = key
            for name in draft.names:
                namespaces.issued(key, name, self._names[name[0]].get(name[1]))

    def _write_waiting(self) -> None:
        while self._waiting:
            self._write(self._waiting.pop())

    def _look_elsewhere(self, root: Draft | None) -> list[Draft]:
        """Return all drafts, also those of globals that are not asked for and lend something to those that are.
        Nothing is looked for that the root alone has: functions that are no globals may be many, each with a part of
        something large."""
        looked_for: set[int] = set()
        while True:
            shared = {one for draft in self._all() for one in draft.outside} - looked_for
            if not shared:
                return self._all() if root is None else [*self._all(), root]
            looked_for |= shared
            for name in sharing.lenders(shared, self._value, self._inner):
                self._look_at(name)
            self._write_waiting()

    def _value(self, name: Name) -> Any:
        """Return the value of a global, of which there is no draft."""
        names = None if name in self._drafts else self._namespace(name[0])
        return None if names is None else names.get(name[1])

    def _inner(self, name: Name) -> Mapping[int, Any] | None:
        """Return what is in a global, by id; None: there is no draft of it."""
        draft = self._drafts.get(name)
        return None if draft is None else draft.inner

    def _join(self, groups: list[list[Draft]]) -> None:
        """Make one unit of those that refer to each other in a circle."""
        for group in groups:
            names = tuple(sorted(name for draft in group for name in draft.names))
            _remember_circle(names)
            draft = Draft(names, group[0].asked_by)
            self._drafts.update(dict.fromkeys(names, draft))
            self._write(draft)
        self._write_waiting()

    def _leave_out(self, asked: set[Name], absent: dict[Name, None], root: Draft | None) -> None:
        """Drop what was only looked at."""
        if len(asked) == len(self._drafts):
            return
        kept: set[Name] = set()
        waiting = list(asked) + [loan.name for loan in (root.loans.values() if root else ())]
        while waiting:
            name = waiting.pop()
            draft = self._drafts.get(name)
            if draft is None:
                if name in self._absent:
                    absent[name] = None
            elif name not in kept:
                kept.update(draft.names)
                waiting += draft.edges
        self._drafts = {name: draft for name, draft in self._drafts.items() if name in kept}
        self._absent = absent

    def _write(self, draft: Draft) -> None:
        values = tuple(self._names[key][short] for key, short in draft.names)
        key, short = draft.names[0]
        alone = len(values) == 1 and not draft.loans
        if alone and _is_plain(values[0]) and self._first_name(key, short, values[0]) == short:
            draft.stream = pickle.dumps(values, PROTOCOL)
            if type(values[0]) in _CHANGEABLE:
                draft.note_plain(values[0])
            if len(draft.stream) < buffers.LARGE:
                return
        sink = BufferSink()
        place = Place(draft.names, key, self._names[key], self._named(key), draft.loans)
        pickler = UnitPickler(sink, self, place)
        self._asking = draft.names[0]
        try:
            pickler.dump(values)
        except (Exception, SystemExit, GeneratorExit) as error:  # a __reduce__ is the user's code
            self._failed(draft, values[0], error)
            return
        finally:
            self._asking = None
        content = sink.content(keep=self._keep)
        draft.parts = parts_of(content)
        draft.stream = whole(content)
        draft.note(pickler)

    def _first_name(self, key: str, name: str, value: Any) -> str:
        return self._named(key).get(id(value), name)

    def _named(self, key: str) -> dict[int, str]:
        """Return the objects of a namespace that other globals may share, by id, each under the first of its names; a
        function or class under its own, by which what it refers to finds it; the namespace itself without one."""
        found = self._by_id.get(key)
        if found is None:
            names = self._names[key]
            module = names.get("__name__")
            found = self._by_id[key] = {id(names): "", **well_known.places(), **per_process.places()}
            compared = _compared(names, module)
            for name, value in list(names.items()):
                if name.startswith("__") or "." in name:
                    continue
                if name not in compared and not _can_be_shared(value, module):
                    continue
                if isinstance(value, (FunctionType, type)) and value.__qualname__ == name:
                    found[id(value)] = name
                else:
                    found.setdefault(id(value), name)
        return found

    def _failed(self, draft: Draft, value: Any, error: BaseException) -> None:
        """Decide what to do without a name: have the worker import it, or leave it out, if that can be."""
        key, short = draft.names[0]
        module = by_value.module_of(self._names[key])
        if module is not None and by_value.travels_by_name(module):
            draft.stream = pickle.dumps((_Imported(module.__name__, short),), PROTOCOL)
            return
        for name in draft.names:
            self._drafts.pop(name, None)
            self._failures[name] = draft, value, error

    def _tell_what_is_optional(self) -> None:
        """Raise the failure of a name that is needed; mark what is not."""
        needed: dict[Name, None] = {}
        waiting = list(self._needed.get(None, ()))
        while waiting:
            name = waiting.pop()
            if name in needed:
                continue
            if name in self._failures:
                draft, value, error = self._failures[name]
                raise Unserializable(value, self._way(draft), error) from error
            found = self._drafts.get(name)
            for one in (name,) if found is None else found.names:
                needed[one] = None
                waiting += self._needed.get(one, ())
        for draft in self._all():
            draft.optional = needed.keys().isdisjoint(draft.names) and not draft.key

    def _way(self, draft: Draft) -> list[str]:
        way = [draft.names[0][1]]
        while draft.asked_by is not None and draft.asked_by[1] not in way:
            way.append(draft.asked_by[1])
            draft = self._drafts.get(draft.asked_by) or self._failures[draft.asked_by][0]
        return way

    def _is_object(self, name: Name) -> bool:
        return not isinstance(self._names[name[0]].get(name[1]), (type, FunctionType))

    def _all(self) -> list[Draft]:
        return list({id(draft): draft for draft in self._drafts.values()}.values())

    def _key(self, draft: Draft) -> bytes:
        """Return the digest of a unit and of all that its objects refer to."""
        reached, waiting = {id(draft): draft}, [draft]
        while waiting:
            for name in waiting.pop().direct:
                other = self._drafts.get(name)
                if other is not None and id(other) not in reached:
                    reached[id(other)] = other
                    waiting.append(other)
        digest = hashlib.sha256(repr(draft.names).encode())
        for one in sorted(reached.values(), key=lambda one: one.names):
            digest.update(repr(one.names).encode())
            digest.update(one.key or hashlib.sha256(one.stream).digest())
        return digest.digest()[:16]

    def _joined(self, pieces: list[Piece], sources: Any) -> Content:
        drafts = sorted(self._all(), key=lambda one: one.names)
        sharing.remember(self._all())
        units = tuple((one.names, one.key, one.stream, one.edges, one.optional) for one in drafts)
        table = Sink()
        pickle.Pickler(table, PROTOCOL).dump((self._main, units, tuple(sorted(self._absent))))
        content = whole(table.content())
        main = vars(sys.modules[MAIN]) if MAIN in sys.modules else {}
        bases = {key: _base(names) for key, names in sorted({MAIN: main, **self._names}.items())}
        beside = pickle.dumps((bases, sources, *(one.sources for one in drafts)), PROTOCOL)
        whole_stream = [HEAD, binary(content), content, binary(beside), beside, b"\x86R0", *pieces]
        return whole_stream if sum(map(len, whole_stream)) > _SMALL else b"".join(whole_stream)


def key_of(name: Name) -> bytes:
    """Return the key of the unit that a global of this process would be; nothing if it cannot travel."""
    try:
        return Packer().key_of(name)
    except Exception:
        return b""


class _Imported:
    """A global of a module that workers import."""

    def __init__(self, module: str, name: str) -> None:
        self._where = module, name

    def __reduce__(self) -> tuple[Any, ...]:
        return reading.imported, self._where


_ATOMS = frozenset({str, bytes, int, float, complex, bool, type(None)})


_CONTAINERS = frozenset({list, tuple, set, frozenset})
_CHANGEABLE = frozenset({list, set, dict})


def _is_plain(value: Any) -> bool:
    """Return whether it is nothing but numbers and text, of which pickle alone is the quickest way."""
    kind = type(value)
    if kind in _CONTAINERS:
        return _is_all_plain(value)
    return (
        _is_all_plain((value,))
        if kind in _ATOMS
        else kind is dict and _is_all_plain((*value, *value.values()))
    )


def _is_all_plain(values: Collection[Any]) -> bool:
    kinds = set(map(type, values))
    return _ATOMS.issuperset(kinds) and not (float in kinds and well_known.may_be_nan(values, kinds))


def _compared(names: dict[str, Any], module: Any) -> set[str]:
    """Return the names whose values functions and methods of this namespace compare by ``is``."""
    found: set[str] = set()
    for value in list(names.values()):
        if type(value) is FunctionType:
            found |= code_names.compared(value.__code__)
        elif isinstance(value, type) and value.__module__ == module:
            for one in map(_undecorated, list(vars(value).values())):
                if type(one) is FunctionType:
                    found |= code_names.compared(one.__code__)
    return found


def _undecorated(obj: Any) -> Any:
    return obj.__func__ if isinstance(obj, (staticmethod, classmethod)) else getattr(obj, "__wrapped__", obj)


def _can_be_shared(value: Any, module: Any) -> bool:
    kind = type(value)
    if kind is float and math.isnan(value):
        return True  # which is equal to nothing, and found in containers by its identity
    if isinstance(value, BY_NAME) or (kind in VALUES and not may_hold(value)):
        return False
    return not isinstance(value, (type, FunctionType)) or value.__module__ == module


_circles: dict[Name, tuple[Name, ...]] = {}
"""Names whose values were found to refer to each other: they stay one unit."""


def _remember_circle(names: tuple[Name, ...]) -> None:
    if len(_circles) > _MAX_CIRCLES:
        _circles.clear()
    _circles.update(dict.fromkeys(names, names))


_MAX_CIRCLES = 1000


def _base(names: dict[str, Any]) -> dict[str, Any]:
    return {name: names[name] for name in _BASE if isinstance(names.get(name), str)}
