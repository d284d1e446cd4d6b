"""What a stream of functions and classes by value calls while it is read, in a worker or by who gets an answer.

A stream begins with :func:`enter`, which makes its names current (`namespaces`); after that, :func:`named` stands for
an object by its global name, and :func:`space` for a namespace. Standard library only: workers use this.
"""

from __future__ import annotations

import importlib
import io
import linecache
import pickle
import sys
import threading
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, TypeAlias

from compute_executor.serialization import buffers, content, namespaces
from compute_executor.serialization.namespaces import (
    ABSENT,
    MAIN,
    Loan,
    Name,
    Needs,
    Program,
    Sources,
    Table,
    Unit,
    UnitRecord,
)
from compute_executor.serialization.other_copy import Copy


class _Stream(NamedTuple):
    """What is being read. ``program``: whose names it changes; None for an answer."""

    program: Program | None
    sources: Sources
    table: dict[Name, UnitRecord]
    unit: Unit | None = None


KeyOf: TypeAlias = Callable[[Name], bytes]
"""Tells the key of the unit that a global of this process would be."""


def _no_key(_: Name) -> bytes:
    """Have no global of this process taken for one of the stream."""
    return b""


class _State(threading.local):
    program: Program | None = None
    """Set while a worker reads what a caller has sent."""
    entered: list[Needs] | None = None
    later: list[Callable[[], None]] | None = None
    """What is to be done when it has read it."""
    stream: _Stream | None = None
    needs: Needs | None = None
    """Of an answer: what to read if something of it is not here."""
    wanted: Needs | None = None
    """The same, once a function has to find names in it."""
    applying = False
    """Whether they are being made current."""
    key_of: KeyOf = staticmethod(_no_key)


_state = _State()


def worker_reads() -> bool:
    """Return whether this is the thread of a worker in which it reads a function or arguments, and imports what they
    are from."""
    return _state.program is not None


def adopt(read: Callable[[], Any], program: Program) -> tuple[Any, list[Needs]]:
    """Return what ``read`` reads, with its names made current in ``program``, and what has to be current when it is
    used."""
    before = _state.program, _state.entered
    entered: list[Needs] = []
    _state.program, _state.entered = program, entered
    try:
        return read(), entered
    finally:
        _state.program, _state.entered = before
        if _state.later is not None and _state.program is None:
            later, _state.later = _state.later, None
            for call in later:
                call()


def afterwards(call: Callable[[], None]) -> None:
    """Call something when all is read that is being read, before it is used."""
    _state.later = [*(_state.later or ()), call]


def load(stream: bytes | memoryview, key_of: KeyOf | None = None) -> Any:
    """Return the object of a stream made by `packer`, which may be one inside of another. ``key_of``: with which
    objects of this process those of the stream are compared."""
    found: list[Any] | None = None
    if buffers.has_buffers(stream):
        stream, found = buffers.split(stream)
    if content.has_names(stream):
        return _apart(stream, found, key_of or _state.key_of)
    return pickle.loads(stream, buffers=found)


def _apart(stream: bytes | memoryview, taken: list[Any] | None, key_of: KeyOf) -> Any:
    before = _state.stream, _state.key_of
    _state.stream, _state.key_of = None, key_of
    try:
        with _foreign_lock:  # an answer may be read in any thread; a worker has one
            found = _UnitReader(io.BytesIO(stream), buffers=taken).load()
            if _state.wanted is not None:
                _foreign.apply(_state.wanted)
            return found
    finally:
        (_state.stream, _state.key_of), _state.wanted = before, None


def enter(table: bytes, sources: bytes) -> None:
    """Begin a stream: called by the stream itself."""
    main, units, absent = pickle.loads(table)
    bases, own, *others = pickle.loads(sources)
    read = Table(main, tuple(UnitRecord(*one) for one in units), absent)
    named = {name: record for record in read.units for name in record.names}
    program = _state.program
    target = program or _foreign
    target.select(read.main)
    texts = [Sources(own), *map(Sources, others)]
    if target.origin is not None:
        copy = Copy(bases, texts, target.origin)
        bases, texts = copy.bases(bases), [copy.sources(one) for one in texts]
    _state.stream = _Stream(program, texts[0], named)
    install(texts[0])
    needs = target.needs(read, texts[1:])
    _describe(target, bases)
    if program is None:
        target.expect(needs)
        _state.needs = needs
        return
    target.apply(needs)
    if _state.entered is not None:
        _state.entered.append(needs)


def _describe(program: Program, bases: dict[str, dict[str, Any]]) -> None:
    """Give namespaces what the caller's have beside names: package, file."""
    for key, base in bases.items():
        space = program.space(key)
        for name in () if "__name__" in base else _OF_MODULES:  # a dict in which `exec` has run
            if name not in space.current:
                space.names.pop(name, None)
        for name, value in base.items():
            if name not in space.current and (name != "__name__" or key != MAIN):
                space.names[name] = value


_OF_MODULES = ("__name__", "__doc__", "__package__", "__loader__", "__spec__")


class _UnitReader(pickle.Unpickler):
    """Reads a stream in which other globals are referred to by their names."""

    def persistent_load(self, pid: Any) -> Any:
        """Return the object of such a name; without one: the namespace; with a number: an object in that global's
        unit; without a namespace: an attribute of a module."""
        if len(pid) > 2:
            return _lent(Loan(pid[:2], pid[2]))
        if not pid[0]:
            return _of_python(*pid[1].rsplit(".", 1))
        return named(*pid) if pid[1] else space(pid[0])


def _of_python(module: str, name: str) -> Any:
    """Return what `well_known` refers to: NaN also where there is no numpy."""
    try:
        return imported(module, name)
    except ImportError:
        return float(name)


def _lent(loan: Loan) -> Any:
    stream = _current()
    if stream.program is None and _state.needs is not None:
        _foreign.apply(_state.needs)
    return (stream.program or _foreign).lent(loan, stream.unit)


def read_unit(unit: Unit) -> tuple[Any, ...]:
    """Return the values of a unit's names."""
    before = _state.stream
    outer: dict[Name, UnitRecord] = {} if before is None else before.table
    program = None if before is None else before.program
    install(unit.sources)
    _state.stream = _Stream(program, unit.sources, outer, unit)
    unit.reader = _reader(unit.stream)
    try:
        values: tuple[Any, ...] = unit.reader.load()
        _hash_again(unit.reader.memo.copy())
        return values
    finally:
        _state.stream = before


def _hash_again(memo: dict[int, Any]) -> None:
    """Put members in their places that were put into a set or a dictionary before they had what their hash follows
    from, as what they are in refers back to it."""
    for one in memo.values():
        if type(one) is set and any(map(_hashes_itself, set(map(type, one)))):
            members = list(one)
            one.clear()
            one.update(members)
        elif type(one) is dict and any(map(_hashes_itself, set(map(type, one)))):
            items = list(one.items())
            one.clear()
            one.update(items)


def _hashes_itself(kind: Any) -> bool:
    return type(kind.__hash__) is FunctionType


def _reader(stream: bytes) -> _UnitReader:
    if not buffers.has_buffers(stream):
        return _UnitReader(io.BytesIO(stream))
    inner, found = buffers.split(stream)
    return _UnitReader(io.BytesIO(inner), buffers=found)


_foreign = Program(read_unit)
"""Where an answer's classes and functions live that this process does not have itself."""
_foreign_lock = threading.RLock()


def named(*name: str) -> Any:
    """Return the object of a global name."""
    stream = _current()
    where: Name = (name[0], name[1])
    if stream.program is not None:
        program = stream.program
        return _walk(program.value(where) if stream.unit is None else program.original(where), name[2:])
    record = stream.table.get(where)
    found = _own(where, record)
    if found is ABSENT:
        if _state.needs is not None:
            _foreign.apply(_state.needs)
        found = _foreign.value(where)
    return _walk(found, name[2:])


def _walk(found: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        found = getattr(found, part)
    return found


def _own(name: Name, record: UnitRecord | None) -> Any:
    """Return the object that this process has itself under the name; ABSENT if it is another one, or none."""
    if record is None:
        return ABSENT
    found = namespaces.known(record.key, name)
    if found is not ABSENT:
        return found
    names = _namespace(name[0])
    found = ABSENT if names is None else names.get(name[1], ABSENT)
    if found is ABSENT:
        return found
    if _state.key_of(name) != record.key:
        return ABSENT
    namespaces.issued(record.key, name, found)
    return found


def space(key: str) -> dict[str, Any]:
    """Return the namespace of that key, for the globals of a function."""
    stream = _current()
    if stream.program is not None:
        return stream.program.space(key).names
    names = _namespace(key)
    wanted = {short for where, short in stream.table if where == key}
    if names is not None and wanted <= names.keys():
        return names
    _state.wanted = _state.needs
    if _state.needs is not None and not _state.applying:  # a class may be called before the stream ends
        _state.applying = True
        try:
            _foreign.apply(_state.needs)
        finally:
            _state.applying = False
    return _foreign.space(key).names


def imported(module: str, name: str) -> Any:
    """Return what a dotted name stands for in a module that is imported here."""
    return _walk(importlib.import_module(module), tuple(name.split(".")))


def module(key: str) -> ModuleType:
    """Return the module of that key."""
    stream = _current()
    found = sys.modules.get(key)
    if stream.program is None and isinstance(found, ModuleType):
        return found
    return (stream.program or _foreign).space(key).module


def file_name(number: int) -> str:
    """Return the file name of the code object that is being made."""
    files = _current().sources.files
    return files[number][0] if number < len(files) else "<dynamic-code>"


def is_answer() -> bool:
    """Return whether what is being read comes back to a process that may have sent it."""
    return _state.program is None


def made(own: str, obj: Any) -> None:
    """Note that a named object is made, and not filled yet: what it is filled with may refer to it."""
    unit = _current().unit if own else None
    if unit is not None:
        for name in unit.names:
            if name[1] == own:
                unit.values[name] = obj


def keep(obj: Any) -> Any:
    """``obj``, which lives as long as the unit that is being read."""
    unit = _current().unit
    if unit is not None:
        unit.kept.append(obj)
    return obj


def install(sources: Sources) -> None:
    """Let tracebacks and inspect find the text of code that is in no file here."""
    for file, texts in sources.files:
        if not texts:
            continue
        lines = list(linecache.getlines(file))
        for first, text in texts.items():
            new = text.splitlines(keepends=True)
            lines += ["\n"] * (first - 1 + len(new) - len(lines))
            lines[first - 1 : first - 1 + len(new)] = new
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


def _namespace(key: str) -> dict[str, Any] | None:
    found = sys.modules.get(key)
    return vars(found) if isinstance(found, ModuleType) else None


def _current() -> _Stream:
    if _state.stream is None:
        raise pickle.UnpicklingError(
            "a function or class by value outside of a stream that begins with its names"
        )
    return _state.stream
