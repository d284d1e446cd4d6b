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

import builtins
import contextlib
import pickle
import traceback
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from compute_executor.errors import HELP, TaskExecutionFailed
from compute_executor.serialization import native
from compute_executor.serialization.exception_parts import (
    Told,
    arguments,
    forgotten,
    has_own_init,
    make,
    set_attributes,
    set_part,
    slots_of,
    with_notes,
)

_Node = tuple[bytes | None, str, "Any", "Any", bool, "Any"]
"""Stream, text, cause node, context node, suppress_context, and of a group the nodes of its members."""
E = TypeVar("E", bound=BaseException)
MAX_CHAIN = 50
"""Links of a cause or context chain that travel; deeper ones are in the traceback text."""
CALLERS = frozenset({"compute_executor.functions.remote", "compute_executor.serialization.json_form"})
"""Modules that call functions on our behalf in a worker: a traceback begins behind them, with the user's function."""


class RemoteTraceback(Exception):
    """Shown as the cause of an exception that was raised elsewhere: the traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def tb(self) -> str:
        """The same under the name that concurrent.futures gives it."""
        return str(self)

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'


def encode(error: BaseException, skip_frames: int = 0) -> bytes:
    """Return the exception as bytes. Never raises. ``skip_frames``: how many of the worker's own frames to leave out,
    and then those of what calls on our behalf."""
    tb = _of_the_function(error.__traceback__, skip_frames)
    text = _format(error, tb)
    traceback.clear_frames(
        tb
    )  # what the task had in its hands is not needed any more, and may fill the memory
    try:
        chain = _node(error, MAX_CHAIN)
    except Exception:  # a __reduce__, __eq__ or property that misbehaves: the text must still arrive
        chain = None
    return pickle.dumps((type(error).__qualname__, _message(error), text, chain), native.PROTOCOL)


def _of_the_function(tb: TracebackType | None, skip_frames: int) -> TracebackType | None:
    while tb is not None and tb.tb_next is not None:
        if skip_frames <= 0 and tb.tb_frame.f_globals.get("__name__") not in CALLERS:
            break
        skip_frames -= 1
        tb = tb.tb_next
    return tb


def decode(data: bytes | memoryview, task_id: str | None = None) -> BaseException:
    """Return the exception again, with a RemoteTraceback at the end of its causes.

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
        set_part(one, "__traceback__", None)
    return error


def _linked(error: BaseException) -> list[BaseException]:
    """Return the exception, its causes and contexts, each once: user code may have made a ring of them."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in found:
            found[id(one)] = one
            waiting += [one.__cause__, one.__context__]
    return list(found.values())


def _format(error: BaseException, tb: TracebackType | None) -> str:
    """Return the traceback as text, without where the remedy is: the error itself says that, once."""
    try:
        lines = "".join(traceback.format_exception(type(error), error, tb)).splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(HELP))
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
    members = _members(error)
    return (
        _stream(error, whole=members is None and not slots_of(error) and not has_own_init(error)),
        f"{type(error).__qualname__}: {_message(error)}",
        _node(error.__cause__, depth - 1),
        _context_node(error, depth - 1),
        error.__suppress_context__,
        None if members is None else [_node(one, depth - 1) for one in members],
    )


_NO_CONTEXT = ()
"""In place of a context's node where there is a cause, and no context. None: the context is the cause."""


def _context_node(error: BaseException, depth: int) -> Any:
    if error.__context__ is error.__cause__:
        return None
    return _NO_CONTEXT if error.__context__ is None else _node(error.__context__, depth)


def _members(error: BaseException) -> tuple[BaseException, ...] | None:
    """Return the exceptions in a group; None: it is no group."""
    return error.exceptions if _GROUP is not None and isinstance(error, _GROUP) else None  # pyright: ignore[reportAttributeAccessIssue]


_GROUP: Any = getattr(builtins, "BaseExceptionGroup", None)  # Python 3.11


def _stream(error: BaseException, whole: bool) -> bytes | None:
    """Return the exception alone: whole if a round trip works, else in parts, else nothing."""
    for form in (_Alone(error), _Parts(error)) if whole else (_Parts(error),):
        with contextlib.suppress(Exception):
            stream = native.dumps(form)
            if not whole or type(native.loads(stream)) is type(error):
                return stream
    return None


class _Alone:
    """Pickles as the exception, without its causes: each of those travels for itself."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        made = Told(self.error), getattr(self.error, "__notes__", None)
        return with_notes, made, (forgotten(self.error) or None)


class _Parts:
    """Pickles as the exception's class, args and attributes; of those that cannot be pickled, open files are stood in
    for, and others are left out. Of a group: a description, as its members travel for themselves."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error = self.error
        state = {key: value for key, value in vars(error).items() if _picklable(value)}
        state.update(
            (key, StayedBehind(type(value).__name__)) for key, value in vars(error).items() if _is_open(value)
        )
        slots = {name: getattr(error, name) for name in slots_of(error) if _picklable(getattr(error, name))}
        slots |= forgotten(error)
        if _members(error) is not None:
            return _GroupParts, (type(error), error.message, state, slots)  # type: ignore[attr-defined]
        return _assemble, (type(error), _plain(arguments(error)), _plain(error.args), state, slots)


class _GroupParts(NamedTuple):
    """A group without its members."""

    kind: Any
    message: str
    state: dict[str, Any]
    slots: dict[str, Any]

    def with_members(self, members: list[BaseException]) -> BaseException:
        """Return the group. Its class may have a ``__new__`` of its own, with other parameters."""
        made: BaseException = _GROUP.__new__(self.kind, self.message, members)
        return set_attributes(made, self.state, self.slots)


class StayedBehind:
    """In place of an open file or connection that an exception holds: it is where the exception was raised."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"{name}: the {vars(self).get('_kind')} of this exception stayed in the worker")

    def __repr__(self) -> str:
        return f"<{self._kind} that stayed in the worker>"


def _is_open(value: Any) -> bool:
    """Return whether it is a file, a response, a socket: reading it would be a guess, and may block."""
    return hasattr(value, "read") and hasattr(value, "close") and not isinstance(value, type)


def _plain(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arg if _picklable(arg) else repr(arg) for arg in args)


def _picklable(value: Any) -> bool:
    try:
        native.loads(native.dumps(value))
    except Exception:
        return False
    return True


def _assemble(
    kind: type[BaseException],
    arguments: tuple[Any, ...],
    args: tuple[Any, ...],
    state: dict[str, Any],
    slots: dict[str, Any],
) -> BaseException:
    error = make(kind, *arguments)
    set_part(error, "args", args)
    return set_attributes(error, state, slots)


def _rebuild_chain(node: _Node | None) -> BaseException | None:
    if node is None:
        return None
    stream, _, cause, context, suppress, members = node
    error = _load(stream, members)
    if error is None:
        return None
    set_part(error, "__cause__", _rebuilt(cause))
    set_part(error, "__context__", error.__cause__ if context is None else _rebuilt(context or None))
    set_part(error, "__suppress_context__", suppress)
    return error


def _rebuilt(node: _Node | None) -> BaseException | None:
    """Return the exception of a node, or one that says what it was."""
    if node is None:
        return None
    error = _rebuild_chain(node)
    return TaskExecutionFailed(node[1]) if error is None else error


def _load(stream: bytes | None, members: list[_Node | None] | None) -> BaseException | None:
    if stream is None:
        return None
    try:
        error = native.loads(stream)
        if members is not None:
            error = error.with_members([_rebuilt(one) for one in members])
    except Exception:
        return None
    return error if isinstance(error, BaseException) else None


def _hang(error: BaseException, remote: RemoteTraceback) -> None:
    """Make ``remote`` the last of the causes, also where they form a ring."""
    last, seen = error, {id(error)}
    while last.__cause__ is not None and id(last.__cause__) not in seen:
        last = last.__cause__
        seen.add(id(last))
    set_part(last, "__cause__", remote)
