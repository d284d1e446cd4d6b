"""What runs on the worker's side on our behalf. Workers find it by name: standard library only."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from compute_executor.serialization import exceptions, native


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Return the generic caller: for what is not worth a registration of its own (partials, bound methods, ...)."""
    return function(*args, **kwargs)


class NamedCaller:
    """The generic caller under the name of what it calls, so that the service measures and shows the calls of one
    method or partial by themselves. ``name``: a qualified name."""

    def __init__(self, name: str) -> None:
        self.__qualname__ = name

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)


def named(name: str) -> NamedCaller:
    """Return the generic caller for what has this name."""
    return NamedCaller(name)


PathNews = tuple[tuple[str, ...], tuple[str, ...]]
"""What has come to ``sys.path``: before what was there, and behind it."""


def loads_with_path(path: PathNews, stream: bytes) -> Any:
    """Return the function of a stream, which may be of a module that is found in folders that the caller has added to
    its ``sys.path`` since the workers were started."""
    first, last = ([folder for folder in folders if folder not in sys.path] for folders in path)
    if first or last:
        sys.path[:] = [*first, *sys.path, *last]
        importlib.invalidate_caches()
    return native.loads(stream)


class Stream:
    """A function that is pickled already: travels as its own stream and arrives as the function. ``path``: what the
    caller's ``sys.path`` has more than that of its workers."""

    def __init__(self, stream: bytes, path: PathNews = ((), ())) -> None:
        self.stream = stream
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        if any(self.path):
            return loads_with_path, (self.path, self.stream)
        return native.loads, (self.stream,)


class EachOf:
    """A function made to take many argument tuples at once: one chunk of ``map`` is one task.

    The answer is ``(values, error)``: what came before an exception is not lost by it. ``error`` is the stream
    of serialization.exceptions, or None.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, calls: Sequence[tuple[Any, ...]]) -> tuple[list[Any], bytes | None]:
        values = []
        function = self.function
        try:
            for args in calls:
                values.append(function(*args))
        except Exception as error:
            return values, exceptions.encode(error, skip_frames=1)
        return values, None
