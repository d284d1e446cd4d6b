"""References of the service to its blob folder: what it refers to must exist, what nothing refers to is deleted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from compute_executor.errors import InvalidRequest, PayloadTooLarge
from compute_executor.protocol.frames import Blob, Body
from compute_executor.service.blobs.disk import BlobFile, DiskUse
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.blobs.rights import missing

log: logging.Logger = logging.getLogger(__name__)


class BlobReferences:
    """Checks and deletes blobs. ``limit``: bytes of the largest that may be referred to; ``in_use``: whether the
    store refers to one; ``held``: whether anybody holds one (`holds`); ``disk`` is told
    what goes, and ``deleted`` which names."""

    def __init__(
        self,
        folder: BlobFolder,
        limit: int,
        in_use: Callable[[str], bool],
        held: Callable[[str], bool],
        disk: DiskUse,
        *,
        deleted: Callable[[list[str]], object] = lambda _: None,
    ) -> None:
        self._disk = disk
        self._deleted = deleted
        self._folder = folder
        self._limit = limit
        self._in_use = in_use
        self._held = held

    async def keep(self, body: Body) -> Body:
        """Return the body itself if it is a blob or small, else a new blob that holds it."""
        return body if isinstance(body, Blob) else await self._folder.keep(body)

    def read(self, body: Body) -> bytes:
        """Return the bytes of a body."""
        return self._folder.read(body)

    def holds(self, body: Body) -> bool:
        """Return whether a body can be read: it is inline, or its blob is there, whole."""
        return not isinstance(body, Blob) or self._folder.holds(body)

    def is_gone(self, name: str) -> bool:
        """Return whether there surely is no file of this name."""
        try:
            self._folder.size(name)
        except FileNotFoundError:
            return True
        except (OSError, InvalidRequest):
            pass
        return False

    def require(self, blobs: Iterable[Blob]) -> None:
        """Raise InvalidRequest unless every one of these is there, whole; PayloadTooLarge if one is too large."""
        for blob in blobs:
            if blob.size > self._limit:
                raise PayloadTooLarge(f"a body of {blob.size} bytes is over the limit of {self._limit}")
            try:
                size = self._folder.size(blob.name)
            except FileNotFoundError:
                raise missing(blob.name) from None
            if size != blob.size:
                raise InvalidRequest(f"blob {blob.name} has {size} bytes, not {blob.size} as was said")

    def let_go(self, names: Iterable[str]) -> None:
        """Remove the files of those that the store does not refer to: nobody holds them any more."""
        self.delete([name for name in names if not self._in_use(name)])

    def delete(self, names: Iterable[str]) -> None:
        """Remove the files of blobs that the store does not refer to, unless somebody holds them. One that is gone
        already is nobody's trouble."""
        if gone := [name for name in names if not self._held(name) and self._removed(name)]:
            self._deleted(gone)

    def _removed(self, name: str) -> bool:
        """Return whether the file of a blob could be removed."""
        try:
            self._folder.path(name).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("blob %s stays: %s", name, error)
            return False
        self._disk.remove(name)
        return True

    def named(self, name: str) -> Blob:
        """Return the blob of this name; of no bytes if its file is gone."""
        try:
            return Blob(name, self._folder.size(name))
        except OSError:
            return Blob(name, 0)

    def sweep(self, older_than: float) -> int:
        """Remove files of at least that age in seconds which nothing refers to; how many. What a client put and never
        submitted, what a worker wrote as it was killed, unfinished temporary files."""
        files = self._disk.look()
        self._disk.measured(files)
        return self.sweep_of(files, older_than)

    def sweep_of(self, files: Iterable[BlobFile], older_than: float) -> int:
        """Return the same, of these files of the folder.

        Their age is counted until something was last put there or removed: a clock that has jumped ahead makes
        nothing old that somebody has put a moment ago and is about to refer to."""
        oldest, removed = min(time.time(), self._folder.folder.stat().st_mtime) - older_than, []
        for file in files:
            if file.changed < oldest and not self._in_use(file.name) and not self._held(file.name):
                (self._folder.folder / file.name).unlink(missing_ok=True)
                self._disk.remove(file.name)
                removed.append(file.name)
        if removed:
            self._deleted(removed)
        return len(removed)
