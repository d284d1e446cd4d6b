"""Arguments as bodies: small ones travel in the frame, large ones as blobs beside it.

On the service's own machine a blob is a file that we put into its folder, by its rules: written under another
name, and renamed (linked) when it is whole. Elsewhere it is a PUT.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from compute_executor.errors import PayloadTooLarge, ServiceUnavailable
from compute_executor.protocol.frames import INLINE_LIMIT, Blob, Body


class Storage(NamedTuple):
    """Where large bodies go. ``folder``: the service's blob folder if this process may write there; ``put``:
    uploads (name, content); ``limit``: most bytes of one body."""

    folder: Path | None
    put: Callable[[str, bytes], None]
    limit: int


def store(content: bytes, storage: Storage, what: str) -> Body:
    """``content`` as a body. Raises PayloadTooLarge, or ServiceUnavailable if there is no room for it."""
    if len(content) <= INLINE_LIMIT:
        return content
    if len(content) > storage.limit:
        raise PayloadTooLarge(
            f"{what}: {len(content)} bytes are over the service's limit of {storage.limit} bytes. Pass the data by "
            "reference (a file name, a key in a store), or in parts."
        )
    name = secrets.token_hex(16)
    if storage.folder is None:
        storage.put(name, content)
    else:
        _write(storage.folder, name, content)
    return Blob(name, len(content))


def usable(folder: str | None) -> Path | None:
    """The service's blob folder, if it is one of this user on this machine."""
    if folder is None or not hasattr(os, "getuid"):
        return None
    path = Path(folder)
    try:
        if path.stat().st_uid == os.getuid() and os.access(path, os.W_OK | os.X_OK):
            return path
    except OSError:
        pass
    return None


def _write(folder: Path, name: str, content: bytes) -> None:
    temporary = folder / f"{name}.part"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
        os.rename(temporary, folder / name)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise ServiceUnavailable(
            f"cannot write {len(content)} bytes to {folder}: {error.strerror or error}. Make room there."
        ) from error
