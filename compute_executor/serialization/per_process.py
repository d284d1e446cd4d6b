"""Objects that each process of a program has of its own: locks, what a thread has for itself, weak references, open
files, its environment.

As the value of a global, or in it, such an object is made anew in a worker, or is the worker's own, as it is where a
pool's workers import the program or are forked from it. As an argument a lock is refused: one that travelled would
lock nobody else out. The environment travels as an argument as it is here.
"""

from __future__ import annotations

import io
import os
import queue
import stat
import sys
import tempfile
import threading
import weakref
from typing import Any

from compute_executor.serialization import remade

_LOCKS: dict[type, Any] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
}


_OF_THE_INTERPRETER = (
    ("os", "environ"),
    ("os", "environb"),
    ("sys", "argv"),
    ("sys", "modules"),
    ("sys", "path"),
    ("sys", "stdin"),
    ("warnings", "filters"),
)
"""Module and name of what each interpreter has of its own, and a program changes to change it."""


def places() -> dict[int, str]:
    """Return where each interpreter's own are found, by id: module and attribute, with a dot between them."""
    found = {}
    for module, name in _OF_THE_INTERPRETER:
        one = getattr(sys.modules.get(module), name, None)
        if one is not None:
            found[id(one)] = f"{module}.{name}"
    return found


def method_of_the_interpreter(method: Any) -> tuple[str, str] | None:
    """Return the module, and the name in it, of a method of what each interpreter has of its own: `os`,
    `environ.get`."""
    module, _, name = places().get(id(method.__self__), "").partition(".")
    return (module, f"{name}.{method.__name__}") if name else None


def reduce(obj: Any) -> tuple[Any, ...] | None:
    """Return what makes such an object again; None for any other."""
    kind = type(obj)
    make = _LOCKS.get(kind)
    if make is not None:
        return make, ()
    if issubclass(kind, threading.local):
        return remade.thread_local, (kind,), dict(vars(obj)), None, None, remade.fill_thread_local
    if kind is queue.SimpleQueue and obj.empty():
        return queue.SimpleQueue, ()
    if isinstance(obj, io.IOBase):
        return _file(obj)
    if kind is tempfile._TemporaryFileWrapper:
        return remade.temporary_file, (obj.file, obj.name)
    return _weak(obj, kind)


def _file(file: Any) -> tuple[Any, ...] | None:
    """Return a file on disk, or a device, that is open for writing, or for reading bytes. (Text that is open for
    reading travels as its content, as an argument does.)"""
    mode, name = str(getattr(file, "mode", "")), getattr(file, "name", None)
    if mode in ("", "r") or not isinstance(name, str) or file.closed or not _can_be_opened_again(name):
        return None
    position = file.tell() if "+" in mode or mode == "rb" else None
    again = (
        mode.replace("w", "r").replace("x", "r") if "+" in mode else mode.replace("w", "a").replace("x", "a")
    )
    text = {} if "b" in mode else {"encoding": file.encoding, "errors": file.errors}
    return remade.open_file, (os.path.abspath(name), again, position, text)


def _can_be_opened_again(name: str) -> bool:
    try:
        kind = os.stat(name).st_mode
    except OSError:
        return False
    return stat.S_ISREG(kind) or stat.S_ISCHR(kind)


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
