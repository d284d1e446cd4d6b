"""What runs on the worker's side on our behalf. Workers find it by name: standard library only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from compute_executor.serialization import exceptions, native


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The generic caller: for what is not worth a registration of its own (partials, bound methods, ...)."""
    return function(*args, **kwargs)


class Stream:
    """A function that is pickled already: travels as its own stream and arrives as the function."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream

    def __reduce__(self) -> tuple[Any, ...]:
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
