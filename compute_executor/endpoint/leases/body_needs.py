"""Which bodies the tasks of a holder need, which of them are here, and which may go. No I/O.

add -> missing -> came -> the task is ready ... remove -> an argument goes
                                                       -> a shared value stays as long as there is room, until
                                                          the grantor says that nobody has a use for it: drop
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.frames import Blob


class SharedValues:
    """The values that the tasks of a batch share. ``tasks``: those of them that are held."""

    __slots__ = ("blobs", "missing", "tasks")

    def __init__(self, blobs: Sequence[Blob], missing: set[str]) -> None:
        self.blobs: Sequence[Blob] = blobs
        self.missing: set[str] = missing
        self.tasks: dict[Key, None] = {}  # in their order


class BodyNeeds:
    """See the module. ``room``: bytes of shared values that are kept although no task here needs them."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._own: dict[Key, list[str]] = {}
        self._missing: dict[Key, set[str]] = {}
        self._batches: dict[int, SharedValues] = {}
        self._users: dict[str, dict[Key | int, None]] = {}  # tasks, and batches that share it, in their order
        self._here: dict[str, int] = {}  # sizes
        self._lasting: set[str] = set()
        self._shared: set[str] = set()
        self._unwanted: set[str] = set()  # shared values that go when no task needs them
        self._kept: OrderedDict[str, int] = (
            OrderedDict()
        )  # shared values that no task needs, with their sizes

    def add(self, key: Key, own: Iterable[Blob], shared: Sequence[Blob]) -> list[Blob]:
        """Note that a task needs these; return those of them that are to be asked for. ``own``: its arguments, its
        function; ``shared``: what all tasks of its batch need."""
        wanted: list[Blob] = []
        if shared:
            self._add_shared(key, shared, wanted)
        for blob in own:
            self._use(blob, key, wanted)
            self._own.setdefault(key, []).append(blob.name)
        if missing := {name for name in self._own.get(key, ()) if name not in self._here}:
            self._missing[key] = missing
        return wanted

    def _add_shared(self, key: Key, shared: Sequence[Blob], wanted: list[Blob]) -> None:
        found = self._batches.get(key[0])
        if found is None:
            for blob in shared:
                self._use(blob, key[0], wanted)
                self._shared.add(blob.name)
            missing = {blob.name for blob in shared if blob.name not in self._here}
            found = self._batches[key[0]] = SharedValues(shared, missing)
        found.tasks[key] = None

    def _use(self, blob: Blob, user: Key | int, wanted: list[Blob]) -> None:
        users = self._users.setdefault(blob.name, {})
        self._kept.pop(blob.name, None)
        if not users and blob.name not in self._here:
            wanted.append(blob)
        users[user] = None

    def lasts(self, name: str) -> None:
        """Note that this one is needed for good, once it is here: the code of a function."""
        self._lasting.add(name)

    def shared_by(self, batch: int) -> Sequence[Blob]:
        """Return what the tasks of a batch share, as long as one of them is held."""
        found = self._batches.get(batch)
        return () if found is None else found.blobs

    def complete(self, key: Key) -> bool:
        """Return whether all that a task needs is here."""
        shared = self._batches.get(key[0])
        return key not in self._missing and (shared is None or not shared.missing)

    def incomplete(self) -> list[Key]:
        """Return the tasks of which something is not here."""
        waiting = set(self._missing)
        for shared in self._batches.values():
            if shared.missing:
                waiting.update(shared.tasks)
        return list(waiting)

    def waiting_for(self, name: str) -> list[Key]:
        """Return the tasks that need this body."""
        found: list[Key] = []
        for user in self._users.get(name, ()):
            found += self._batches[user].tasks if isinstance(user, int) else [user]
        return found

    def came(self, blob: Blob) -> list[Key]:
        """Note that a body is here; return the tasks of which nothing is missing any more."""
        self._here[blob.name] = blob.size
        ready: list[Key] = []
        for user in self._users[blob.name]:
            if isinstance(user, int):
                self._batches[user].missing.discard(blob.name)
                ready += self._batches[user].tasks
            elif user in self._missing:
                self._missing[user].discard(blob.name)
                if not self._missing[user]:
                    del self._missing[user]
                ready.append(user)
        return [key for key in ready if self.complete(key)]

    def needed(self, name: str) -> bool:
        """Return whether any task needs this body."""
        return bool(self._users.get(name))

    def remove(self, key: Key) -> list[str]:
        """Note that a task is not held any more; return the bodies whose files can go."""
        gone: list[str] = []
        self._missing.pop(key, None)
        for name in self._own.pop(key, ()):
            self._let_go(name, key, gone)
        shared = self._batches.get(key[0])
        if shared is not None:
            shared.tasks.pop(key, None)
            if not shared.tasks:
                del self._batches[key[0]]
                for blob in shared.blobs:
                    self._let_go(blob.name, key[0], gone)
        return gone + self._over()

    def _let_go(self, name: str, user: Key | int, gone: list[str]) -> None:
        users = self._users.get(name)
        if users is None:
            return
        users.pop(user, None)
        if users:
            return
        del self._users[name]
        if name not in self._here or name in self._lasting:
            return
        if name in self._shared and name not in self._unwanted:
            self._kept[name] = self._here[name]
        else:
            gone.append(self._forget(name))

    def _forget(self, name: str) -> str:
        self._here.pop(name, None)
        self._kept.pop(name, None)
        self._shared.discard(name)
        self._unwanted.discard(name)
        return name

    def _over(self) -> list[str]:
        """Return the shared values that were not needed for longest, as far as all take more room than there is."""
        gone: list[str] = []
        size = sum(self._kept.values())
        while size > self._room:
            name, freed = next(iter(self._kept.items()))
            size -= freed
            gone.append(self._forget(name))
        return gone

    def drop(self, names: Iterable[str]) -> list[str]:
        """Note that the grantor has no use for these shared values any more; return those whose files can go now."""
        gone = []
        for name in names:
            if self.needed(name):
                self._unwanted.add(name)
            elif name in self._kept:
                gone.append(self._forget(name))
        return gone

    def shared_here(self) -> list[str]:
        """Return the shared values that are here."""
        return [name for name in self._here if name in self._shared]
