"""Large contents with as few copies as can be: pickled into pieces, written from them, read in place.

A fresh copy of 64 MB costs 45 ms here, nearly all of it page faults, so copies are what large bodies cost. A
pickler hands large bytes objects on as they are; so a content in pieces refers to the caller's own memory, and
must be written before the caller goes on. Standard library only: workers use this.
"""

from __future__ import annotations

import mmap
import os
from pickle import PickleBuffer

Piece = bytes | bytearray | memoryview
Content = bytes | list[Piece]
"""Bytes, or pieces of them in order."""

MAPPED = 512 * 1024
"""Bytes from which a file is mapped instead of read: below, unmapping costs more than the copy."""

_MOST_PIECES = 512  # of one writev; Linux takes 1024 (IOV_MAX)


class Sink:
    """The file of a pickler whose output stays in pieces."""

    __slots__ = ("pieces",)

    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    def write(self, piece: Piece | PickleBuffer) -> None:
        """Append what a pickler wrote; an array comes as a PickleBuffer, in its own shape and format."""
        self.pieces.append(piece.raw() if isinstance(piece, PickleBuffer) else piece)

    def content(self) -> Content:
        """All that was written."""
        return bytes(self.pieces[0]) if len(self.pieces) == 1 else self.pieces


def size(content: Content) -> int:
    """How many bytes it is."""
    return len(content) if isinstance(content, bytes) else sum(map(len, content))


def whole(content: Content) -> bytes:
    """The same in one bytes object."""
    return content if isinstance(content, bytes) else b"".join(content)


def write(file: int, content: Content) -> None:
    """Write all of it to an open file. Raises OSError."""
    pieces = [memoryview(piece) for piece in ([content] if isinstance(content, bytes) else content)]
    pieces.reverse()
    while pieces:
        written = os.writev(file, pieces[: -_MOST_PIECES - 1 : -1])
        while pieces and written >= len(pieces[-1]):
            written -= len(pieces.pop())
        if written:
            pieces[-1] = pieces[-1][written:]


def read(path: str) -> bytes | memoryview:
    """The content of a file; a large one is a view of the file itself. Raises OSError.

    The file must not be shortened while the view is in use. Blobs never are.
    """
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size < MAPPED:
            return file.read()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
