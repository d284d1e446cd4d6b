"""The functions that a holder was sent. A grantor's numbers hold for one connection; here a function keeps its number
for as long as the process lives, because workers remember functions by number. No I/O."""

from __future__ import annotations

import hashlib

from compute_executor.protocol.frames import Blob, Body


class FunctionTable:
    """Code by number, each content once."""

    def __init__(self) -> None:
        self._codes: list[Body] = []
        self._numbers: dict[bytes, int] = {}  # by content
        self._of_connection: dict[int, int] = {}

    def new_connection(self) -> None:
        """Note that the grantor's numbers mean nothing any more."""
        self._of_connection.clear()

    def add(self, number: int, code: Body) -> None:
        """Note that the grantor calls this function ``number``."""
        content = code.name.encode() if isinstance(code, Blob) else hashlib.sha256(code).digest()
        local = self._numbers.get(content)
        if local is None:
            local = self._numbers[content] = len(self._codes)
            self._codes.append(code)
        self._of_connection[number] = local

    def local(self, number: int) -> int:
        """Return what the function is called here that the grantor calls ``number``. Raises KeyError."""
        return self._of_connection[number]

    def code(self, local: int) -> Body:
        """Return the code of a function."""
        return self._codes[local]
