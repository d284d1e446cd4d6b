"""The form in which our own clients and workers exchange objects: plain pickle streams.

A stream is made by `pickle` where that is enough and by `cloudpickle` where something must travel by value
(functions and classes of ``__main__``, notebooks, lambdas, closures); both are read by `pickle`. A dill stream
(what stock Globus Compute clients send, once its base64 is undone) is read as well.

Why cloudpickle beside dill: it takes along the helper functions and globals that a function of ``__main__``
uses, and it remembers the classes it has sent, so that an instance or exception of a class of the caller's
script comes back as an instance of that very class. dill's default does neither. Towards stock endpoints,
whose workers know only dill, the text buffers of `serialization.strategies` are used.

A *call payload* is the arguments of one call: 4 bytes big-endian length of the first stream, the stream of the
positional arguments (a tuple), the stream of the keyword arguments (a dict; nothing if there are none). Two
streams, because a stock peer gets them as two buffers and the service must split them without unpickling.

This module runs inside workers too, so it imports only the standard library until it needs more.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from compute_executor.errors import ComputeError, ResultDecodeError, SerializationError, UsedInImport
from compute_executor.serialization import buffers, content, sdk_classes
from compute_executor.serialization.buffers import BufferSink, Keep
from compute_executor.serialization.large import Content, Piece, Pieces, parts_of, size, whole

if TYPE_CHECKING:
    from compute_executor.serialization.namespaces import Name

PROTOCOL = 5  # PEP 574; read by every Python that a worker may run (3.8+)

_SCALARS = frozenset({int, float, bool, type(None), complex})
_ATOMS = _SCALARS | {str, bytes}
_LISTS = frozenset({list, tuple})
LOOKED_AT = 1000
"""Entries of a list of which each is looked at before it is pickled: some 20 microseconds."""
_DILL_MARK = b"dill._dill"
_SNIFF = 64 * 1024
_LEAST = 48
"""Bytes of the shortest stream that has names or buffers in it, or is of the SDK: most arguments and results have
fewer."""
_LENGTH_BYTES = 4


def dumps(obj: Any) -> bytes:
    """Return one pickle stream. Raises SerializationError naming the type that cannot be pickled, and the cause."""
    try:
        return whole(dump(obj))
    except (SystemExit, GeneratorExit) as error:  # a __reduce__ is the user's code, which may call sys.exit
        raise _unserializable(obj, error) from error


def dump_function(function: Any, keep: Keep | None = None) -> Content:
    """Return the stream of a function, in one piece; and what it refers to. Raises SerializationError as `dumps`
    does."""
    try:
        found = dump(function, keep, function_in(function))
    except (SystemExit, GeneratorExit) as error:
        raise _unserializable(function, error) from error
    if not isinstance(found, Pieces) or not found.parts:
        return whole(found)
    stream = Pieces([whole(found)])
    stream.parts = found.parts
    return stream


def function_in(obj: Any) -> FunctionType | None:
    """Return the function that this is, or that it was made for to take many arguments."""
    found = getattr(obj, "function", obj)
    return found if type(found) is FunctionType else None


def dump(obj: Any, keep: Keep | None = None, function: FunctionType | None = None) -> Content:
    """Return the stream of `dumps`; a large one in pieces, of which some are the object's own memory. A
    ``__reduce__`` that calls sys.exit ends the task with SystemExit. ``keep``: makes parts of large buffers;
    ``function``: see `packer.Packer.pack`."""
    try:
        if type(obj) in _SCALARS:
            return pickle.dumps(obj, PROTOCOL)
        return _in_pieces(obj, _is_plain(obj), keep, function=function)
    except Exception as error:
        raise _unserializable(obj, error) from error


def _is_plain(obj: Any) -> bool:
    """Return whether an object is surely made of atoms alone, as the answer of a chunk of calls often is: what makes
    packers is 25 ms of imports in a worker that needs them for nothing else."""
    if type(obj) not in _LISTS:
        return type(obj) in _ATOMS or _is_of_atoms(obj)
    return len(obj) <= LOOKED_AT and all(type(one) in _ATOMS or _is_of_atoms(one) for one in obj)


def _is_of_atoms(obj: Any) -> bool:
    """Return whether it is a list, a tuple or a dict of atoms, as the row of a table is."""
    kind = type(obj)
    if kind is dict and len(obj) <= LOOKED_AT:
        return _ATOMS.issuperset(map(type, obj)) and _ATOMS.issuperset(map(type, obj.values()))
    return kind in _LISTS and len(obj) <= LOOKED_AT and _ATOMS.issuperset(map(type, obj))


def _unserializable(obj: Any, error: BaseException) -> SerializationError:
    from compute_executor.serialization import blame

    told = f"cannot serialise {_described(obj)}: {blame.why(obj, error)}"
    if isinstance(getattr(error, "error", error), ComputeError):  # a ref: it says itself what to do
        return SerializationError(told)
    return SerializationError(
        f"{told}. Pass something picklable: plain data instead of open files, locks, connections or generators."
    )


def _in_pieces(
    obj: Any, plain: bool, keep: Keep | None, base: int = 0, function: FunctionType | None = None
) -> Content:
    """Return a stream in pieces if it is large. ``plain``: nothing in ``obj`` has to travel by value. ``base``: where
    in its file it will begin."""
    if plain:
        sink = BufferSink()
        pickle.Pickler(sink, PROTOCOL).dump(obj)
        return sink.content(base, keep)
    from compute_executor.serialization import packer  # 25 ms, and not needed for plain data

    return packer.Packer(keep=keep, base=base).pack(obj, function)


def loads(stream: bytes | memoryview) -> Any:
    """Return the object of a stream made by pickle, cloudpickle or dill. Raises ResultDecodeError."""
    try:
        if len(stream) < _LEAST and type(stream) is bytes and _DILL_MARK not in stream:
            return pickle.loads(stream)
        if buffers.has_buffers(stream) or content.has_names(stream):
            from compute_executor.serialization import reading

            return reading.load(stream, _key_of)
        head = stream[:_SNIFF]
        start = head if isinstance(head, bytes) else bytes(head)
        if sdk_classes.MARK in start:
            return sdk_classes.load(stream)
        if _DILL_MARK in start:
            import dill  # 50 ms; only streams of dill clients need it

            return dill.loads(stream)
        return pickle.loads(stream)
    except (ResultDecodeError, UsedInImport):  # say more than we could: endpoint.worker.bytecode, session
        raise
    except Exception as error:
        raise ResultDecodeError(
            f"cannot read {len(stream)} bytes: {type(error).__name__}: {error}. Is the module that defines the "
            "object installed on this side, in the same version?"
        ) from error


def _key_of(name: Name) -> bytes:
    from compute_executor.serialization import packer  # writing, which most answers do not need

    return packer.key_of(name)


def dumps_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Return the call payload of ``f(*args, **kwargs)``. Raises SerializationError naming the argument at fault."""
    return whole(dump_call(args, kwargs))


def dump_call(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    first_is_function: bool = False,
    keep: Keep | None = None,
) -> Content:
    """Return the same; a large one in pieces, of which some are the arguments' own memory. ``first_is_function``: the
    first is what is called (by the generic caller), so that the numbers of arguments in errors begin behind it.
    ``keep``: makes parts of large buffers."""
    try:
        if not kwargs and _SCALARS.issuperset(map(type, args)):
            stream = pickle.dumps(args, PROTOCOL)
            return len(stream).to_bytes(4, "big") + stream
        first = _in_pieces(args, _ATOMS.issuperset(map(type, args)), keep, _LENGTH_BYTES)
        rest = _in_pieces(kwargs, False, keep, _LENGTH_BYTES + size(first)) if kwargs else b""
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _refusal(args, kwargs, error, first_is_function) from error
    return _joined(first, rest)


def _joined(first: Content, rest: Content) -> Content:
    head = size(first).to_bytes(_LENGTH_BYTES, "big")
    if isinstance(first, bytes) and isinstance(rest, bytes):
        return b"".join((head, first, rest))
    both = [head, *_listed(first), *_listed(rest)]
    parts = (*parts_of(first), *parts_of(rest))
    if not parts:
        return both
    pieces = Pieces(both)
    pieces.parts = parts
    return pieces


def _listed(content: Content) -> list[Piece]:
    return [content] if isinstance(content, bytes) else content


def split_call(payload: bytes | memoryview) -> tuple[memoryview, memoryview]:
    """Return the two streams of a call payload, unread; the second is empty if there are no keyword arguments."""
    view = memoryview(payload)
    length = int.from_bytes(view[:4], "big")
    if len(view) < 4 + length or length == 0:
        raise ResultDecodeError(f"a call payload of {len(view)} bytes is cut short or is none")
    return view[4 : 4 + length], view[4 + length :]


def loads_call(payload: bytes | memoryview) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """``(args, kwargs)`` of a call payload. Raises ResultDecodeError."""
    if 4 < len(payload) <= _SNIFF and int.from_bytes(payload[:4], "big") == len(payload) - 4:
        return _arguments(
            bytes(payload[4:])
        ), {}  # small and without keywords, as most are: a copy is cheaper than views
    first, rest = split_call(payload)
    return _arguments(first), loads(rest) if len(rest) else {}


def _arguments(stream: bytes | memoryview) -> Any:
    """Return the positional arguments. Raises ResultDecodeError that names the one that cannot be read."""
    try:
        return loads(stream)
    except ResultDecodeError as error:
        from compute_executor.serialization import blame

        number = blame.unreadable(buffers.in_band(bytes(stream)), loads)
        if number is not None:
            error.args = (f"argument {number}, in the worker: {error.args[0]}", *error.args[1:])
        raise


def failing_argument(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dump: Callable[[Any], object],
    tell: Callable[[BaseException], str],
    first_is_function: bool = False,
) -> tuple[str, str] | None:
    """Return which argument ``dump`` refuses, and why as ``tell`` says it: found by trying each alone, which only a
    failed call pays for. None: each alone is taken. The error itself is not handed out: its traceback holds this
    frame and those of its callers, which would keep the error in a circle and whatever they know alive."""
    numbers = range(-first_is_function, len(args))
    named = [
        (f"argument {number}" if number >= 0 else "the function", value)
        for number, value in zip(numbers, args, strict=False)
    ]
    named += [(f"argument {name!r}", value) for name, value in kwargs.items()]
    for where, value in named:
        try:
            dump(value)
        except KeyboardInterrupt:
            raise
        except BaseException as refused:
            return where, tell(refused)
    return None


def _refusal(
    args: tuple[Any, ...], kwargs: dict[str, Any], error: BaseException, first_is_function: bool
) -> SerializationError:
    found = failing_argument(args, kwargs, dumps, str, first_is_function)
    if found is not None:
        return SerializationError(f"{found[0]}: {found[1]}")
    return SerializationError(f"the arguments cannot be serialised: {type(error).__name__}: {error}")


def _described(obj: Any) -> str:
    kind = type(obj)
    name = getattr(obj, "__qualname__", None)
    what = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    return f"{what} {name}" if isinstance(name, str) else f"an object of type {what}"
