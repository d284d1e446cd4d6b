"""The results of this session, kept so that asking twice costs one request. Bounded by count and by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict

from compute_executor.sdk.outcome import Outcome

MAX_ENTRIES = 100_000
MAX_BYTES = 64 * 1024 * 1024
"""Of bodies. One that alone is over it is not kept: the service has it for longer than the session lasts."""


class ResultCache:
    """Outcomes of ended tasks by id. When it is full, what was not asked for the longest goes first."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._found: OrderedDict[str, Outcome] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, task_id: str) -> Outcome | None:
        """Return the outcome, if it is here."""
        with self._lock:
            outcome = self._found.get(task_id)
            if outcome is not None:
                self._found.move_to_end(task_id)
            return outcome

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome. Pending ones and over-large ones are passed over."""
        if outcome.pending or len(outcome.body) > self._max_bytes:
            return
        with self._lock:
            self._forget(outcome.task_id)
            self._found[outcome.task_id] = outcome
            self._bytes += len(outcome.body)
            while self._bytes > self._max_bytes or len(self._found) > self._max_entries:
                self._forget(next(iter(self._found)))

    def __len__(self) -> int:
        return len(self._found)

    def _forget(self, task_id: str) -> None:
        outcome = self._found.pop(task_id, None)
        if outcome is not None:
            self._bytes -= len(outcome.body)
