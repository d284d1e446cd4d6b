"""Which filesystem a path lies on: SQLite needs shared memory, which network filesystems do not have."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "panfs"}
    | {"pvfs2", "glusterfs", "fuse.glusterfs"}
)


def network_filesystem(path: Path) -> str:
    """Return the type of the network filesystem that ``path`` lies on; "" if it lies on none, or that is not known,
    as on other systems than Linux."""
    kind = filesystem(path, MOUNTS)
    return kind if kind in NETWORK_FILESYSTEMS else ""


def filesystem(path: Path, mounts: Path) -> str:
    """Return the type of the filesystem that ``path`` lies on, by the longest mount point above it; "" if unknown."""
    if not mounts.exists():
        return ""
    place, best, kind = str(path.parent.resolve()), "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind
