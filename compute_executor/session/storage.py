"""Storage of bodies that are too large for a frame: written beside it as blobs, and read from there.

On the service's own machine a blob is a file in its folder, which the client writes and reads itself, by the
service's rules: written under another name, and renamed when it is whole. Elsewhere it is a PUT and a GET.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from compute_executor.errors import PayloadTooLarge, ServiceUnavailable
from compute_executor.protocol.frames import INLINE_LIMIT, Blob, Body, blob_name, gone
from compute_executor.sdk.own_api import OwnApi
from compute_executor.serialization import large

NO_LIMIT = 1 << 62


class Storage:
    """Where large bodies go. ``folder``: the service's blob folder, if this process may use it; ``limit``: most
    bytes of one body; ``api``: the service, if its folder is on another machine; ``takes_parts``: whether batches
    may name parts; ``elsewhere``: whether those to endpoints of ours may. Any thread."""

    def __init__(
        self,
        api: OwnApi,
        folder: Path | None = None,
        limit: int = NO_LIMIT,
        *,
        takes_parts: bool = False,
        elsewhere: bool = False,
    ) -> None:
        self._takes_parts = takes_parts
        self._elsewhere = elsewhere
        self._api = api
        self._folder = folder
        self._limit = limit

    def store(self, content: large.Content, what: str) -> Body:
        """``content`` as a body. ``what`` is named in errors: PayloadTooLarge, or ServiceUnavailable if there is no
        room or nobody to take it."""
        if large.size(content) <= INLINE_LIMIT:
            return large.whole(content)
        return self.store_part(content, what)

    def store_part(self, content: large.Content, what: str) -> Blob:
        """``content`` as a blob, however small it is. Raises as `store` does."""
        size = large.size(content)
        if size > self._limit:
            raise PayloadTooLarge(
                f"{what}: {size} bytes are over the service's limit of {self._limit} bytes. Pass the data by "
                "reference (a file name, a key in a store), or in parts."
            )
        name = secrets.token_hex(16)
        if self._folder is None:
            self._api.put_blob(name, large.whole(content))
        else:
            _write(self._folder, name, content)
        return Blob(name, size)

    def takes_parts(self, *, elsewhere: bool = False) -> bool:
        """Return whether batches may name parts; ``elsewhere``: those to an endpoint of ours."""
        return self._elsewhere if elsewhere else self._takes_parts

    @property
    def is_local(self) -> bool:
        """Whether this process reads the service's folder itself."""
        return self._folder is not None

    def has_content(self, part: large.Part, content: large.Piece) -> bool:
        """Return whether the file of a part holds exactly this; also False if it cannot be read."""
        assert self._folder is not None
        try:
            return large.is_content_of(str(self._folder / part.name), content)
        except OSError:
            return False

    def discard(self, body: Body) -> None:
        """Delete a body that was stored and will not be sent, where this process can."""
        if isinstance(body, Blob) and self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / blob_name(body)).unlink()

    def fetch(self, blob: Blob) -> bytes | memoryview:
        """Return the content of a blob. Raises ComputeError; ResultGone if it was deleted, ResultDecodeError for a
        name that is none."""
        if self._folder is None:
            return self._api.get_blob(blob)
        path = self._folder / blob_name(blob)
        try:
            return large.read(str(path))
        except FileNotFoundError:
            raise gone(blob) from None
        except OSError as error:
            raise ServiceUnavailable(f"{path} cannot be read: {error.strerror}") from error


def usable(folder: str | None) -> Path | None:
    """Return the service's blob folder, if it is one of this user on this machine."""
    if folder is None:
        return None
    path = Path(folder)
    with contextlib.suppress(OSError):
        if path.stat().st_uid == os.getuid() and os.access(path, os.W_OK | os.X_OK):
            return path
    return None


def _write(folder: Path, name: str, content: large.Content) -> None:
    temporary = folder / f"{name}.part"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            large.write(descriptor, content)
        finally:
            os.close(descriptor)
        os.rename(temporary, folder / name)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise ServiceUnavailable(
            f"cannot write {large.size(content)} bytes to {folder}: {error.strerror}. Make room there."
        ) from error
