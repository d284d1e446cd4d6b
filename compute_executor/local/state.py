"""The state folder: where it is, who may read it, and what lies in it.

    <home>/v<version>-<schema>/      0700, ours
        service.json                 0600: where the running service listens, its token (see `ServiceInfo`)
        start.lock                   held by whoever starts a service, and by one that is about to end
        service.lock                 held by the service for life: one service per folder
        service.log                  0600
        store.sqlite, blobs/, rings/

`<home>` is ``$COMPUTE_EXECUTOR_HOME`` or the platform's place for state. The version is in the path because a
service of another version is left alone: each finds its own.

Every file here is opened without following links and checked on the open descriptor, so that nobody can swap it
between check and use. Both clients and the service use this module; it imports only what both have anyway.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

from compute_executor.errors import NotAuthorized, ServiceUnavailable, StorageFull, StoreDamaged
from compute_executor.local.place import usual_place

FOLDER = "state"
"""The same for all versions: a newer service migrates what it finds (`local.upgrade`, `service.store.database`)."""

HOME = "COMPUTE_EXECUTOR_HOME"
PLACE = f"{HOME} (or --state of `serve`)"
"""What says where a state folder is, in messages."""
START_LOCK = "start.lock"
SERVICE_LOCK = "service.lock"
ANNOUNCEMENT = "service.json"
LOG = "service.log"
DATABASE = "store.sqlite"
BLOBS = "blobs"
RINGS = "rings"

_MAX_ANNOUNCEMENT = 64 * 1024
_PLACE_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_FILE = (errno.ENXIO, errno.EISDIR, errno.ENODEV)
"""Of opening a pipe without another end, a socket, a folder, a device."""


class ServiceInfo(NamedTuple):
    """What a running service tells its user's processes. ``instance`` changes at every start. ``network``: the
    network namespace that it listens in, see `system.network`."""

    url: str
    token: str
    instance: str
    pid: int
    network: str = ""

    def __repr__(self) -> str:
        return f"Announcement(url={self.url!r}, instance={self.instance!r}, pid={self.pid}, token=...)"


def state_folder() -> Path:
    """Return the folder of this user; it may not exist yet."""
    return home() / FOLDER


def home() -> Path:
    """``$COMPUTE_EXECUTOR_HOME``, made absolute, or the platform's folder for the state of programs (`place`)."""
    chosen = os.environ.get(HOME)
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    return usual_place()


def prepare_folder(folder: Path) -> None:
    """Make the folder, or check that it is ours alone and can be written.

    Raises NotAuthorized if others may look into it, ServiceUnavailable if it cannot be made or written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise trouble("make the state folder", folder, error) from error
    _check_found(folder, found)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ServiceUnavailable(
            f"the state folder {folder} cannot be written. Make it writable (chmod 700 {folder}) or set {PLACE} "
            "to a folder that is"
        )


def check_folder(folder: Path) -> None:
    """Raise NotAuthorized unless the folder is ours and closed to others."""
    _check_found(folder, folder.lstat())


def _check_found(folder: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise NotAuthorized(f"{folder} is no folder (or a link to one). Remove it, or set {PLACE}")
    if found.st_uid != os.geteuid():
        raise NotAuthorized(
            f"the state folder {folder} belongs to user {found.st_uid}, not to you ({os.geteuid()}). Set {PLACE} "
            "to a folder of your own"
        )
    if found.st_mode & 0o077:
        raise NotAuthorized(
            f"the state folder {folder} is open to other users (mode {stat.S_IMODE(found.st_mode):o}); the token "
            f"in it must be yours alone: chmod 700 {folder}"
        )


def open_private(path: Path, flags: int) -> int:
    """Return a descriptor of a file that is ours and that nobody else may read; created 0600 if ``flags`` say so. If
    a pipe lies in its place, its other end is not waited for.

    Raises FileNotFoundError if it is not there, NotAuthorized if it is a link, foreign or readable by others,
    ServiceUnavailable for any other trouble.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _no_plain_file(path) from None
        raise trouble("open", path, error) from error
    try:
        check_file(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_file(path: Path, found: os.stat_result) -> None:
    """Raise NotAuthorized unless this is a plain file that is ours and that nobody else may read."""
    if stat.S_ISLNK(found.st_mode):
        raise trouble("open", path, OSError(errno.ELOOP, ""))
    if not stat.S_ISREG(found.st_mode):
        raise _no_plain_file(path)
    if found.st_uid != os.geteuid():
        raise NotAuthorized(
            f"{path} belongs to user {found.st_uid}, not to you ({os.geteuid()}). Make it yours (chown) if you trust "
            "it, else remove it"
        )
    if found.st_mode & 0o077:
        raise NotAuthorized(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):o}). It is not used: others may "
            f"have read its secrets or changed it: chmod 600 {path} if you trust it still, else remove it"
        )


def _no_plain_file(path: Path) -> NotAuthorized:
    return NotAuthorized(f"{path} is no plain file. Remove it")


def read_announcement(folder: Path) -> ServiceInfo | None:
    """Return what the service of this folder announces; None if nothing is there, or an empty file (a loss of power).

    Raises NotAuthorized or ServiceUnavailable as `open_private` does, StoreDamaged if no service wrote it: it is
    written whole or not at all.
    """
    try:
        descriptor = open_private(folder / ANNOUNCEMENT, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        raw = os.read(descriptor, _MAX_ANNOUNCEMENT)
    finally:
        os.close(descriptor)
    return _announced(folder / ANNOUNCEMENT, raw) if raw else None


def _announced(path: Path, raw: bytes) -> ServiceInfo:
    try:
        fields = json.loads(raw)
        return ServiceInfo(
            str(fields["url"]),
            str(fields["token"]),
            str(fields["instance"]),
            int(fields["pid"]),
            str(fields.get("network", "")),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError) as error:
        raise StoreDamaged(
            f"{path} is not what a service wrote ({type(error).__name__}). Nothing was changed. Remove it if no "
            f"service runs in {path.parent}; if one does, end it first (fuser {path.parent / SERVICE_LOCK})"
        ) from None


def write_announcement(folder: Path, announcement: ServiceInfo) -> None:
    """Write it whole or not at all: under another name first, then renamed over the old one. Only the holder of the
    service's lock writes, so what a killed one has left under that name is replaced."""
    temporary = folder / f"{ANNOUNCEMENT}.new"
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(announcement._asdict(), file)
        temporary.replace(folder / ANNOUNCEMENT)
    except OSError as error:
        raise trouble("write", folder / ANNOUNCEMENT, error) from error


def remove_announcement(folder: Path, instance: str) -> None:
    """Remove it if it is still that of ``instance``. One that somebody has written over stays where it is."""
    try:
        found = read_announcement(folder)
    except StoreDamaged:
        return
    if found is not None and found.instance == instance:
        (folder / ANNOUNCEMENT).unlink(missing_ok=True)


def trouble(doing: str, path: Path, error: OSError) -> NotAuthorized | ServiceUnavailable:
    """Return what the operating system refused, as a named error with the path and what to do."""
    if error.errno == errno.ELOOP:
        return NotAuthorized(f"{path} is a symbolic link, which is not followed. Remove it")
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotAuthorized(
            f"cannot {doing} {path}: {error.strerror}. Give yourself the right to (chmod, chown), or set {PLACE} "
            "to a folder of your own"
        )
    if error.errno == errno.EROFS:
        return ServiceUnavailable(
            f"cannot {doing} {path}: it lies on a read-only file system. Set {PLACE} to a folder that can be written"
        )
    if error.errno in _PLACE_FULL:
        return StorageFull(
            f"cannot {doing} {path}: no space left. Free some, or set {PLACE} to a folder on another disk"
        )
    return ServiceUnavailable(f"cannot {doing} {path}: {error.strerror}. Set {PLACE} to another folder")
