"""An exception as bytes, so that it comes back as itself: type, args, attributes, notes, chain, traceback text.

Three layers, so that the caller always learns something:

1. the outer tuple ``(type name, message, traceback text, chain)`` holds only text and bytes, and can be read
   wherever pickle can be read;
2. the chain holds each exception as a stream of its own, so that an unpicklable cause costs only itself;
3. an exception whose own pickling breaks (an ``__init__`` with other parameters than ``args``: the classic that
   breaks a ProcessPoolExecutor) is taken apart into class, args and attributes, and rebuilt without ``__init__``.

On the way back the traceback text hangs at the end of the ``__cause__`` chain as a :class:`RemoteTraceback`, the
way concurrent.futures.process does it, and the causes in between are the original ones.

This module runs inside workers too: standard library only.
"""

from __future__ import annotations

import contextlib
import pickle
import traceback
from types import TracebackType
from typing import Any, TypeVar

from compute_executor.errors import TaskExecutionFailed
from compute_executor.serialization import native

_Node = tuple[
    bytes | None, str, "Any", "Any", bool
]  # stream, text, cause node, context node, suppress_context
E = TypeVar("E", bound=BaseException)
MAX_CHAIN = 50
"""Links of a cause or context chain that travel; deeper ones are in the traceback text."""


class RemoteTraceback(Exception):
    """Shown as the cause of an exception that was raised elsewhere: the traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'


def encode(error: BaseException, skip_frames: int = 0) -> bytes:
    """The exception as bytes. Never raises. ``skip_frames``: how many of the worker's own frames to leave out."""
    tb = error.__traceback__
    for _ in range(skip_frames):
        tb = tb.tb_next if tb is not None and tb.tb_next is not None else tb
    text = _format(error, tb)
    traceback.clear_frames(
        tb
    )  # what the task had in its hands is not needed any more, and may fill the memory
    try:
        chain = _node(error, MAX_CHAIN)
    except Exception:  # a __reduce__, __eq__ or property that misbehaves: the text must still arrive
        chain = None
    return pickle.dumps((type(error).__qualname__, _message(error), text, chain), native.PROTOCOL)


def decode(data: bytes | memoryview, task_id: str | None = None) -> BaseException:
    """The exception again, with a RemoteTraceback at the end of its causes.

    A :class:`TaskExecutionFailed` with the text stands in for one that cannot be rebuilt here. Raises
    ResultDecodeError if the bytes are not what :func:`encode` makes.
    """
    name, message, text, chain = native.loads(data)
    error = _rebuild_chain(chain) if chain is not None else None
    if error is None:
        error = TaskExecutionFailed(
            f"{name}: {message} (the exception itself could not be rebuilt here; its traceback is in "
            "remote_traceback and __cause__)",
            task_id=task_id,
            remote_traceback=text,
        )
    _hang(error, RemoteTraceback(text))
    return error


def detached(error: E) -> E:
    """``error`` without the frames that it and its causes hold; their traceback stays, as text.

    For an error that was raised here and goes into a future: its frames would keep alive what the thread had in
    its hands (the batch, the result's bytes, all of its callers' variables) for as long as somebody has the future.
    """
    linked = _linked(error)
    if any(one.__traceback__ is not None for one in linked):
        _hang(error, RemoteTraceback(_format(error, error.__traceback__)))
    for one in linked:
        one.__traceback__ = None
    return error


def _linked(error: BaseException) -> list[BaseException]:
    """The exception, its causes and contexts, each once: user code may have made a ring of them."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in found:
            found[id(one)] = one
            waiting += [one.__cause__, one.__context__]
    return list(found.values())


def _format(error: BaseException, tb: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, tb))
    except Exception:
        return f"{type(error).__qualname__}: {_message(error)} (its traceback cannot be formatted)"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "<no message: its __str__ raised>"


def _node(error: BaseException | None, depth: int) -> _Node | None:
    if error is None or depth == 0:
        return None
    return (
        _stream(error),
        f"{type(error).__qualname__}: {_message(error)}",
        _node(error.__cause__, depth - 1),
        _node(error.__context__, depth - 1) if error.__context__ is not error.__cause__ else None,
        error.__suppress_context__,
    )


def _stream(error: BaseException) -> bytes | None:
    """The exception alone: whole if a round trip works, else in parts, else nothing."""
    for form in (error, _Parts(error)):
        with contextlib.suppress(Exception):
            stream = native.dumps(form)
            if type(native.loads(stream)) is type(error):
                return stream
    return None


class _Parts:
    """Pickles as the exception's class, args and attributes; attributes that cannot be pickled are left out."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        state = {key: value for key, value in vars(self.error).items() if _picklable(value)}
        args = tuple(arg if _picklable(arg) else repr(arg) for arg in self.error.args)
        return _assemble, (type(self.error), args, state)


def _picklable(value: Any) -> bool:
    try:
        native.loads(native.dumps(value))
    except Exception:
        return False
    return True


def _assemble(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _rebuild_chain(node: _Node | None) -> BaseException | None:
    if node is None:
        return None
    stream, _, cause, context, suppress = node
    error = _load(stream)
    if error is None:
        return None
    error.__cause__ = _rebuild_chain(cause) or (TaskExecutionFailed(cause[1]) if cause else None)
    error.__context__ = _rebuild_chain(context) or error.__cause__
    error.__suppress_context__ = suppress
    return error


def _load(stream: bytes | None) -> BaseException | None:
    if stream is None:
        return None
    try:
        error = native.loads(stream)
    except Exception:
        return None
    return error if isinstance(error, BaseException) else None


def _hang(error: BaseException, remote: RemoteTraceback) -> None:
    """Make ``remote`` the last of the causes, also where they form a ring."""
    last, seen = error, {id(error)}
    while last.__cause__ is not None and id(last.__cause__) not in seen:
        last = last.__cause__
        seen.add(id(last))
    last.__cause__ = remote
