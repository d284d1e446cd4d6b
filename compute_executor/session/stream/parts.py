"""Values that several calls share, each stored once as a blob of its own: a *part*.

What a function carries (closure, defaults, globals) becomes a part at once; an argument from its second time on. A
value is known again by its size and a sample of its bytes, and then compared with what was stored, byte by byte: what
has changed in between, anywhere, is another part.

A part is held at the service as long as anything here refers to it: calls that have not left, functions, a `Ref`, and
this table, which keeps those used last. When the last one is gone, the service is told.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from compute_executor.errors import ComputeError, ServiceUnavailable
from compute_executor.serialization.buffers import Taken
from compute_executor.serialization.large import Content, Part, Piece
from compute_executor.session.storage import Storage

KEPT_BYTES, KEPT = 1 << 30, 1000
"""Bytes, and number, of the parts that are remembered although nothing else here refers to them."""
SEEN = 10_000
"""Arguments of which it is remembered that they were passed."""
_SPOTS, _SPOT = 64, 64

Key = tuple[int, int]
"""Size, and hash of a sample."""


class _Known(NamedTuple):
    part: Part
    digest: bytes
    storage: Storage  # of one connection


class Parts:
    """The parts of one session. ``storage``: where they go, once it is known (it may wait); None: nowhere.
    ``released``: called with the name of a part that nothing here refers to any more, in any thread, which may be in
    the middle of anything. Any thread."""

    def __init__(self, storage: Callable[[], Storage | None], released: Callable[[str], object]) -> None:
        self._storage = storage
        self._released = released
        self._lock = threading.Lock()
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._size = 0
        self._seen: OrderedDict[Key, None] = OrderedDict()

    def of_function(self, taken: Taken, *, elsewhere: bool = False) -> Part | None:
        """Return the part of what a function carries. ``elsewhere``: for an endpoint of ours."""
        return self._find(taken.content, at_once=True, elsewhere=elsewhere)

    def of_argument(self, taken: Taken, *, elsewhere: bool = False) -> Part | None:
        """Return the part of an argument; None the first time. ``elsewhere``: for an endpoint of ours."""
        return self._find(taken.content, at_once=False, elsewhere=elsewhere)

    def put(self, content: Content, what: str) -> Part:
        """Return a new part. Raises ServiceUnavailable if there is no service, PayloadTooLarge."""
        storage = self._storage()
        if storage is None or not (storage.takes_parts() or storage.takes_parts(elsewhere=True)):
            raise ServiceUnavailable(
                f"{what} cannot be stored: there is no stream to a service that keeps values"
            )
        return self._stored(storage, content, what)

    def _find(self, content: Piece, *, at_once: bool, elsewhere: bool) -> Part | None:
        key = len(content), _sample(content)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            elif not at_once and not self._was_seen(key):
                return None
        storage = self._storage()
        if storage is None or not storage.takes_parts(elsewhere=elsewhere):
            return None
        if known is not None and _same(storage, known, content):
            return known.part
        return self._new(storage, key, content)

    def _was_seen(self, key: Key) -> bool:
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > SEEN:
            self._seen.popitem(last=False)
        return False

    def _new(self, storage: Storage, key: Key, content: Piece) -> Part | None:
        try:
            part = self._stored(storage, [content], "a value that calls share")
        except ComputeError:  # too large, or no room: the call that it belongs to will say so
            return None
        digest = b"" if storage.is_local else hashlib.sha256(content).digest()
        with self._lock:
            replaced = self._known.pop(key, None)
            self._known[key] = _Known(part, digest, storage)
            self._size += part.size - (replaced.part.size if replaced else 0)
            dropped = []
            while len(self._known) > 1 and (self._size > KEPT_BYTES or len(self._known) > KEPT):
                dropped.append(self._known.popitem(last=False)[1])
                self._size -= dropped[-1].part.size
        return part

    def _stored(self, storage: Storage, content: Content, what: str) -> Part:
        blob = storage.store_part(content, what)
        part = Part(blob.name, blob.size)
        weakref.finalize(part, self._released, part.name).atexit = False
        return part


def _same(storage: Storage, known: _Known, content: Piece) -> bool:
    """Return whether a part has this content: by comparing, where it can be read; else by its digest, as long as the
    connection holds: the service lets go of what a client has held that does not come back for long."""
    if storage.is_local:
        return storage.has_content(known.part, content)
    return known.storage is storage and hashlib.sha256(content).digest() == known.digest


def _sample(content: Piece) -> int:
    """Return the hash of some bytes: it finds what may be the same, and proves nothing."""
    view = memoryview(content)
    step = max(_SPOT, (len(view) - _SPOT) // _SPOTS)
    return hash(b"".join(view[at : at + _SPOT] for at in range(0, len(view), step)) + bytes(view[-_SPOT:]))
