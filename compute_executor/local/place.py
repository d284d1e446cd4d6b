"""Where the state of a user's programs lies if nobody says it: in the platform's folder, else on this machine.

A home on a network filesystem, or none at all (a batch node, a container with a user id of its own), cannot hold a
database. Then the folder is $XDG_RUNTIME_DIR, or a private one in the temporary directory, and one warning says what
that means.
"""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from functools import cache
from pathlib import Path

from compute_executor.errors import NotAuthorized
from compute_executor.local.filesystems import network_filesystem

NAME = "compute-executor"
_SPOKEN_OF = ("HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR")


def usual_place() -> Path:
    """Return the folder, which may not exist yet. Raises NotAuthorized if the one in the temporary directory is
    another user's."""
    return _place(tuple(os.environ.get(name, "") for name in _SPOKEN_OF))


@cache
def _place(_environment: tuple[str, ...]) -> Path:
    """Return the same, found out once for an environment."""
    import platformdirs  # 20 ms, and not needed where COMPUTE_EXECUTOR_HOME is set

    try:
        usual = Path(platformdirs.user_state_dir(NAME, appauthor=False))
        trouble = _trouble(usual)
    except RuntimeError:  # neither HOME nor an entry in the user database
        usual, trouble = Path(), "this user has no home folder"
    if not trouble:
        return usual
    here = _on_this_machine()
    warnings.warn(
        f"{trouble}: tasks and results are kept in {here}, on this machine alone. They outlive your programs and may "
        "be gone after a logout or a restart of the machine. To choose another place, set COMPUTE_EXECUTOR_HOME to a "
        "folder on a local disk",
        stacklevel=2,
    )
    return here


def _trouble(usual: Path) -> str:
    """Return why this folder cannot be used; "" if it can, as far as can be seen."""
    if kind := network_filesystem(usual):
        return f"{usual} lies on a network filesystem ({kind}), where SQLite can corrupt its data"
    there = next(place for place in (usual, *usual.parents) if place.exists())
    if there == usual or (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return ""
    return f"{usual} cannot be made"


def _on_this_machine() -> Path:
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute() and os.access(runtime, os.W_OK | os.X_OK):
        return runtime / NAME
    place = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise NotAuthorized(
            f"{place} is no folder of yours alone: another user may have made it. Set COMPUTE_EXECUTOR_HOME to a "
            "folder of your own"
        )
    return place
