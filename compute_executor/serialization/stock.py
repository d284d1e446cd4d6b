"""The form in which functions and arguments travel to workers of a stock Globus Compute endpoint.

Those have dill, and need not have this package. So a function is a dill stream of itself inside the wrapper of
`carrier`, with the helpers and globals that it uses and nothing else of ``__main__`` (dill calls that ``recurse``);
arguments are dill streams; and what calls functions on our behalf (for partials, bound methods, chunks of a map) is
compiled from source under a name that exists nowhere, so that it travels by value.

By source, where the Pythons on both sides differ so much that neither reads the other's code objects: the text of
the function, of the wrapper around it, and nothing else. Streams are raw, without the base64 of the text buffers:
`packing` adds that where a text is wanted.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any

from compute_executor.errors import SerializationError
from compute_executor.serialization import carrier, content, json_source, native, packing, strategies
from compute_executor.serialization.buffers import Keep
from compute_executor.serialization.large import Content

PROTOCOL = 4  # read by every Python that an endpoint may run
_PLAIN = frozenset({int, float, bool, type(None), complex, str, bytes})


def dumps_for_all(function: Any) -> bytes:
    """Return the stream of a function as it is, for workers of either kind: those of stock endpoints need not have
    cloudpickle. For ours alone is what only cloudpickle serialises, or serialises otherwise: dill does not know of
    modules that were registered to travel by value, and a class that it makes anew does not come back as itself.
    Raises SerializationError."""
    stream = native.dumps(function)
    if b"cloudpickle.cloudpickle" not in stream and not content.has_names(stream):
        return stream
    try:
        for_stock = _stream(function)
    except Exception:
        return stream
    return for_stock if b"_create_function" in for_stock and b"_create_type" not in for_stock else stream


def dump_call(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    first_is_function: bool = False,
    _keep: Keep | None = None,
) -> Content:
    """Return a call payload as `native` has it, of streams that dill reads; there are no parts. Raises
    SerializationError."""
    try:
        first = _stream(args, plain=_PLAIN.issuperset(map(type, args)))
        rest = _stream(kwargs, plain=_PLAIN.issuperset(map(type, kwargs.values()))) if kwargs else b""
    except Exception as error:
        where, why = native.failing_argument(args, kwargs, _stream, _told, first_is_function) or (
            "the arguments",
            _told(error),
        )
        raise _refusal(where, why) from error
    return b"".join((len(first).to_bytes(4, "big"), first, rest))


class _Caller:
    """The generic caller, to be serialised as a function."""

    __name__ = "call"


call: _Caller = _Caller()


def named(_name: str) -> _Caller:
    """Return the generic caller, for what has any name: a registration at the hosted service stays."""
    return call


class EachOf:
    """A function made to take many argument tuples at once (`carrier.each`), to be serialised as a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


class Stream:
    """A function that is serialised already: travels as its own stream, which dill reads, and arrives as the
    function."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream

    def __reduce__(self) -> tuple[Any, ...]:
        import dill  # as in _stream

        return dill.loads, (self.stream,)


def dumps(function: Any) -> bytes:
    """Return the stream of a function, of the generic caller, or of an EachOf. Raises SerializationError."""
    try:
        if function is call:
            return _stream(carrier.calling())
        if isinstance(function, EachOf):
            function = function.function
            return _stream(carrier.each(function))
        return _stream(carrier.carrying(function))
    except Exception as error:
        raise _refusal(f"the function {_name(function)}", _told(error)) from error


def dumps_in_json_for_all(function: Any) -> bytes:
    """Return the stream of a function that answers only with what JSON can hold, for workers of either kind. Raises
    SerializationError."""
    return dumps_for_all(json_source.wrapped(function, json_source.ANYWHERE))


def dumps_in_json(function: Any, *, each: bool = False) -> bytes:
    """Return the stream of a function that answers only with what JSON can hold (`json_source`), or of the generic
    caller. ``each``: made to take many argument tuples. Raises SerializationError."""
    wrapper = json_source.EACH if each else json_source.IN_JSON
    try:
        return _stream(json_source.wrapped(None if function is call else function, wrapper))
    except Exception as error:
        raise _refusal(f"the function {_name(function)}", _told(error)) from error


def dumps_in_json_as_source(function: Any, *, each: bool = False) -> bytes:
    """Return the packed text of the same. Raises SerializationError for a function that is more than its source."""
    if function is call:
        raise SerializationError("what is not made by `def` cannot travel as source")
    wrapper = json_source.EACH if each else json_source.IN_JSON
    return packing.function_from_source(wrapper, json_source.source(*source_of(function)))


def dumps_as_source(function: Any) -> bytes:
    """Return the packed text of the same. Raises SerializationError for a function that is more than its source: a
    closure, a method, something without a file."""
    if function is call:
        return packing.function_from_source(carrier.CARRYING, carrier.source(carrier.CALLING, ""))
    if isinstance(function, EachOf):
        return packing.function_from_source(carrier.EACH, carrier.source(*source_of(function.function)))
    return packing.function_from_source(carrier.CARRYING, carrier.source(*source_of(function)))


def source_of(function: Any) -> tuple[str, str]:
    """Name and source of a function. Raises SerializationError for one that is more than its source."""
    if not isinstance(function, FunctionType) or function.__closure__ or function.__name__ == "<lambda>":
        raise SerializationError(
            f"{_name(function)} cannot travel as source: only a function that a `def` made, and that refers "
            "to nothing around it, is all in its source"
        )
    buffer = strategies.dumps(function, packing.SOURCE)
    name, _, source = buffer[packing.HEADER :].partition(":")
    return name, source


def _stream(obj: Any, plain: bool = False) -> bytes:
    if plain:
        return pickle.dumps(obj, PROTOCOL)
    import dill  # 50 ms, and only stock endpoints need it

    file = io.BytesIO()
    dill.Pickler(file, PROTOCOL, recurse=True).dump(obj)
    return file.getvalue()


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _refusal(what: str, why: str) -> SerializationError:
    return SerializationError(
        f"dill, which the workers of stock endpoints read, cannot serialise {what}: {why}. "
        "Pass something picklable: plain data instead of open files, locks, connections or generators"
    )


def _name(function: Any) -> str:
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__
