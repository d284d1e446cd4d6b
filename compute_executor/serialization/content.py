"""The digest of a function's stream: what it is registered by.

A stream of functions by value begins with the units that it needs, and beside them the names and the text of the
files that its code is from. Those are no content: a function that is the same in another file, or in another cell
of a notebook, is the same function. Only bytes are looked at: the service, which never unpickles, uses this.
"""

from __future__ import annotations

import hashlib

HEAD = b"\x80\x05ccompute_executor.serialization.reading\nenter\n"
"""How a stream with units begins; then two bytes objects follow: the units, and what is beside them."""
BEGIN = b"\x8e"
MAGIC = b"\x80\x05N0" + BEGIN
"""How a stream begins from which large buffers were taken out (`buffers`)."""
_LENGTH = 8


def has_names(stream: bytes | memoryview) -> bool:
    """Return whether functions or classes travel by value in this stream, from which no buffers were taken out."""
    return stream[: len(HEAD)] == HEAD


def digest(stream: bytes | memoryview) -> bytes:
    """Return the sha256 of a stream's content."""
    view = memoryview(stream)
    found = hashlib.sha256()
    if view[: len(MAGIC)] == MAGIC:  # buffers that were taken out: a table of them comes first
        table, view = _cut(view[len(MAGIC) - len(BEGIN) :])
        found.update(table)
        view = view[1:]
    if has_names(view):
        units, rest = _cut(view[len(HEAD) :])
        _, view = _cut(rest)
        found.update(units)
    found.update(view)
    return found.digest()


def binary(content: bytes) -> bytes:
    """Return what a bytes object begins with in a stream."""
    return BEGIN + len(content).to_bytes(_LENGTH, "little")


def _cut(view: memoryview) -> tuple[memoryview, memoryview]:
    """Return the bytes object at the beginning of ``view``, and what is behind it. One that is cut short is what
    there is."""
    start = len(BEGIN) + _LENGTH
    end = start + int.from_bytes(view[len(BEGIN) : start], "little")
    return view[start:end], view[end:]
