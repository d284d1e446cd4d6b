"""Worker: runs calls in a thread of this process, with bytes in and bytes out as a worker process has them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from compute_executor.protocol.frames import EXCEPTION, VALUE, Blob, Body
from compute_executor.serialization import exceptions, large, native, reading
from compute_executor.serialization.namespaces import Needs, Program
from compute_executor.serialization.written import WrittenAnswer


class WorkerThread(threading.local):
    """Worker of one thread: its ``__main__`` holds what the program's ``__main__`` has sent by value, apart from the
    real one. ``blobs``: the folder of large bodies. ``initializer``: a call payload, or None."""

    def __init__(self, blobs: Path, initializer: bytes | None) -> None:
        self._blobs = blobs
        self._initializer = initializer
        self._program = Program(reading.read_unit, ModuleType("__main__"))
        self._functions: dict[bytes, tuple[Callable[..., Any], list[Needs]]] = {}

    def initialize(self) -> None:
        """Call the initializer, once in this thread. Raises what it raises."""
        payload, self._initializer = self._initializer, None
        if payload is not None:
            ((function, initargs), _), _ = reading.adopt(lambda: native.loads_call(payload), self._program)
            function(*initargs)

    def run(self, function: bytes, code: Body, body: Body) -> tuple[int, bytes]:
        """Call a function: how the call ended, and what it returned or raised. ``function``: a name of its code."""
        try:
            call = self._function(function, code)
            payload = self._read(body)
            (args, kwargs), _ = reading.adopt(lambda: native.loads_call(payload), self._program)
            value = call(*args, **kwargs)
            return VALUE, value.body if type(value) is WrittenAnswer else native.dumps(value)
        except BaseException as error:  # as in a worker process, also what would end this one
            return EXCEPTION, exceptions.encode(error, skip_frames=1)

    def _function(self, name: bytes, code: Body) -> Callable[..., Any]:
        if name not in self._functions:
            self._functions[name] = reading.adopt(lambda: native.loads(self._read(code)), self._program)
        function, needs = self._functions[name]
        for need in needs:
            need.apply()
        return function

    def _read(self, body: Body) -> bytes | memoryview:
        return large.read(str(self._blobs / body.name)) if isinstance(body, Blob) else body
