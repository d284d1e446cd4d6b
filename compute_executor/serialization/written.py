"""An answer that is bytes already. A file of its own, because every worker imports it."""

from __future__ import annotations


class WrittenAnswer:
    """What a function returns that is a result's body already: a worker hands ``body`` on as it is."""

    def __init__(self, body: bytes) -> None:
        self.body = body
