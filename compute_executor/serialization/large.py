"""Large contents with as few copies as can be: pickled into pieces, written from them, read in place.

A fresh copy of 64 MB costs 45 ms here, nearly all of it page faults, so copies are what large bodies cost. A
pickler hands large bytes objects on as they are; so a content in pieces refers to the caller's own memory, and
must be written before the caller goes on. Standard library only: workers use this.
"""

from __future__ import annotations

import mmap
import os
import weakref
from pickle import PickleBuffer

Piece = bytes | bytearray | memoryview


class Part:
    """A blob that streams refer to. Whoever made it may want to know when nobody holds it any more."""

    __slots__ = ("__weakref__", "name", "size")

    def __init__(self, name: str, size: int) -> None:
        self.name: str = name
        self.size: int = size


class Pieces(list[Piece]):
    """Pieces of a content in order. ``parts``: what it refers to."""

    parts: tuple[Part, ...] = ()


Content = bytes | list[Piece]
"""Bytes, or pieces of them in order."""

MAPPED = 512 * 1024
"""Bytes from which a file is mapped instead of read: below, unmapping costs more than the copy."""

COMPARED = 256 * 1024
"""Bytes that are compared at a time."""

MOST_MAPPED, MOST_MAPPED_BYTES = 100, 1 << 30
"""Files mapped at a time, and their bytes: each takes a descriptor, and its room on the disk even when its name is
gone. What is over that is read."""

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
        """Return all that was written."""
        return bytes(self.pieces[0]) if len(self.pieces) == 1 else self.pieces


def size(content: Content) -> int:
    """Return how many bytes it is."""
    return len(content) if isinstance(content, bytes) else sum(map(len, content))


def whole(content: Content) -> bytes:
    """Return the same in one bytes object."""
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


def parts_of(content: Content) -> tuple[Part, ...]:
    """Return what a content refers to."""
    return content.parts if isinstance(content, Pieces) else ()


def read(path: str) -> bytes | memoryview:
    """Return the content of a file; that of a large one may be written to, which changes neither the file nor what
    others read: a private mapping, or a copy. Raises OSError.

    The file must not be shortened while the view is in use. Blobs never are.
    """
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size < MAPPED:
            return file.read()
        if _may_map(size):
            return memoryview(_map(file.fileno(), size))
        copy = memoryview(bytearray(size))
        filled = 0
        while filled < size and (count := file.readinto(copy[filled:])):
            filled += count
        return copy[:filled]


def is_content_of(path: str, content: Piece) -> bool:
    """Return whether a file holds exactly this. Raises OSError. A piece at a time, which stays in the processor's
    cache: some 5 GB/s."""
    view = memoryview(content)
    piece = bytearray(COMPARED)
    with open(path, "rb", buffering=0) as file:
        at = 0
        while count := file.readinto(piece):
            found = piece if count == COMPARED else piece[:count]
            if found != view[at : at + count]:
                return False
            at += count
    return at == len(view)


_mapped: dict[int, int] = {}
"""The sizes of what is mapped, by id. Any thread changes it in single steps."""
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0)


def _may_map(size: int) -> bool:
    return len(_mapped) < MOST_MAPPED and sum(list(_mapped.values())) + size <= MOST_MAPPED_BYTES


def _map(file: int, size: int) -> mmap.mmap:
    mapped = mmap.mmap(
        file, size, flags=mmap.MAP_PRIVATE | _NO_RESERVE, prot=mmap.PROT_READ | mmap.PROT_WRITE
    )
    _mapped[id(mapped)] = size
    weakref.finalize(mapped, _mapped.pop, id(mapped), None).atexit = False
    return mapped
