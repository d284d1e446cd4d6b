"""Streams of what has functions and classes by value in it: the units that it needs, then the object itself.

A *unit* is the value of a global name, pickled alone. Names whose values share an object that may change are one
unit, as the sharing would be lost otherwise. The *key* of a unit follows from the content of it and of all that its
objects refer to; what its code looks up by name is not in it, for that is looked up when it runs.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
import secrets
import sys
import weakref
from collections.abc import Hashable
from enum import Enum
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, TypeVar

from compute_executor.serialization import buffers, by_value, namespaces, reading
from compute_executor.serialization.buffers import BufferSink, Keep, with_buffers
from compute_executor.serialization.content import HEAD, binary
from compute_executor.serialization.large import Content, Part, Piece, Sink, parts_of, whole
from compute_executor.serialization.namespaces import MAIN, Name, Unit
from compute_executor.serialization.pickler import PROTOCOL, Owner, Pickler, UnitPickler

_SMALL = 64 * 1024
_BASE = ("__name__", "__package__", "__file__")
_VALUES = frozenset(
    {str, bytes, int, float, complex, bool, type(None), tuple, frozenset, type(Ellipsis), range}
    | {CodeType, BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType}
)
_BY_NAME = (ModuleType, logging.Logger, re.Pattern)


class _Draft:
    """A unit that is being written."""

    def __init__(self, names: tuple[Name, ...], asked_by: Name | None) -> None:
        self.names = names
        self.optional = False
        self.asked_by = asked_by
        self.stream = self.key = b""
        self.direct: set[Name] = set()
        self.edges: tuple[Name, ...] = ()
        self.sources: Any = ()
        self.shared: dict[int, Any] = {}
        self.values: tuple[Any, ...] = ()


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
        self._drafts: dict[Name, _Draft] = {}
        self._absent: dict[Name, None] = {}
        self._waiting: list[_Draft] = []
        self._needed: dict[Name | None, dict[Name, None]] = {}
        """What each name, and the stream itself (None), cannot do without."""
        self._failures: dict[Name, tuple[_Draft, Any, BaseException]] = {}
        self._asking: Name | None = None
        self._by_id: dict[str, dict[int, str]] = {}
        self._by_cell: dict[str, dict[int, list[Name]]] = {}

    def pack(self, obj: Any) -> Content:
        """The stream of ``obj``. Raises what pickle raises; Unserializable for a global that is needed."""
        sink = BufferSink()
        pickler = Pickler(sink, self)
        pickler.dump(obj)
        stream: Content = sink.pieces
        if self._names:
            self._write_all()
            stream = self._joined(sink.pieces, pickler.sources.record())
        elif len(sink.pieces) == 1:
            stream = bytes(sink.pieces[0])
        return with_buffers(stream, sink.taken, self._base, self._keep, self._parts)

    def key_of(self, name: Name) -> bytes:
        """The key of the unit that this global would be. Raises as `pack` does."""
        module = by_value.loaded(name[0])
        if module is None or name[1] not in vars(module):
            return b""
        self.space(vars(module), module, None)
        self.need(name, vars(module))
        self._write_all()
        return self._drafts[name].key

    # -- what picklers ask for: Owner ------------------------------------------------------------------------

    def space(self, names: dict[str, Any], module: ModuleType | None, example: FunctionType | None) -> str:
        """The key of a namespace: a module's name, or a token."""
        key = self._keys.get(id(names))
        if key is None:
            key = self._keys[id(names)] = _space_key(names, module, example)
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
            draft = self._drafts[name] = _Draft((name,), self._asking)
            self._waiting.append(draft)
            for other in (*_groups.get(name, ()), *self._with_same_cells(name, names[name[1]])):
                home = names if other[0] == name[0] else self._namespace(other[0])
                if home is not None:
                    self.need(other, home, optional=True)
        elif not optional:
            self._absent[name] = None

    def _namespace(self, key: str) -> dict[str, Any] | None:
        """The namespace of that key; None: it is gone."""
        if key in self._names:
            return self._names[key]
        names = _by_token(key)
        module = by_value.loaded(key.strip("<>"))
        if names is None and module is not None:
            names = vars(module)
        if names is not None and self.space(names, module, None) != key:
            return None
        return names

    def name_of(self, obj: Any, names: dict[str, Any], module: ModuleType | None) -> Name | None:
        """The global name that stands for ``obj`` in a namespace."""
        key = self.space(names, module, None)
        short = self._named(key).get(id(obj))
        return None if short is None else (key, short)

    def need_unit(self, name: Name, unit: Unit) -> None:
        """Have a unit travel along that an object here was made from, and what it refers to."""
        if name in self._drafts or not unit.stream:
            return
        self._names.setdefault(name[0], {"__name__": name[0]})
        draft = _Draft(unit.names, None)
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

    # -- writing ---------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        self._write_waiting()
        for names in self._sharing():
            _remember_group(names)
            draft = _Draft(names, self._drafts[names[0]].asked_by)
            self._drafts.update(dict.fromkeys(names, draft))
            self._write(draft)
            self._write_waiting()
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

    def _write(self, draft: _Draft) -> None:
        values = tuple(self._names[key][short] for key, short in draft.names)
        key, short = draft.names[0]
        if len(values) == 1 and _is_plain(values[0]) and self._first_name(key, short, values[0]) == short:
            draft.stream = pickle.dumps(values, PROTOCOL)
            draft.shared = {id(values[0]): values[0]} if type(values[0]) in _CHANGEABLE else {}
            if len(draft.stream) < buffers.LARGE:
                return
        sink = BufferSink()
        pickler = UnitPickler(sink, self, draft.names, self._named(key), self._names[key])
        self._asking = draft.names[0]
        try:
            pickler.dump(values)
        except (Exception, SystemExit, GeneratorExit) as error:  # a __reduce__ is the user's code
            self._failed(draft, values[0], error)
            return
        finally:
            self._asking = None
        content = sink.content(keep=self._keep)
        self._parts += parts_of(content)
        draft.stream = whole(content)
        draft.direct = pickler.direct
        draft.edges = tuple(sorted(pickler.edges))
        draft.sources = pickler.sources.record()
        draft.shared = _changeable(pickler)

    def _first_name(self, key: str, name: str, value: Any) -> str:
        return name if type(value) in _ATOMS else self._named(key).get(id(value), name)

    def _named(self, key: str) -> dict[int, str]:
        """The objects of a namespace that other globals may share, by id, each under the first of its names."""
        found = self._by_id.get(key)
        if found is None:
            names = self._names[key]
            module = names.get("__name__")
            found = self._by_id[key] = {}
            for name, value in list(names.items()):
                if not name.startswith("__") and _can_be_shared(value, module):
                    found.setdefault(id(value), name)
        return found

    def _with_same_cells(self, name: Name, value: Any) -> list[Name]:
        """The other global functions of a namespace that share a variable with this one."""
        if type(value) is not FunctionType or not value.__closure__:
            return []
        found = self._by_cell.get(name[0])
        if found is None:
            found = self._by_cell[name[0]] = {}
            for short, one in list(self._names[name[0]].items()):
                for cell in (type(one) is FunctionType and one.__closure__) or ():
                    found.setdefault(id(cell), []).append((name[0], short))
        return [other for cell in value.__closure__ for other in found[id(cell)] if other != name]

    def _failed(self, draft: _Draft, value: Any, error: BaseException) -> None:
        """What to do without a name: have the worker import it, or leave it out, if that can be."""
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

    def _way(self, draft: _Draft) -> list[str]:
        way = [draft.names[0][1]]
        while draft.asked_by is not None and draft.asked_by[1] not in way:
            way.append(draft.asked_by[1])
            draft = self._drafts.get(draft.asked_by) or self._failures[draft.asked_by][0]
        return way

    def _sharing(self) -> list[tuple[Name, ...]]:
        """The names whose values share what may change, or refer to each other in a circle, group by group."""
        groups: list[tuple[set[int], list[Name]]] = []
        circles = self._circles()
        for draft in self._all():
            shared, names = set(draft.shared) | circles.get(draft.names, set()), list(draft.names)
            for group in [one for one in groups if not shared.isdisjoint(one[0])]:
                groups.remove(group)
                shared |= group[0]
                names += group[1]
            if shared:
                groups.append((shared, names))
        return [tuple(sorted(names)) for _, names in groups if len(names) > 1]

    def _circles(self) -> dict[tuple[Name, ...], set[int]]:
        """For each unit that refers to itself by way of others, the number of that circle. Not for functions and
        classes, which can be referred to as soon as they are made, before they have all that belongs to them."""
        objects = {name: draft for name, draft in self._drafts.items() if self._is_object(name)}
        edges = {
            draft.names: {objects[name].names for name in draft.direct if name in objects} - {draft.names}
            for draft in objects.values()
        }
        return _circles(edges) if any(edges.values()) else {}

    def _is_object(self, name: Name) -> bool:
        return not isinstance(self._names[name[0]].get(name[1]), (type, FunctionType))

    def _all(self) -> list[_Draft]:
        return list({id(draft): draft for draft in self._drafts.values()}.values())

    def _key(self, draft: _Draft) -> bytes:
        """The digest of a unit and of all that its objects refer to."""
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
    """The key of the unit that a global of this process would be; nothing if it cannot travel."""
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
    """Whether it is nothing but numbers and text, of which pickle alone is the quickest way."""
    kind = type(value)
    if kind in _CONTAINERS:
        return _ATOMS.issuperset(map(type, value))
    return kind in _ATOMS or (kind is dict and _ATOMS.issuperset(map(type, (*value, *value.values()))))


def _can_be_shared(value: Any, module: Any) -> bool:
    kind = type(value)
    if kind in _VALUES or isinstance(value, _BY_NAME):
        return False
    return not isinstance(value, (type, FunctionType)) or value.__module__ == module


_groups: dict[Name, tuple[Name, ...]] = {}
"""Names whose values were found to share objects that have no name: they stay one unit."""


def _remember_group(names: tuple[Name, ...]) -> None:
    if len(_groups) > _MAX_GROUPS:
        _groups.clear()
    _groups.update(dict.fromkeys(names, names))


_MAX_GROUPS = 1000


_Node = TypeVar("_Node", bound=Hashable)


def _circles(edges: dict[_Node, set[_Node]]) -> dict[_Node, set[int]]:
    """A number for each node that is in a circle: the same for all in it.

    >>> _circles({1: {2}, 2: {3}, 3: {2}, 4: {1}})
    {2: {-1}, 3: {-1}}
    """
    from graphlib import CycleError, TopologicalSorter  # what most programs do without

    one_for = {node: node for node in edges}
    while True:
        joined: dict[_Node, set[_Node]] = {node: set() for node in one_for.values()}
        for node, others in edges.items():
            joined[one_for[node]] |= {one_for[other] for other in others} - {one_for[node]}
        try:
            TopologicalSorter(joined).prepare()
        except CycleError as error:
            circle = error.args[1]
            one_for = {node: circle[0] if one in circle else one for node, one in one_for.items()}
        else:
            break
    members: dict[_Node, list[_Node]] = {}
    for node, one in one_for.items():
        members.setdefault(one, []).append(node)
    circles = [nodes for nodes in members.values() if len(nodes) > 1]
    return {node: {-number} for number, nodes in enumerate(circles, 1) for node in nodes}


def _base(names: dict[str, Any]) -> dict[str, Any]:
    return {name: names[name] for name in _BASE if isinstance(names.get(name), str)}


def _changeable(pickler: Pickler) -> dict[int, Any]:
    """What is in a stream that may change, or that is known by its identity, by id."""
    found = {}
    for identity, (_, obj) in pickler.memo.copy().items():
        kind: Any = type(obj)
        if kind in _VALUES or isinstance(obj, (type, FunctionType, *_BY_NAME)):
            continue
        if isinstance(obj, Enum) and by_value.importable(kind):
            continue  # the same member is found by its name
        if kind.__hash__ is not None and kind.__eq__ is not object.__eq__ and by_value.importable(kind):
            continue  # equal is as good as the same
        found[identity] = obj
    found.update(pickler.held)
    return found


# -- namespaces of no module ---------------------------------------------------------------------------------

_Holder = FunctionType | ModuleType
_tokens: dict[int, tuple[str, weakref.WeakSet[_Holder]]] = {}
"""Tokens of namespaces that are no loaded module's (`exec`, a module that was made and not entered in sys.modules),
with the module, and functions that live in them: those tell whether it is still the one with that id."""


def _space_key(names: dict[str, Any], module: ModuleType | None, example: FunctionType | None) -> str:
    if module is not None and (by_value.is_main(module) or by_value.module_of(names) is module):
        name = MAIN if by_value.is_main(module) else module.__name__
        return f"<{name}>" if name != MAIN and by_value.can_be_imported(module) else name
    known = _tokens.get(id(names))
    if known is None or not any(_names_of(one) is names for one in known[1]):
        known = _tokens[id(names)] = f"<{secrets.token_hex(8)}>", weakref.WeakSet()
    for one in (module, example):
        if one is not None:
            known[1].add(one)
    return known[0]


def _names_of(holder: _Holder) -> dict[str, Any]:
    return holder.__globals__ if isinstance(holder, FunctionType) else vars(holder)


def _by_token(key: str) -> dict[str, Any] | None:
    """The namespace of that token, as long as a function lives in it."""
    for identity, (token, holders) in list(_tokens.items()):
        if token == key:
            return next((names for names in map(_names_of, holders) if id(names) == identity), None)
    return None
