"""Large buffers beside their pickle stream instead of in it (PEP 574), so that they are written once and mapped.

A stream whose large bytes, text, byte arrays and array buffers were taken out of it begins with a table of them::

    MAGIC  length  table  POP   the stream, with NEXT_BUFFER in their places   padding  buffer  padding  buffer ...

Each buffer lies behind the stream, where ``start`` of its entry says, or is a *part*: a blob of its own, which many
streams may refer to. The beginning is valid pickle that does nothing, so that whoever lists opcodes can read all.

The pickler hands out arrays by itself (``buffer_callback``); bytes and the like it writes as a header and, in a
write of its own, the very object. So the header is taken back, and the reader gets the object from the table.
Standard library only: workers use this.
"""

from __future__ import annotations

import os
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pickle import PickleBuffer
from typing import Any, NamedTuple

from compute_executor.errors import ResultDecodeError
from compute_executor.serialization import large
from compute_executor.serialization.content import MAGIC
from compute_executor.serialization.large import Content, Part, Piece, Pieces, Sink

_POP = b"0"
_LENGTH = struct.Struct("<Q")
_ENTRY = struct.Struct("<B16sQQ")  # kind, name of a part or zeros, where it starts (from MAGIC), size
_NO_NAME = bytes(16)

BYTES, TEXT, BYTEARRAY, BUFFER = range(4)
"""What the reader makes of a buffer."""

LARGE = large.MAPPED
"""Bytes from which a buffer is taken out: whatever holds one is large enough to be mapped."""
ALIGNED = 64
"""Buffers behind a stream begin at multiples of this in their file: what numpy's own arrays are aligned to."""
MOST_ENTRIES = 10_000
"""Buffers taken out of one stream; more stay in it. Each part is a file, and is named in the batch."""
KEPT = 256 * 1024 * 1024
"""Bytes of parts kept as objects in this process, of those that never change: bytes and text."""

_FRAME, _NEXT_BUFFER, _READ_ONLY = b"\x95", b"\x97", b"\x98"
_PROTO = b"\x80\x05"
_SHORT_HEADER, _LONG_HEADER = 5, 9
_KINDS = {b"B": BYTES, b"\x8e": BYTES, b"X": TEXT, b"\x8d": TEXT, b"\x96": BYTEARRAY}
_OPCODES = {BYTES: b"\x8e", TEXT: b"\x8d", BYTEARRAY: b"\x96", BUFFER: b"\x96"}


class Taken(NamedTuple):
    """A buffer that was taken out."""

    kind: int
    content: Piece


Keep = Callable[[Taken], "Part | None"]
"""Makes a part of a buffer; None: it travels behind the stream."""


class BufferSink(Sink):
    """The file of a pickler from whose stream large buffers are taken out. `take` is its ``buffer_callback``."""

    __slots__ = ("_expects", "_seen", "taken")

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Taken] = []
        self._seen = 0
        self._expects = False  # the last write that was seen ended with a header

    def take(self, buffer: PickleBuffer) -> bool:
        """Take an array's buffer out; True: it is to be written into the stream."""
        try:
            raw = buffer.raw()
        except BufferError:  # in pieces: pickle says so
            return True
        if raw.nbytes < LARGE or len(self.taken) >= MOST_ENTRIES:
            return True
        self.taken.append(Taken(BUFFER, raw))
        return False

    def write(self, piece: Piece | PickleBuffer) -> None:
        """Append what a pickler wrote, unless it is a large payload."""
        content = piece.raw() if isinstance(piece, PickleBuffer) else piece
        if len(content) >= LARGE and self._awaits_payload() and len(self.taken) < MOST_ENTRIES:
            header = self.pieces[-1]
            length = _header(header)
            self.pieces[-1] = header[:-length] + _NEXT_BUFFER  # type: ignore[operator]  # what C writes is bytes
            self.taken.append(Taken(_KINDS[bytes(header[-length : 1 - length])], content))
            self._seen, self._expects = len(self.pieces), False
            return
        self.pieces.append(content)

    def _awaits_payload(self) -> bool:
        """Return whether the last write ended with the header of a payload, which comes in the next one."""
        for piece in self.pieces[self._seen :]:
            self._expects = not self._expects and _header(piece) > 0
        self._seen = len(self.pieces)
        return self._expects

    def content(self, base: int = 0, keep: Keep | None = None) -> Content:
        """Return all that was written, and behind it what was taken; see `with_buffers`."""
        return with_buffers(super().content(), self.taken, base, keep)


def _header(piece: Piece) -> int:
    """Return the length of the header that a write of the pickler ends with; 0: it ends with something else. A write
    is whole frames; or it ends, behind them, with at most three bytes that were too short for a frame, and a
    header."""
    at = len(_PROTO) if piece[:2] == _PROTO else 0
    while piece[at : at + 1] == _FRAME:
        at += 1 + _LENGTH.size + int.from_bytes(piece[at + 1 : at + 1 + _LENGTH.size], "little")
    rest = len(piece) - at
    if rest < _SHORT_HEADER:
        return 0
    return _SHORT_HEADER if rest < _LONG_HEADER else _LONG_HEADER


def with_buffers(
    stream: Content, taken: list[Taken], base: int = 0, keep: Keep | None = None, parts: Iterable[Part] = ()
) -> Content:
    """Return a stream with the buffers that were taken out of it. ``base``: where in its file it will begin;
    ``keep``: makes parts of buffers; ``parts``: others that it refers to."""
    if not taken and not parts:
        return stream
    pieces = Pieces([stream] if isinstance(stream, bytes) else stream)
    pieces.parts = tuple(parts)
    if not taken:
        return pieces
    size = len(MAGIC) + _LENGTH.size + _ENTRY.size * len(taken) + len(_POP) + large.size(pieces)
    table = b""
    for one in taken:
        part = None if keep is None else keep(one)
        if part is not None:
            pieces.parts += (part,)
            table += _ENTRY.pack(one.kind, bytes.fromhex(part.name), 0, part.size)
            continue
        padding = -(base + size) % ALIGNED
        pieces += (bytes(padding), one.content)
        table += _ENTRY.pack(one.kind, _NO_NAME, size + padding, len(one.content))
        size += padding + len(one.content)
    pieces.insert(0, MAGIC + _LENGTH.pack(len(table)) + table + _POP)
    return pieces


# -- reading ------------------------------------------------------------------------------------------------


def has_buffers(stream: bytes | memoryview) -> bool:
    """Return whether buffers were taken out of this stream."""
    return stream[: len(MAGIC)] == MAGIC


def split(stream: bytes | memoryview) -> tuple[memoryview, list[Any]]:
    """Return the stream itself, and its buffers for pickle. Raises OSError if a part is not there, ResultDecodeError
    if there is no such place."""
    view = memoryview(stream)
    entries, inner = _table(view)
    return view[inner:], [_object(view, *entry) for entry in entries]


def _table(view: memoryview) -> tuple[list[Any], int]:
    start = len(MAGIC) + _LENGTH.size
    (length,) = _LENGTH.unpack_from(view, len(MAGIC))
    return list(_ENTRY.iter_unpack(view[start : start + length])), start + length + len(_POP)


def refers_to_parts(stream: bytes | memoryview) -> bool:
    """Return whether a stream cannot be read without other blobs."""
    return has_buffers(stream) and any(entry[1] != _NO_NAME for entry in _table(memoryview(stream))[0])


def _object(view: memoryview, kind: int, name: bytes, start: int, size: int) -> Any:
    if name == _NO_NAME:
        found = view[start : start + size]
        if len(found) != size:
            raise ResultDecodeError(f"a buffer of {size} bytes is cut short: {len(found)} are there")
        return _made(kind, found)
    return _parts.find(kind, name.hex(), size)


def _made(kind: int, content: memoryview) -> Any:
    if kind == BYTES:
        return bytes(content)
    if kind == TEXT:
        return str(content, "utf-8", "surrogatepass")
    if kind == BYTEARRAY or content.readonly:
        return bytearray(content)
    return content


class PartReader:
    """Reader of parts. ``folder``: where they are. What changes is new for each stream: a private mapping, of which
    only the pages that are written to are copied. What never changes is kept."""

    def __init__(self, folder: str = "") -> None:
        self.folder = folder
        self._kept: OrderedDict[str, bytes | str] = OrderedDict()
        self._size = 0

    def find(self, kind: int, name: str, size: int) -> Any:
        """Return the object of a part. Raises OSError, ResultDecodeError."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        made = _made(kind, self.read(name, size))
        if isinstance(made, (bytes, str)):
            self._keep(name, made)
        return made

    def read(self, name: str, size: int) -> memoryview:
        """Return the bytes of a part, which may be written to."""
        if not self.folder:
            raise ResultDecodeError(f"part {name} of {size} bytes can only be read by a worker")
        content = large.read(os.path.join(self.folder, name))
        if len(content) != size:
            raise ResultDecodeError(f"part {name} has {len(content)} bytes, not {size}")
        return memoryview(content)

    def _keep(self, name: str, made: bytes | str) -> None:
        self._kept[name] = made
        self._size += len(made)
        while self._size > KEPT and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])


_parts = PartReader()


def use_folder(folder: str) -> None:
    """PartReader are files of this folder: called once, by a worker."""
    _parts.folder = folder


def part(name: str, size: int) -> memoryview:
    """Return the bytes of a part, which may be written to. Raises OSError, ResultDecodeError."""
    return _parts.read(name, size)


# -- for peers that read plain streams only -----------------------------------------------------------------


def in_band(stream: bytes) -> bytes:
    """Return the same stream with its buffers in it. Nothing is unpickled: opcodes are listed. Raises OSError and
    ResultDecodeError as `split` does."""
    if not has_buffers(stream):
        return stream
    view = memoryview(stream)
    entries, start = _table(view)
    contents = iter([(kind, _bytes(view, *entry)) for kind, *entry in entries])
    return b"".join(_plain(bytes(view[start:]), contents))


def _bytes(view: memoryview, name: bytes, start: int, size: int) -> memoryview:
    return view[start : start + size] if name == _NO_NAME else part(name.hex(), size)


def _plain(stream: bytes, contents: Iterator[tuple[int, memoryview]]) -> Iterator[Piece]:
    operations = list(pickletools.genops(stream))
    ends = [start for _, _, start in operations[1:]] + [operations[-1][2] + 1]  # type: ignore[operator]
    for index, ((operation, _, start), end) in enumerate(zip(operations, ends, strict=True)):
        if operation.name == "NEXT_BUFFER":
            kind, content = next(contents)
            following = operations[index + 1][0].name
            yield _OPCODES[BYTES if following == "READONLY_BUFFER" else kind] + _LENGTH.pack(len(content))
            yield content
        elif operation.name not in {"FRAME", "READONLY_BUFFER"}:  # the lengths of frames would be wrong
            yield stream[start:end]
