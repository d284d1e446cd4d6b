"""Objects that each process of a program has of its own: locks, what a thread has for itself, weak references, open
files.

As the value of a global, or in it, such an object is made anew in a worker, as it is where a pool's workers import
the program or are forked from it. As an argument it is refused: a lock that travelled would lock nobody else out.
"""

from __future__ import annotations

import io
import os
import queue
import threading
import weakref
from typing import Any

from compute_executor.serialization import remade

_LOCKS: dict[type, Any] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
}


def reduce(obj: Any) -> tuple[Any, ...] | None:
    """What makes such an object again; None for any other."""
    kind = type(obj)
    make = _LOCKS.get(kind)
    if make is not None:
        return make, ()
    if issubclass(kind, threading.local):
        return remade.thread_local, (kind,), dict(vars(obj)), None, None, remade.fill_thread_local
    if kind is queue.SimpleQueue and obj.empty():
        return queue.SimpleQueue, ()
    return _file(obj) if issubclass(kind, io.IOBase) else _weak(obj, kind)


def _file(file: Any) -> tuple[Any, ...] | None:
    """A file on disk that is open for writing at its end, or for reading bytes."""
    mode, name = str(getattr(file, "mode", "")), getattr(file, "name", None)
    if "+" in mode or not isinstance(name, str) or file.closed or not os.path.isfile(name):
        return None
    if mode == "rb":
        return remade.reading_file, (os.path.abspath(name), file.tell())
    if set("wax").isdisjoint(mode):
        return None
    text = {} if "b" in mode else {"encoding": file.encoding, "errors": file.errors}
    return remade.appending_file, (os.path.abspath(name), "ab" if "b" in mode else "a", text)


def _weak(obj: Any, kind: type) -> tuple[Any, ...] | None:
    if kind in (weakref.ref, weakref.WeakMethod):
        target = obj()
        return remade.weak, ((kind,) if target is None else (kind, target))
    if kind in (weakref.ProxyType, weakref.CallableProxyType):
        return remade.weak, (weakref.proxy, obj.__init__.__self__)
    if kind is weakref.WeakSet:
        return remade.weak_container, (kind, list(obj))
    if kind in (weakref.WeakValueDictionary, weakref.WeakKeyDictionary):
        return remade.weak_container, (kind, dict(obj.items()))
    return None
