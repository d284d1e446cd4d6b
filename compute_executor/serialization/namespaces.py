"""Where functions and classes that travel by value live in a worker: one namespace for each of the caller's modules.

What a program's ``__main__`` holds travels in *units*: the value of one global name (of several, where their values
share objects), as a stream of its own, with a key that follows from its content. A stream begins with the units
that it needs; reading it makes their names current in the namespace, in which all functions of the program then
look them up:

* A name whose unit is current already keeps its value in the worker, so what an initializer or a task has stored
  there is seen by the tasks that come after it.
* A name whose unit is another one gets the new value, because the caller has changed it. The old unit keeps the old
  value, and gets its name back when a task comes that was submitted with it: both versions in flight stay right.

A process that reads an answer (the caller, most of all) has the objects itself. There a reference means the object
that was sent, or the one of that name and content; only what is not there is made, in a namespace apart.

This module runs inside workers too: standard library only.
"""

from __future__ import annotations

import builtins
import contextlib
import sys
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from compute_executor.serialization import nameless_classes
from compute_executor.serialization.buffers import refers_to_parts

Name = tuple[str, str]
"""A global name: the space (``__main__``, another module's name, or a token) and the name in it."""


class Loan(NamedTuple):
    """An object in the unit of a global that another unit shares: its number in that unit's stream."""

    name: Name
    number: int


MAIN = "__main__"
BUILTINS = "<builtins>"
"""What the program has put among the built-in names."""
ABSENT: Any = object()
MAX_KEPT = 64 * 1024
"""Bytes of a unit's stream that are kept, to be sent along when its objects are part of an answer."""


class Sources(NamedTuple):
    """What tracebacks show of a stream's code, by the numbers that its code objects have for file names. No part of
    its content: the same function in another file is the same function."""

    files: tuple[tuple[str, dict[int, str]], ...] = ()
    """File name, and text by the number of its first line."""


class UnitRecord(NamedTuple):
    """A unit on its way."""

    names: tuple[Name, ...]
    key: bytes
    stream: bytes
    edges: tuple[Name, ...]
    """The names that its code and its objects refer to."""
    optional: bool = False
    """Whether it is done without where it cannot be read: code may look it up, and most likely does not."""


class Table(NamedTuple):
    """What a stream begins with."""

    main: bytes | None
    """Which program, where a worker runs tasks of several; empty where there is one; None: the current one."""
    units: tuple[UnitRecord, ...]
    absent: tuple[Name, ...]
    """Names that its code refers to and the caller's program does not have."""


class Unit:
    """A unit here. ``values`` holds what its names were when another unit took their place."""

    def __init__(self, record: UnitRecord, sources: Sources) -> None:
        self.names: tuple[Name, ...] = record.names
        self.key: bytes = record.key
        self.stream: bytes = record.stream
        self.edges: tuple[Name, ...] = record.edges
        self.optional: bool = record.optional
        self.sources = sources
        self.near: dict[Name, weakref.ref[Unit]] = {}
        """Those that the edges lead to."""
        self.loaded = self.loading = self.absence = False
        self.values: dict[Name, Any] = {}
        self.kept: list[Any] = []
        """What only weak references in it refer to."""
        self.lenders: list[Unit] = []
        """Units that have objects of this one: they are to live as long."""
        self.reader: Any = None
        """What has read its stream, and knows its objects by their numbers."""
        self.parts: dict[int, Any] | None = None
        """These objects, once one was lent."""
        self.made: dict[Name, Any] = {}
        """What its names were when it was loaded."""


class Space:
    """One namespace: a module, and for each of its names the unit that is current."""

    def __init__(self, key: str, module: ModuleType) -> None:
        self.key = key
        self.module = module
        self.names: dict[str, Any] = vars(module)
        if module is not builtins:
            self.names["__builtins__"] = builtins
        self.current: dict[str, Unit] = {}


class NotMade(Exception):
    """A unit that is needed before it is made: a subclass, of which its base class keeps a list. Then the base class
    has to be loaded first."""


class Needs(NamedTuple):
    """What has to be current when a function is called."""

    program: Program
    main: bytes | None
    units: dict[Name, Unit]

    def apply(self) -> None:
        """Make it current."""
        self.program.apply(self)


Read = Callable[[Unit], "tuple[Any, ...]"]
"""Reads a unit's stream: the values of its names."""


class Origin(NamedTuple):
    """Where a program is from."""

    file: str | None = None
    """Its script; None: it has none."""
    modified: int = 0
    """When the script was changed last, in ns since 1970, as the program started its workers; 0: not known."""


class Program:
    """The namespaces of one program. ``main``: the module that is to be its ``__main__``; None if this process has a
    program of its own, which must not change. ``origin``: where the program is from, if that is known. Owner: the
    thread that reads and calls."""

    def __init__(self, read: Read, main: ModuleType | None = None, origin: Origin | None = None) -> None:
        self._read = read
        self._adopts = main is not None
        self._origin = origin
        self._main = b""
        self._spaces: dict[tuple[bytes, str], Space] = {}
        self._units: dict[tuple[bytes, bytes], weakref.ref[Unit]] = {}
        self._absent: dict[tuple[bytes, Name], Unit] = {}
        self._applied: Needs | None = None
        self._attempt: list[Unit] = []
        """What was loaded so far for a unit that is being loaded."""
        if main is not None:
            self._spaces[b"", MAIN] = Space(MAIN, main)

    def needs(self, table: Table, sources: list[Sources]) -> Needs:
        """Return the units of a stream, whose program becomes the current one."""
        self.select(table.main)
        units: dict[Name, Unit] = {}
        for record, source in zip(table.units, sources, strict=True):
            unit = self._unit(record, source)
            units.update(dict.fromkeys(unit.names, unit))
        for name in table.absent:
            units[name] = self._absence(name)
        return Needs(self, table.main, units)

    def expect(self, needs: Needs) -> None:
        """Let names stand for their units; each is read when it is asked for."""
        self._applied = None
        for (key, name), unit in needs.units.items():
            self._place(self.space(key), name, unit)

    def apply(self, needs: Needs) -> None:
        """Make the names current: those that the caller has changed get their new values."""
        if needs is self._applied:
            return
        self.select(needs.main)
        self.expect(needs)
        missing = {id(unit): unit for unit in needs.units.values() if not unit.loaded}
        for unit in missing.values():
            unit.near = {name: weakref.ref(needs.units[name]) for name in unit.edges if name in needs.units}
        self._load_all(list(missing.values()))
        self._applied = needs

    def _load_all(self, units: list[Unit]) -> None:
        """Load units that may refer to each other in a circle: one of them can be loaded first."""
        while units:
            later: list[Unit] = []
            reason: NotMade | None = None
            for unit in units:
                self._attempt.clear()
                try:
                    self._load(unit)
                except NotMade as error:
                    later.append(unit)
                    reason = error
                except Exception:
                    if not unit.optional:
                        raise
            if reason is not None and len(later) == len(units):
                raise reason
            units = later
        self._attempt.clear()

    def space(self, key: str) -> Space:
        """Return the namespace of that key, of the program that is current."""
        found = self._spaces.get((self._main, key))
        if found is None:
            found = self._spaces[self._main, key] = Space(key, self._module(key))
        return found

    def value(self, name: Name) -> Any:
        """Return what a global name is now. Raises AttributeError."""
        key, short = name
        space = self.space(key)
        unit = space.current.get(short)
        if unit is not None and not unit.loaded:
            if unit.loading and name not in unit.values:
                raise NotMade(f"{short} is needed to make itself")
            if unit.loading:
                return unit.values[name]  # made, and not filled yet
            self._load(unit)
        try:
            return space.names[short]
        except KeyError:
            raise AttributeError(f"{key} has no {short!r} in this worker") from None

    def original(self, name: Name) -> Any:
        """Return what a global name was when its unit was loaded: what other globals refer to, whatever a task has
        stored under the name since. Raises AttributeError."""
        found = self.value(name)
        unit = self.space(name[0]).current.get(name[1])
        return found if unit is None else unit.made.get(name, found)

    def lent(self, loan: Loan, borrower: Unit | None) -> Any:
        """Return the object of a loan, as it is now. Raises AttributeError."""
        key, short = loan.name
        unit = self.space(key).current.get(short)
        if unit is None:
            raise AttributeError(f"{key} has no {short!r} in this worker")
        if not unit.loading:
            self._load(unit)
        if borrower is not None:
            borrower.lenders.append(unit)
        if unit.parts is None or unit.loading:
            unit.parts = unit.reader.memo.copy()
        parts: dict[int, Any] = unit.parts or {}
        if loan.number not in parts:
            raise NotMade(f"a part of {short} is needed to make {short}")
        return parts[loan.number]

    @property
    def origin(self) -> Origin | None:
        """Where the program is from that is current; None: that is not known."""
        return None if self._main else self._origin

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let the names that are current be so again at the end, as they may be in the middle of being loaded."""
        main, applied = self._main, self._applied
        before = [(space, dict(space.current)) for space in self._spaces.values()]
        try:
            yield
        finally:
            self.select(main)
            for space, units in before:
                for name, unit in units.items():
                    self._place(space, name, unit)
            self._applied = applied

    def select(self, main: bytes | None) -> None:
        """Let the program that it belongs to be the one that is found."""
        if main is not None and main != self._main:
            self._main = main
            if self._adopts:
                sys.modules[MAIN] = self.space(MAIN).module

    @staticmethod
    def _place(space: Space, name: str, unit: Unit) -> None:
        held = space.current.get(name)
        if held is unit:
            return
        where = (space.key, name)
        if held is not None:
            held.values[where] = space.names.get(name, ABSENT)
        space.current[name] = unit
        if (
            held is not None or not unit.absence
        ):  # what a task stored under a name that the caller lacks is kept
            _put(space.names, name, unit.values.pop(where, ABSENT))

    def _unit(self, record: UnitRecord, sources: Sources) -> Unit:
        where = self._main, record.key
        found = self._units.get(where)
        unit = None if found is None else found()
        if unit is not None:
            unit.optional = unit.optional and record.optional
        if unit is None:
            unit, units = Unit(record, sources), self._units
            units[where] = weakref.ref(unit, lambda _: units.pop(where, None))
        return unit

    def _absence(self, name: Name) -> Unit:
        unit = self._absent.get((self._main, name))
        if unit is None:
            unit = self._absent[self._main, name] = Unit(UnitRecord((name,), b"", b"", ()), Sources())
            unit.loaded = unit.absence = True
        return unit

    def _load(self, unit: Unit) -> None:
        if unit.loaded or unit.loading:
            return
        unit.loading, unit.parts, unit.made = True, None, {}
        before = len(self._attempt)
        try:
            values = self._read(unit)
        except NotMade:
            self._unload(before)
            raise
        except BaseException:
            for key, name in unit.names:
                self.space(key).current.pop(name, None)
            raise
        finally:
            unit.loading = False
            unit.values.clear()
        unit.loaded = True
        self._attempt.append(unit)
        unit.parts = None
        if len(values) == 1 and type(values[0]) in _ATOMS:
            unit.reader = None  # nobody borrows it, and a task may let go of a long text
        else:
            unit.made = dict(zip(unit.names, values, strict=True))
        for (key, name), value in zip(unit.names, values, strict=True):
            if self._adopts or not _was_sent(unit.key, (key, name), value):
                remember(value, (key, name), unit)
            _put(self.space(key).names, name, value)
        if len(unit.stream) > MAX_KEPT or refers_to_parts(unit.stream):
            unit.stream = b""

    def _unload(self, before: int) -> None:
        """Forget what was loaded since then for a unit that has to be loaded later: it may refer to a class of that
        unit which was made and given up, as a class does to its metaclass."""
        for unit in self._attempt[before:]:
            unit.loaded = False
            for key, name in unit.names:
                _put(self.space(key).names, name, ABSENT)
        del self._attempt[before:]

    def _module(self, key: str) -> ModuleType:
        if key == BUILTINS and self._adopts:
            return builtins
        module = ModuleType(key)
        if self._adopts and key not in sys.modules and not key.startswith("<"):
            sys.modules[key] = module  # where the caller's process had it: pickle looks for classes there
        return module


def _put(names: dict[str, Any], name: str, value: Any) -> None:
    if value is ABSENT:
        names.pop(name, None)
    else:
        names[name] = value


# -- which object a unit's name stands for, in this process ---------------------------------------------------

_objects: dict[tuple[bytes, Name], Callable[[], Any]] = {}
"""What was sent from here, or made here, by key and name; any thread changes it in single steps."""
_units: dict[int, tuple[Callable[[], Any], Name, Unit]] = {}
"""The unit that an object was made from, by the object's id."""


def issued(key: bytes, name: Name, obj: Any) -> None:
    """Remember ``obj`` as what this unit's name stands for, as long as there is the object."""
    where, objects = (key, name), _objects
    held = _held(obj, lambda _: objects.pop(where, None))
    if held is not None:
        _objects[where] = held


def known(key: bytes, name: Name) -> Any:
    """Return the object that a unit's name stands for here; ABSENT if there is none."""
    held = _objects.get((key, name))
    found = None if held is None else held()
    return ABSENT if found is None else found


def _was_sent(key: bytes, name: Name, obj: Any) -> bool:
    """Return whether a unit that is read has come back to where it is from: what was sent from here stays the
    object."""
    return known(key, name) is not ABSENT or nameless_classes.is_own(obj)


def remember(obj: Any, name: Name, unit: Unit) -> None:
    """``obj`` was made here from this unit: an answer that holds it refers to the unit."""
    issued(unit.key, name, obj)
    where, units = id(obj), _units
    held = _held(obj, lambda _: units.pop(where, None))
    if held is not None:
        units[where] = held, name, unit


def unit_of(obj: Any) -> tuple[Name, Unit] | None:
    """Return the name and the unit that ``obj`` was made from."""
    found = _units.get(id(obj))
    if found is None or found[0]() is not obj or not _is_known_by_identity(obj):
        return None
    return found[1], found[2]


_OF_IDENTITY = frozenset({"typing", "_contextvars"})
"""Where the types are from of which an equal object is not as good."""


def _held(obj: Any, gone: Callable[[Any], Any]) -> Callable[[], Any] | None:
    if not _is_known_by_identity(obj):
        return None
    try:
        return weakref.ref(obj, gone)
    except TypeError:  # without weak references; sentinels and type aliases, of which a program has few
        return None if callable(obj) else lambda: obj


def _is_known_by_identity(obj: Any) -> bool:
    """Return whether an equal object is not as good."""
    if callable(obj) or type(obj).__module__ in _OF_IDENTITY:
        return True
    if type(obj) in _PLAIN:
        return False
    from compute_executor.serialization import sentinels

    return sentinels.is_one_of_a_kind(obj)


_ATOMS = frozenset({int, float, str, bytes, bool, type(None)})
_PLAIN = _ATOMS | {list, dict, tuple, set, frozenset}
