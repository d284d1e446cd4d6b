"""Bodies too large for frames and rows, one file each: ``<state>/blobs/<32 hex digits>``.

A file appears under its name only when it is whole, and never changes. On the same machine clients and workers
write and read the folder themselves, by the same rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import re
import secrets
import stat
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

from compute_executor.endpoint.worker.blobs import sync_folder
from compute_executor.errors import InvalidRequest, PayloadTooLarge
from compute_executor.local.state import trouble
from compute_executor.protocol.frames import INLINE_LIMIT, Blob, Body, gone
from compute_executor.service.limits import MAX_BLOB

GATHERED = 1024 * 1024
"""Bytes that are written to a file at once, about."""

_NAME = re.compile(r"[0-9a-f]{32}")


class BlobFolder:
    """The blobs of one service. ``sync``: flush each to the disk before it may be referred to."""

    def __init__(self, folder: Path, *, sync: bool = False) -> None:
        self.folder = folder
        self._sync = sync

    def path(self, name: str) -> Path:
        """Return where the blob of this name lies. Raises InvalidRequest for what is no blob name (so for any
        path)."""
        if not _NAME.fullmatch(name):
            raise InvalidRequest(f"{name[:100]!r} is no blob name (32 lower-case hex digits)")
        return self.folder / name

    def size(self, name: str) -> int:
        """Return its bytes. Raises FileNotFoundError if there is none, or something else in its place (a pipe, a
        link)."""
        found = self.path(name).lstat()
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, "it is no plain file", name)
        return found.st_size

    def holds(self, blob: Blob) -> bool:
        """Return whether this blob is there, whole."""
        try:
            return self.size(blob.name) == blob.size
        except (OSError, InvalidRequest):
            return False

    async def receive(self, name: str, parts: AsyncIterable[bytes]) -> int:
        """Keep what comes as the blob ``name``; its size in bytes. One that exists already is left as it is."""
        final = self.path(name)
        temporary = self.folder / f"{name}.{secrets.token_hex(4)}.part"
        size = 0
        try:
            with io.FileIO(temporary, "x", opener=_private) as file:
                async for piece in _gathered(parts):
                    size += await asyncio.to_thread(_write_all, file, piece)
                await self._flush(file.fileno())
            _put_in_place(temporary, final)
            await self._flush_folder()
        except OSError as error:
            raise trouble("write", final, error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return size

    async def keep(self, data: bytes) -> Body:
        """Return the data as a body: itself if it is small, else a new blob that holds it."""
        if len(data) <= INLINE_LIMIT:
            return data
        name = secrets.token_hex(16)
        return Blob(name, await self.receive(name, _only(data)))

    def read(self, body: Body, most: int = MAX_BLOB) -> bytes:
        """Return the bytes of a body. Raises NotFound if its file is gone, PayloadTooLarge if it has more than
        ``most``."""
        if isinstance(body, bytes):
            return body
        try:
            if (size := self.size(body.name)) > most:
                raise PayloadTooLarge(f"it has {size} bytes; {most} are read at once at most")
            return self.path(body.name).read_bytes()
        except FileNotFoundError:
            raise gone(body) from None

    async def _flush(self, descriptor: int) -> None:
        if self._sync:
            await asyncio.to_thread(os.fsync, descriptor)

    async def _flush_folder(self) -> None:
        if self._sync:
            await asyncio.to_thread(sync_folder, self.folder)


async def _only(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _gathered(parts: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the parts in pieces of some `GATHERED` bytes: a helper thread writes each, because a disk may be slow."""
    waiting: list[bytes] = []
    size = 0
    async for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= GATHERED:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _write_all(file: io.FileIO, data: bytes) -> int:
    """Write it in as many steps as the disk takes: an unbuffered file may take a part only."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
    return len(data)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _put_in_place(temporary: Path, final: Path) -> None:
    """Give the file its name unless another has it: what was referred to must not change."""
    with contextlib.suppress(FileExistsError):
        os.link(temporary, final)
