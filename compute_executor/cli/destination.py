"""Where a table or a picture is written. Files are replaced by renaming, so only a regular file may be replaced: not
a device, a pipe or a folder, and not a symbolic link itself but the file that it leads to."""

from __future__ import annotations

from pathlib import Path

from compute_executor.cli.wrong_input import WrongInput

DEVICES = (Path("/dev"), Path("/proc"))
"""Links there (/dev/stdout) lead to what the process has open."""


def destination(path: Path) -> Path:
    """The regular file, there or not, that ``path`` stands for. Raises WrongInput."""
    if str(path) == "-":
        raise WrongInput("cannot write to the standard output: give the name of a file")
    if any(folder in path.absolute().parents for folder in DEVICES) or (path.exists() and not path.is_file()):
        raise WrongInput(f"cannot write {path}: it is not a regular file")
    return path.resolve() if path.is_symlink() else path
