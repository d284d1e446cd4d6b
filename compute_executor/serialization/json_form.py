r"""Calls and answers as JSON, for a client that unpickles nothing: text buffers of method ``11`` (`strategies`).

A function travels inside of a wrapper whose answer is JSON already (:class:`WrittenAnswer`); what it raises comes as
ever, and only the texts in it are read. Workers use this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from compute_executor.errors import InvalidRequest, ResultDecodeError, SerializationError, TaskExecutionFailed
from compute_executor.serialization import exceptions, packing, strict_json
from compute_executor.serialization.traceback_text import summary
from compute_executor.serialization.written import WrittenAnswer

METHOD = "11"
_PICKLE = b"\x80"


def buffer(value: Any) -> str:
    """Return the text buffer of a value that has no fault."""
    return f"{METHOD}\n{strict_json.dumps(value)}"


def dump_call(args: Iterable[Any], kwargs: dict[str, Any]) -> bytes:
    """Return the packed text of a call. Raises SerializationError that names the argument at fault."""
    return body(checked_call(args, kwargs))


def checked_call(args: Iterable[Any], kwargs: dict[str, Any]) -> list[Any]:
    """``[args, kwargs]``. Raises as :func:`dump_call`."""
    positional = [*args]
    for number, value in enumerate(positional):
        _check(value, f"argument {number}")
    for name, value in kwargs.items():
        _check(name, "the name of a keyword argument")
        _check(value, f"argument {name!r}")
    return [positional, kwargs]


def checked_calls(calls: Sequence[Sequence[Any]]) -> list[Any]:
    """``[args, kwargs]`` of one call whose argument is many argument tuples. Raises as :func:`dump_call`."""
    for number, args in enumerate(calls):
        for position, value in enumerate(args):
            _check(value, f"argument {position} of call {number} of the chunk")
    return [[[list(args) for args in calls]], {}]


def body(call: list[Any]) -> bytes:
    """Return the packed text of ``[args, kwargs]``."""
    return packing.pack([buffer(one) for one in call]).encode()


# -- in the worker ------------------------------------------------------------------------------------------


def written(value: Any) -> WrittenAnswer:
    """Return what a function returned, as JSON. Raises SerializationError."""
    return value if isinstance(value, WrittenAnswer) else unchecked(checked(value))


def checked(value: Any) -> Any:
    """Return what a function returned. Raises SerializationError."""
    _check(value, "the result")
    return value


def unchecked(value: Any) -> WrittenAnswer:
    """Return the answer of a value that has no fault."""
    return WrittenAnswer(packing.pack([buffer(value)]).encode())


def _check(value: Any, where: str) -> None:
    found = strict_json.fault(value, where)
    if found:
        raise SerializationError(f'{found} (serializer="json" sends only what comes back as it was)')


class InJson:
    """A function whose answer is JSON."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> WrittenAnswer:
        return written(self.function(*args, **kwargs))


class EachOf(InJson):
    """A function made to take many argument tuples at once. Its answer is ``[values, error]`` in JSON: what came
    before an exception is not lost by it. The error is its type name, message and traceback, or None."""

    def __call__(self, calls: Sequence[Sequence[Any]]) -> WrittenAnswer:
        values = []
        error = None
        try:
            for args in calls:
                values.append(checked(self.function(*args)))
        except Exception as raised:
            error = [*packing.exception_texts(exceptions.encode(raised, skip_frames=1))]
        return unchecked([values, error])


def call(function: Callable[..., Any], text: str, /) -> Any:
    """Return the generic caller, which gets ``[args, kwargs]`` as JSON."""
    args, kwargs = strict_json.loads(text)
    return function(*args, **kwargs)


# -- in the client ------------------------------------------------------------------------------------------


def value_of(body: bytes | memoryview) -> Any:
    """Return the value in a result's body. Raises ResultDecodeError for what is not JSON; nothing is unpickled."""
    if body[:1] == _PICKLE:
        raise ResultDecodeError(
            f'the result is a pickle stream of {len(body)} bytes, which serializer="json" does not read: submit the '
            "function itself, or register it, with that serializer, then its workers answer in JSON"
        )
    try:
        text = packing.result_to_text(bytes(body))
        if text[: packing.HEADER] != f"{METHOD}\n":
            raise ResultDecodeError(
                f'the result is a text buffer of method {text[:2]!r}, and serializer="json" reads only {METHOD}'
            )
        return strict_json.loads(text[packing.HEADER :])
    except (InvalidRequest, IndexError, ValueError) as error:
        raise ResultDecodeError(f"a result of {len(body)} bytes is no JSON: {error}") from None


def raised(body: bytes | memoryview, task_id: str | None = None) -> TaskExecutionFailed:
    """Return what a task raised, as the texts in it: nothing is unpickled, and no class is looked up. Raises
    ResultDecodeError."""
    if body[:1] == _PICKLE:
        return failed(*packing.exception_texts(bytes(body)), task_id)
    text = bytes(body).decode("utf-8", "backslashreplace")
    name, _, message = summary(text).partition(": ")
    return failed(name, message, text, task_id)


def failed(name: str, message: str, traceback: str, task_id: str | None = None) -> TaskExecutionFailed:
    """Return an exception that is known by its texts."""
    error = TaskExecutionFailed(
        f"{name}: {message}" if message else name,
        task_id=task_id,
        remote_traceback=traceback,
        remote_type=name,
    )
    error.__cause__ = exceptions.RemoteTraceback(traceback)
    return error


def raised_in_chunk(texts: Any) -> TaskExecutionFailed:
    """Return what one of many calls raised. Raises ResultDecodeError for what is not its three texts."""
    try:
        name, message, traceback = texts
        return failed(str(name), str(message), str(traceback))
    except (TypeError, ValueError) as error:
        raise ResultDecodeError(
            f"what a call of a chunk raised is not told by three texts: {error}"
        ) from None
