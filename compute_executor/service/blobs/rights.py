"""Whose the blobs are. Owner: the loop thread.

A blob belongs to whoever put it, until a batch, an outcome or a function refers to it; then to the owner of that, and
a function's code may be read by whoever may read the function. A client on this machine writes the folder itself:
then a blob is nobody's until it is referred to.
"""

from __future__ import annotations

from collections.abc import Iterable

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import Blob
from compute_executor.service.access import Identity, absent, may
from compute_executor.service.store.reader import Reader

FRESH = 10_000
"""Names put and not yet referred to that are remembered with their owners, some 200 bytes each. The oldest is
forgotten first: whoever refers to it owns it then, and nobody else knows its 128 random bits."""


class BlobRights:
    """Who may read, put and refer to which blob."""

    def __init__(self, read: Reader) -> None:
        self._read = read
        self._fresh: dict[str, str] = {}

    def unreferred(self) -> dict[str, str]:
        """Return the owners of blobs that were put and nothing refers to yet, by name."""
        return dict(self._fresh)

    def check_read(self, who: Identity, name: str) -> None:
        """Raise NotFound unless ``who`` may read this blob."""
        if self._fresh.get(name) == who.id:
            return
        owners = self._owners(name)
        readable = self._of_readable_function(
            who, name
        )  # asked also where nobody owns it: as for a foreign one
        if who.id not in owners and not readable:
            raise absent(f"blob {name}", forbidden="read blob" if owners else None)

    def _of_readable_function(self, who: Identity, name: str) -> bool:
        shared = self._read.functions_of_blob(name)
        return any(may(who, "read function", owned) for owned in shared)

    def put(self, who: Identity, name: str) -> None:
        """Note that a blob is about to be put. Raises NotFound if the name is somebody else's."""
        if self._foreign(who, name):
            raise absent(f"blob {name}", forbidden="put blob")
        self._fresh[name] = who.id
        if len(self._fresh) > FRESH:
            del self._fresh[next(iter(self._fresh))]

    def is_free(self, name: str) -> bool:
        """Return whether this name is nobody's: nothing refers to it, and nobody has put a body under it."""
        return name not in self._fresh and not self._owners(name)

    def check_use(self, who: Identity, blobs: Iterable[Blob]) -> None:
        """Raise InvalidRequest, as for one that is not there, if one of these is somebody else's."""
        for blob in blobs:
            if self._foreign(who, blob.name):
                raise missing(blob.name) from absent(f"blob {blob.name}", forbidden="use blob")

    def may_use(self, who: Identity, name: str) -> bool:
        """Return whether ``who`` may refer to this blob."""
        return not self._foreign(who, name)

    def _foreign(self, who: Identity, name: str) -> bool:
        fresh, stored = self._fresh.get(name), self._owners(name)
        owners = stored if fresh is None else {fresh}
        return bool(owners) and who.id not in owners

    def _owners(self, name: str) -> set[str]:
        return {owner for (owner,) in self._read.rows("blob_owners", (name,))}


def missing(name: str) -> InvalidRequest:
    """Return the refusal of a reference to a blob that is not there, for whoever refers to it."""
    return InvalidRequest(f"blob {name} is not there: put it before it is referred to")
