"""How a function travels: registered by content, or as an argument of the generic caller.

    importable (function, class, builtin)      registered: its stream is just its name
    plain function of __main__, lambda, ...    registered by value; again only when a fingerprint says it changed
    its second different content, and          argument of a generic caller, registered once for each name:
    partials, bound methods, callable objects  varying closures must not fill the service with functions

No I/O, no locks, no clock: serialization is passed in. Any thread may call at any time. Two that race for one
function come to the same content, hence to the same digest; that it is registered exactly once is up to the
one thread that sends (sender.py). Every change of a table is one atomic dict operation.
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, NamedTuple, Protocol

from compute_executor.batch import Function
from compute_executor.functions import remote
from compute_executor.functions.fingerprint import Snapshot, importable, snapshot
from compute_executor.functions.names import function_name
from compute_executor.serialization.buffers import LARGE
from compute_executor.serialization.by_value import registrations
from compute_executor.serialization.content import digest
from compute_executor.serialization.large import Content, Part, parts_of, size, whole

MAX_ENTRIES = 4096
"""Functions remembered; a full table is emptied. Far above what a program has, below what a leak would be."""

MAX_CALLERS = 64
"""Names that have a generic caller of their own; all others share one."""

_NOTHING: Any = object()


class FunctionRef(NamedTuple):
    """How one call is made: ``function(*args)``, or ``function(subject, *args)`` for the generic caller. ``parts``:
    what ``subject`` refers to, to be kept. ``each``: it takes many argument tuples.
    ``is_stream``: ``subject`` is pickled already."""

    function: Function
    subject: Any = _NOTHING
    parts: tuple[Part, ...] = ()
    each: bool = False
    is_stream: bool = False

    @property
    def is_generic(self) -> bool:
        """Whether the function travels as the first argument of the generic caller."""
        return self.subject is not _NOTHING

    def arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the positional arguments that travel."""
        return args if self.subject is _NOTHING else (self.subject, *args)


class _Entry(NamedTuple):
    target: weakref.ref[Any]
    snapshot: Snapshot | None
    route: FunctionRef


class Remote(Protocol):
    """What runs on the worker's side on our behalf: `remote` of our own workers, `serialization.stock` of others."""

    @property
    def call(self) -> Any:
        """The generic caller."""

    def named(self, name: str, /) -> Any:
        """Return the generic caller for what has this name; `call`, where names do not matter."""

    @property
    def EachOf(self) -> Callable[[Any], Any]:
        """A function made to take many argument tuples."""
        ...

    @property
    def Stream(self) -> Callable[..., Any]:
        """What arrives as the function of this stream, which is pickled already."""
        ...


class Registry:
    """Functions of one process, by identity and by content. ``dumps``: function to stream, in
    one piece, with the parts that it refers to. ``there``: what runs on the workers' side. ``follows_path``: workers
    have the search path of this moment, and are to get what comes to it."""

    def __init__(
        self,
        dumps: Callable[[Any], Content],
        limit: int = MAX_ENTRIES,
        there: Remote = remote,
        *,
        follows_path: bool = False,
    ) -> None:
        self._dump = dumps
        self.there = there
        self._limit = limit
        self._entries: dict[int, _Entry] = {}
        self._first: dict[
            tuple[CodeType | None, str], bytes
        ] = {}  # code object -> the one content registered
        self._callers: dict[str, Function] = {}
        self._pinned: dict[
            int, tuple[Any, FunctionRef]
        ] = {}  # by id(); the function is kept, so that it stays its
        self._by_value: set[str] = set()
        self._follows_path = follows_path
        self._path = self._first_path = list(sys.path)
        self._news: remote.PathNews = (), ()

    def route(self, function: Any) -> FunctionRef:
        """Return how to call ``function`` now. Raises SerializationError if it cannot become bytes."""
        if self._by_value != registrations():
            self._by_value = set(registrations())
            self._entries.clear()
        if self._path != sys.path:
            self._look_at_path()
        entry = self._entries.get(id(function))
        if (
            entry is not None
            and entry.target() is function
            and (entry.snapshot is None or entry.snapshot.unchanged(function))
        ):
            return entry.route
        return self._find(function)

    def each_of(self, function: Any) -> FunctionRef:
        """As :meth:`route`, for calls with many argument tuples (`remote.EachOf`); not remembered."""
        self._look_at_path()
        stream = self._dump(self.there.EachOf(function))
        if any(self._news):
            return self._as_stream(function, stream)._replace(each=True)
        if importable(function):
            return FunctionRef(self._function(function, stream), each=True)
        return self._first_of((getattr(function, "__code__", None), "each"), function, stream)._replace(
            each=True
        )

    def for_many(self, function: Any) -> FunctionRef:
        """As :meth:`route`, for many calls at once: what is large in a partial and the like is serialised now, and
        not again for each call."""
        found = self.route(function)
        if not found.is_generic or found.is_stream:
            return found
        stream = self._dump(function)
        if not parts_of(stream) and size(stream) < LARGE:
            return found
        return self._as_stream(function, stream)

    def pin(self, function: Any, function_id: bytes) -> None:
        """Call ``function`` by the id (16 bytes) under which it is registered, whatever its content becomes."""
        self._pinned[id(function)] = (
            function,
            FunctionRef(Function(function_id, function_name(function), None)),
        )
        self._entries.pop(id(function), None)

    def _find(self, function: Any) -> FunctionRef:
        pinned = self._pinned.get(id(function))
        if pinned is not None:
            return pinned[1]
        if any(self._news):
            return self._as_stream(function, self._dump(function))
        if importable(function):
            return self._remember(function, None, FunctionRef(self._function(function, self._dump(function))))
        if type(function) is not FunctionType:
            return FunctionRef(self._generic(function), function)
        taken = snapshot(function)  # before the stream: a change in between is then seen as one
        route = self._first_of((function.__code__, ""), function, self._dump(function))
        if taken is None or (route.is_generic and not route.parts):
            return route
        return self._remember(function, taken, route)

    def _first_of(self, key: tuple[CodeType | None, str], function: Any, stream: Content) -> FunctionRef:
        """Registered if its code has this content only; else it travels as the generic caller's argument. So does one
        that refers to parts: they are kept for its calls, not for good."""
        if parts_of(stream):
            return self._as_stream(function, stream)
        content = self._function(function, stream)
        _make_room(self._first, self._limit)
        if key[0] is not None and self._first.setdefault(key, content.digest) == content.digest:
            return FunctionRef(content)
        return self._as_stream(function, stream)

    def _as_stream(self, function: Any, stream: Content) -> FunctionRef:
        more = (self._news,) if any(self._news) else ()
        made = self.there.Stream(whole(stream), *more)
        return FunctionRef(self._generic(function), made, parts_of(stream), is_stream=True)

    def _look_at_path(self) -> None:
        """Find what has come to the search path since the workers were started: it travels with each function."""
        self._path = list(sys.path)
        if not self._follows_path:
            return
        known = set(self._first_path)
        first = next((at for at, folder in enumerate(self._path) if folder in known), len(self._path))
        news = [(at, os.path.abspath(folder)) for at, folder in enumerate(self._path) if folder not in known]
        before = tuple(folder for at, folder in news if at < first)
        self._news = before, tuple(folder for at, folder in news if at >= first)
        self._entries.clear()

    def _remember(self, function: Any, taken: Snapshot | None, route: FunctionRef) -> FunctionRef:
        key = id(function)
        entries = self._entries
        _make_room(entries, self._limit)
        with contextlib.suppress(TypeError):  # without weak references it is found anew at each call
            entries[key] = _Entry(weakref.ref(function, lambda _: entries.pop(key, None)), taken, route)
        return route

    def _generic(self, function: Any) -> Function:
        """Return the generic caller for a function of this name."""
        name = function_name(function)
        if name not in self._callers and len(self._callers) >= MAX_CALLERS:
            name = ""
        if name not in self._callers:
            caller = self.there.named(name) if name else self.there.call
            self._callers[name] = self._function(caller, self._dump(caller))
        return self._callers[name]

    def _function(self, function: Any, content: Content) -> Function:
        stream = whole(content)
        return Function(digest(stream), function_name(function), stream)


def _make_room(table: dict[Any, Any], limit: int) -> None:
    if len(table) >= limit:
        table.clear()
