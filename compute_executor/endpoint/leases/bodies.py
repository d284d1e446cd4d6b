"""Bodies above the inline limit on their way over one connection, both ways.

    fetch(blob)  -> in the folder already?        done
                 -> in the peer's folder, which can be read here?     linked, done
                 -> BodyWanted ... BodyPart, BodyPart     a file with another name, which is renamed when it is whole
    announce(blob)  -> put into the peer's folder, if that is known to be it: then the peer need not ask

Owner: the loop's thread.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from compute_executor.endpoint.leases.frames import PART, BodyPart, BodyWanted
from compute_executor.endpoint.leases.send_list import FileSource, SendList
from compute_executor.errors import ResultDecodeError
from compute_executor.protocol.frames import Blob, blob_name

COPIED_AT_ONCE = 16 * 1024 * 1024
"""Bytes of a body that is copied from one file system to another in one turn of the loop. A larger one travels in
parts, between which others are heard."""

MOST_AT_ONCE = 16
"""Bodies that are received at once over one connection: each is an open file, until the peer has sent all of it."""

KEPT_SHARE = 4
"""Shared values are kept for later tasks in this part of what is free of the disk: a quarter."""


def shared_room(folder: Path) -> int:
    """Return the bytes for shared values that no task needs now."""
    return shutil.disk_usage(folder).free // KEPT_SHARE


def discard(folder: Path, names: Iterable[str]) -> None:
    """Remove the files of these bodies, as far as they are there. One that cannot be removed is left."""
    for name in names:
        with contextlib.suppress(OSError):
            (folder / name).unlink()


class BodyTrouble(NamedTuple):
    """Why a body did not come. ``here``: it cannot be written on this side, which may pass."""

    text: str
    here: bool


Done = Callable[[BodyTrouble | None], None]
"""Called when a body is there, whole; or with what went wrong."""


class IncomingBody:
    """A body that is being received. ``waiting``: who is told when it is whole or cannot come."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.received: int = 0
        self.waiting: list[Done] = []
        self.file: int = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )

    def write(self, data: bytes) -> None:
        """Append a part. Raises OSError."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.file, view) :]
        self.received += len(data)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.file)


class BodyExchange:
    """The bodies of one connection. ``folder``: where they lie here; ``theirs``: the peer's folder, if it can be
    read here; ``proven``: it is the peer's for certain, and no other folder of that name; ``sync``: flush each to the
    disk before it counts as received; ``largest``: bytes that one may have."""

    def __init__(
        self,
        folder: Path,
        frames: SendList,
        *,
        theirs: Path | None = None,
        proven: bool = False,
        sync: bool = False,
        largest: int = sys.maxsize,
    ) -> None:
        self._folder = folder
        self._frames = frames
        self._theirs = theirs
        self._proven = proven
        self._sync = sync
        self._largest = largest
        self._handed_out: set[str] = set()
        self._incoming: dict[str, IncomingBody] = {}
        self._expected: dict[str, tuple[int, list[Done]]] = {}  # not asked for yet: size, and who waits

    # -- out --

    def announce(self, blob: Blob) -> None:
        """Note that the peer is told of this body, and may ask for it."""
        self._handed_out.add(blob.name)
        if self._proven and self._theirs is not None:
            source = self._folder / blob.name
            with contextlib.suppress(OSError):
                os.utime(source)  # as new there: what is old and nobody's is removed
            _put(source, self._theirs / blob.name, blob.size)

    def wanted(self, frame: BodyWanted) -> None:
        """Note that the peer asks for a body."""
        if frame.name in self._handed_out:
            self._frames.put_file(FileSource(frame.name, self._folder / frame.name, frame.offset))
        else:
            self._frames.put(BodyPart(frame.name, frame.offset, b"", "there is no such body for you"))

    # -- in --

    def holds(self, blob: Blob) -> bool:
        """Return whether a body is here, whole."""
        try:
            return (self._folder / blob_name(blob)).stat().st_size == blob.size
        except (OSError, ResultDecodeError):
            return False

    def has(self, name: str) -> bool:
        """Return whether a body of this name is here."""
        with contextlib.suppress(OSError, ResultDecodeError):
            return (self._folder / blob_name(Blob(name, 0))).is_file()
        return False

    def fetch(self, blob: Blob, done: Done) -> None:
        """Have a body come here, and be told."""
        try:
            name = blob_name(blob)
        except ResultDecodeError as error:
            done(BodyTrouble(str(error), here=False))
            return
        if not 0 <= blob.size <= self._largest:
            done(
                BodyTrouble(f"{blob.size} bytes are more than the {self._largest} that are taken", here=False)
            )
        elif self.holds(blob) or self._linked(name, blob.size):
            done(None)
        elif name in self._incoming:
            self._incoming[name].waiting.append(done)
        else:
            self._expected.setdefault(name, (blob.size, []))[1].append(done)
            self._ask_for_more()

    def _linked(self, name: str, size: int) -> bool:
        """Return whether the peer's own file could be taken."""
        return self._theirs is not None and _put(self._theirs / name, self._folder / name, size)

    def _ask_for_more(self) -> None:
        while self._expected and len(self._incoming) < MOST_AT_ONCE:
            name = next(iter(self._expected))
            self._ask(name, *self._expected.pop(name))

    def _ask(self, name: str, size: int, waiting: list[Done]) -> None:
        try:
            incoming = self._incoming[name] = IncomingBody(self._folder / f"{name}.part", size)
        except OSError as error:
            _tell(waiting, self._unwritable(name, error))
            return
        incoming.waiting = waiting
        self._frames.put(BodyWanted(name, 0))

    def part(self, frame: BodyPart) -> None:
        """Note that part of a body has come."""
        incoming = self._incoming.get(frame.name)
        if incoming is None:
            return
        if frame.trouble or frame.offset != incoming.received:
            self._end(frame.name, BodyTrouble(frame.trouble or "a part of it is missing", here=False))
            return
        try:
            incoming.write(frame.data)
            if incoming.received < incoming.size and len(frame.data) == PART:
                return
            self._end(frame.name, self._keep(frame.name, incoming))
        except OSError as error:
            self._end(frame.name, self._unwritable(frame.name, error))

    def _keep(self, name: str, incoming: IncomingBody) -> BodyTrouble | None:
        """Give a received file its name. Raises OSError."""
        if incoming.received != incoming.size:
            return BodyTrouble(f"{incoming.received} of its {incoming.size} bytes came", here=False)
        if self._sync:
            os.fsync(incoming.file)
        os.replace(incoming.path, self._folder / name)
        return None

    def _unwritable(self, name: str, error: OSError) -> BodyTrouble:
        return BodyTrouble(f"{self._folder / name} cannot be written: {error.strerror}", here=True)

    def _end(self, name: str, trouble: BodyTrouble | None) -> None:
        incoming = self._incoming.pop(name)
        incoming.close()
        incoming.path.unlink(missing_ok=True)
        _tell(incoming.waiting, trouble)
        self._ask_for_more()

    def close(self) -> None:
        """Note that the connection has ended: what was on its way is asked for again on the next one."""
        for incoming in self._incoming.values():
            incoming.close()
            incoming.path.unlink(missing_ok=True)
        self._incoming.clear()
        self._expected.clear()


def _tell(waiting: list[Done], trouble: BodyTrouble | None) -> None:
    for done in waiting:
        done(trouble)


def _put(source: Path, target: Path, size: int) -> bool:
    """Return whether a file of this size is there under another name now: by a link, or as a copy."""
    with contextlib.suppress(OSError):
        if source.stat().st_size != size:
            return False
        with contextlib.suppress(FileExistsError):
            os.link(source, target)
        return True
    if size > COPIED_AT_ONCE:
        return False
    with contextlib.suppress(OSError):  # another file system
        shutil.copyfile(source, target.with_suffix(".part"))
        os.replace(target.with_suffix(".part"), target)
        return True
    return False
