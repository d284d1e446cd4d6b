r"""Text buffers of the stock peers to native streams and back, without ever reading a pickle.

A stock peer speaks text (observed of globus-compute-sdk 4.19): a *buffer* is two characters naming a
method, a newline and what the method made, and *packing* puts ``<length in characters>\n`` before each::

    pack(["00\ngASV...\n", "00\ngAR9lC4=\n"])  ->  "28\n00\ngASV...\n12\n00\ngAR9lC4=\n"

The payload of ``00`` (data) and ``01`` (code), which nearly every peer sends, is the base64 of a pickle
stream. Undoing the base64 makes the *native* form of `serialization.native`, a quarter smaller, which is what
we store and what our workers read; base64 is made again only for a stock peer. A buffer of any other method
(JSON, source text) keeps its packed text, as UTF-8, and `serialization.strategies` reads it in the worker.

The two forms cannot be mistaken for each other, see :func:`is_text`. Pure functions: no I/O, no clock, and no
pickle is ever read.
"""

from __future__ import annotations

import base64
import pickle
import pickletools
from collections.abc import Iterable

from compute_executor.errors import InvalidRequest, ResultDecodeError
from compute_executor.serialization import buffers, native

DATA = "00"
CODE = "01"
SOURCE = "st"
HEADER = 3
"""Characters of a buffer before its payload: the method and a newline."""

_PICKLE = b"\x80"  # opcode PROTO, the first byte of every pickle stream of protocol 2 and above
_NO_KEYWORDS = b"\x80\x04}\x94."  # what dill makes of {}: the keyword arguments of most calls
_LENGTH_DIGITS = 10


def pack(buffers: Iterable[str]) -> str:
    r"""Return all buffers in one text.

    >>> pack(["11\n1", "00\ngAROLg==\n"])
    '4\n11\n112\n00\ngAROLg==\n'
    """
    return "".join(f"{len(buffer)}\n{buffer}" for buffer in buffers)


def unpack(packed: str) -> list[str]:
    r"""Return the buffers of a packed text. Raises InvalidRequest saying where it is broken.

    >>> unpack('4\n11\n112\n00\ngAROLg==\n')
    ['11\n1', '00\ngAROLg==\n']
    """
    buffers = []
    start = 0
    while start < len(packed):
        newline = packed.find("\n", start, start + _LENGTH_DIGITS + 1)
        digits = packed[start:newline]
        if newline < 0 or not (digits.isascii() and digits.isdigit()):
            raise InvalidRequest(f"a packed buffer has no length at character {start} of {len(packed)}")
        end = newline + 1 + int(digits)
        if end > len(packed):
            raise InvalidRequest(f"a packed buffer ends at character {end}, but there are {len(packed)}")
        buffers.append(packed[newline + 1 : end])
        start = end
    return buffers


def is_text(body: bytes) -> bool:
    """Return whether a body is packed text rather than native.

    A native function or result is a pickle stream (first byte 0x80), a native call payload has one after its
    4 bytes of length. Text has neither: its first five characters are digits, newlines and a method.
    """
    return body[:1] != _PICKLE and body[4:5] != _PICKLE


# -- text to native -----------------------------------------------------------------------------------------


def call_from_text(packed: str) -> bytes:
    """Return the body of a call that came as ``pack([args, kwargs])``. Raises InvalidRequest."""
    buffers = unpack(packed)
    if len(buffers) != 2:
        raise InvalidRequest(
            f"a task's payload holds args and kwargs, two packed buffers; this has {len(buffers)}"
        )
    streams = [_stream(buffer, DATA) for buffer in buffers]
    if None in streams:
        return _encoded(packed)
    first, rest = (stream or b"" for stream in streams)
    return b"".join((len(first).to_bytes(4, "big"), first, b"" if rest == _NO_KEYWORDS else rest))


def function_from_text(packed: str) -> bytes:
    """Return the body of a function that came as ``pack([function])``. Raises InvalidRequest."""
    buffers = unpack(packed)
    if len(buffers) != 1:
        raise InvalidRequest(f"a function's code is one packed buffer; this has {len(buffers)}")
    return _stream(buffers[0], CODE) or _encoded(packed)


def function_from_source(name: str, source: str) -> bytes:
    """Return the body of a function given as bare source text (a registration with ``serialized: false``)."""
    return _encoded(pack([f"{SOURCE}\n{name}:{source}"]))


def result_from_text(buffer: str) -> bytes:
    """Return the body of a result that came as one buffer, not packed. Raises InvalidRequest."""
    return _stream(buffer, DATA) or _stream(buffer, CODE) or _encoded(pack([buffer]))


# -- native to text -----------------------------------------------------------------------------------------


def call_to_text(body: bytes) -> str:
    """``pack([args, kwargs])`` for a stock peer. Raises ResultDecodeError if the body is no call payload."""
    if is_text(body):
        return _decoded(body)
    first, rest = native.split_call(body)
    return pack([_buffer(DATA, bytes(first)), _buffer(DATA, bytes(rest) or _NO_KEYWORDS)])


def function_to_text(body: bytes) -> str:
    """``pack([function])`` for a stock peer."""
    return _decoded(body) if is_text(body) else pack([_buffer(CODE, body)])


def task_to_text(function: bytes, call: bytes) -> str:
    """Return the task buffer of a stock endpoint: function, args and kwargs, packed one after the other."""
    return function_to_text(function) + call_to_text(call)


def result_to_text(body: bytes) -> str:
    """Return the one buffer, not packed, that a stock SDK reads as a result."""
    return unpack(_decoded(body))[0] if is_text(body) else _buffer(DATA, body)


def exception_from_text(name: str, message: str, text: str) -> bytes:
    """Return what ``serialization.exceptions.encode`` would have made, of an exception that came as the text of its
    traceback only: nothing in it can be rebuilt."""
    return pickle.dumps((name, message, text, None), native.PROTOCOL)


def exception_to_text(body: bytes) -> str:
    """Return the traceback out of what ``serialization.exceptions.encode`` made, for peers that want text. Raises
    ResultDecodeError."""
    return exception_texts(body)[2]


def exception_texts(body: bytes) -> tuple[str, str, str]:
    """Type name, message and traceback out of what ``serialization.exceptions.encode`` made. Raises
    ResultDecodeError.

    The opcodes are listed, not executed. The encoding is a tuple that starts with three strings: type name,
    message, traceback.
    """
    strings: list[str] = []
    memo: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(body):
            if opcode.name.endswith("BINUNICODE") or opcode.name == "BINUNICODE8":
                strings.append(str(argument))
            elif opcode.name == "MEMOIZE":
                memo.append(strings[-1])
            elif opcode.name == "BINGET":  # the same string object twice
                strings.append(memo[int(argument or 0)])
            if len(strings) == 3:
                return strings[0], strings[1], strings[2]
    except (ValueError, IndexError):
        pass
    raise ResultDecodeError(f"{len(body)} bytes are no encoded exception")


# -- pieces -------------------------------------------------------------------------------------------------


def _stream(buffer: str, method: str) -> bytes | None:
    """Return the pickle stream of a buffer of this method; None if it is of another, or older than protocol 2."""
    _check(buffer)
    if buffer[:2] != method:
        return None
    try:
        stream = base64.b64decode(buffer[HEADER:].replace("\n", ""), validate=True)
    except ValueError as error:
        raise InvalidRequest(
            f"a {method} buffer of {len(buffer)} characters is no base64: {error}"
        ) from error
    return stream if stream[:1] == _PICKLE else None


def _check(buffer: str) -> None:
    if len(buffer) < HEADER or buffer[2] != "\n" or not buffer[:2].isascii():
        raise InvalidRequest(
            f"a buffer starts with two characters and a newline, this with {buffer[:HEADER]!r}"
        )


def _buffer(method: str, stream: bytes) -> str:
    return f"{method}\n{base64.encodebytes(buffers.in_band(stream)).decode('ascii')}"


def _encoded(packed: str) -> bytes:
    try:
        return packed.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, which JSON can smuggle in
        raise InvalidRequest(f"a buffer holds what is no text: {error}") from error


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ResultDecodeError(
            f"{len(body)} bytes are neither a native payload nor a text buffer"
        ) from error
