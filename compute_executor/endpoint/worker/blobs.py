"""Large bodies as files, from inside a worker. The name is in the message, the content in the blob folder.

Standard library only. A file gets its name when it is complete (and, if asked, on disk), so that whoever has the
name can read all of it.
"""

from __future__ import annotations

import contextlib
import os

from compute_executor.serialization import large


def read_blob(folder: str, name: bytes) -> bytes | memoryview:
    """Return the content of a blob. Raises OSError if it is not there."""
    return large.read(os.path.join(folder, os.fsdecode(name)))


def write_blob(folder: str, content: large.Content, durable: bool) -> bytes:
    """Return a new blob; returns ``<name> <size>``. ``durable``: it survives a power loss as well. Raises OSError:
    then nothing is left behind, so that a full disk has room again for the word that it was full."""
    name = os.urandom(16).hex()
    path = os.path.join(folder, name)
    try:
        with open(path + ".part", "wb", buffering=0, opener=_private) as file:
            large.write(file.fileno(), content)
            if durable:
                os.fsync(file.fileno())
        os.rename(path + ".part", path)
        if durable:
            sync_folder(folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path + ".part")
        raise
    return f"{name} {large.size(content)}".encode()


def _private(path: str, flags: int) -> int:
    """Open a file that is the user's alone, whatever the umask of the tasks is."""
    return os.open(path, flags, 0o600)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Put a new name on disk, which it is when its folder is: a sync of another file, as that of the store, need not
    bring it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
