"""Where a table or a picture is written. Files are replaced by renaming, so only a regular file may be replaced: not
a device, a pipe or a folder, and not a symbolic link itself but the file that it leads to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from compute_executor.errors import InvalidRequest

DEVICES = (Path("/dev"), Path("/proc"))
"""Links there (/dev/stdout) lead to what the process has open."""


def destination(path: Path) -> Path:
    """Return the regular file, there or not, that ``path`` stands for. Raises InvalidRequest."""
    if any(folder in path.absolute().parents for folder in DEVICES) or (path.exists() and not path.is_file()):
        raise InvalidRequest(f"cannot write {path}: it is not a regular file")
    found = Path(os.path.realpath(path)) if path.is_symlink() else path
    if found.is_symlink():  # where realpath gives up
        raise InvalidRequest(f"cannot write {path}: its links lead back to itself")
    return found


def same_file(one: Path, other: Path) -> bool:
    """Return whether two names stand for one file, there or not."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def check_folder(path: Path) -> None:
    """Raise InvalidRequest unless a file can be made beside ``path``."""
    folder = destination(path).parent
    if not folder.is_dir():
        raise InvalidRequest(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise InvalidRequest(f"cannot write {path}: no writable folder")


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A file that becomes ``path`` when it is complete and on disk; on an error ``path`` stays as it was."""
    with replaced_path(path) as new, new.open("w+b") as file:
        yield file


@contextlib.contextmanager
def replaced_path(path: Path) -> Iterator[Path]:
    """The same for a library that opens the file itself."""
    path = destination(path)
    new = path.with_name(f".{path.stem}.{os.getpid()}.new{path.suffix}")
    try:
        yield new
        descriptor = os.open(new, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if path.exists():
            new.chmod(path.stat().st_mode & 0o7777)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def reason(error: OSError) -> str:
    """Return why the operating system refused, without the number and the path that ``str(error)`` adds."""
    return error.strerror or str(error)
