"""Classes that have no global name, as those made in a function: by which one each is known again when it comes back.

Standard library only: workers use this.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

_by_tracker: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()
_trackers: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_own: weakref.WeakSet[type] = weakref.WeakSet()
"""Classes that this process has sent first: they come back as themselves."""
_lock = threading.RLock()


def tracker(cls: type) -> str:
    """Return a text that stands for a class of this process wherever it is sent."""
    import uuid

    with _lock:
        found = _trackers.get(cls)
        if found is None:
            found = _trackers[cls] = uuid.uuid4().hex
            _by_tracker[found] = cls
            _own.add(cls)
        return found


def find_or_make(tracked: str, make: Callable[[], Any]) -> Any:
    """Return the class of a tracker, which ``make`` makes if it is not here. An empty one stands for none."""
    with _lock:
        found = _by_tracker.get(tracked) if tracked else None
        if found is None:
            found = make()
            if tracked:
                _by_tracker[tracked] = found
                _trackers[found] = tracked
        return found


def is_own(obj: Any) -> bool:
    """Return whether this is a class of this process that was sent: not one that was read."""
    return isinstance(obj, type) and obj in _own
