"""A process that reads, calls and answers as a worker does, without a service."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from typing import IO, Any

from compute_executor.endpoint.worker.worker import encode_exception
from compute_executor.functions.registry import Registry
from compute_executor.serialization import exceptions, native, reading
from compute_executor.serialization.namespaces import Needs, Program


class OtherProcess:
    """A worker process, seen from the tests. Functions are registered as an Executor does it."""

    def __init__(self) -> None:
        self.registry = Registry(native.dump_function)
        self._sent: dict[bytes, int] = {}
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """``function(*args, **kwargs)`` there: its value, or its exception. Raises SerializationError."""
        route = self.registry.route(function)
        number = self._sent.get(route.function.digest)
        payload = native.dumps_call(route.arguments(args), kwargs)
        return self._answer(route.function.digest, number, route.function.code, payload)

    def _answer(self, digest: bytes, number: int | None, code: Any, payload: bytes) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _write(self._process.stdin, b"" if number is not None else code)
        _write(self._process.stdin, str(self._sent.setdefault(digest, len(self._sent))).encode())
        _write(self._process.stdin, payload)
        self._process.stdin.flush()
        kind, *body = _read(self._process.stdout)
        if kind:
            return exceptions.decode(bytes(body))
        return native.loads(bytes(body))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(len(content).to_bytes(8, "big") + content)


def _read(file: IO[bytes]) -> bytes:
    return file.read(int.from_bytes(file.read(8), "big"))


def _serve() -> None:
    sys.path.pop(0)  # the folder of this file
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    program = Program(reading.read_unit, main)
    functions: dict[bytes, tuple[Any, list[Needs]]] = {}
    while number := [_read(sys.stdin.buffer), _read(sys.stdin.buffer), _read(sys.stdin.buffer)][:3]:
        code, key, payload = number
        if not key:
            return
        _write(answers, _outcome(program, functions, code, key, payload))
        answers.flush()


def _outcome(
    program: Program, functions: dict[bytes, tuple[Any, list[Needs]]], code: bytes, key: bytes, payload: bytes
) -> bytes:
    try:
        if key not in functions:
            functions[key] = reading.adopt(lambda: native.loads(code), program)
        function, needs = functions[key]
        for need in needs:
            need.apply()
        (args, kwargs), _ = reading.adopt(lambda: native.loads_call(payload), program)
        return b"\0" + native.dumps(function(*args, **kwargs))
    except BaseException as error:
        return b"\1" + encode_exception(error)


if __name__ == "__main__":
    _serve()
