"""Who holds which blobs beyond what the store says: clients that will refer to them again, batches on their way into
the store. A blob that nothing refers to goes when its last holder lets it go. Owner: the loop thread.

A client whose stream ends has some time to come back (`ServiceLimits.pool_grace`). Nothing of this is stored: after
a restart parts that the store knows of stay as long, and clients say again what they hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable


class BlobHolds:
    """Holders by blob. ``unused``: called with the names of blobs that nobody holds any more; ``grace``: seconds."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, unused: Callable[[list[str]], object], grace: float
    ) -> None:
        self._loop = loop
        self._unused = unused
        self._grace = grace
        self._holders: dict[str, set[object]] = {}
        self._held: dict[object, set[str]] = {}
        self._leaving: dict[object, asyncio.TimerHandle] = {}

    def hold(self, holder: object, names: Iterable[str]) -> None:
        """Keep these until ``holder`` lets them go."""
        held = self._held.setdefault(holder, set())
        for name in names:
            held.add(name)
            self._holders.setdefault(name, set()).add(holder)

    def release(self, holder: object, names: Iterable[str] | None = None) -> None:
        """``holder`` lets these go (None: all that it holds)."""
        held = self._held.get(holder, set())
        gone = list(held) if names is None else [name for name in names if name in held]
        held.difference_update(gone)
        if not held:
            self._held.pop(holder, None)
        self._unused([name for name in gone if self._let_go(name, holder)])

    def _let_go(self, name: str, holder: object) -> bool:
        """Forget one hold; whether it was the last one of the blob."""
        holders = self._holders[name]
        holders.discard(holder)
        if not holders:
            del self._holders[name]
        return not holders

    def left(self, holder: object) -> None:
        """Note that the stream of ``holder`` has ended: it lets go of everything in a while, unless it is `close`d
        before."""
        if holder in self._held:
            self._leaving[holder] = self._loop.call_later(self._grace, self._gone, holder)

    def restore(self, names: Iterable[str]) -> None:
        """Note that the service has started, and clients of the one before may come back for these."""
        self.hold(self, names)
        self.left(self)

    def _gone(self, holder: object) -> None:
        self._leaving.pop(holder, None)
        self.release(holder)

    def held(self, name: str) -> bool:
        """Return whether anybody holds this blob."""
        return name in self._holders

    def close(self) -> None:
        """Note that the service ends: whoever has left does not come back to this one."""
        for holder, timer in list(self._leaving.items()):
            timer.cancel()
            self._gone(holder)
