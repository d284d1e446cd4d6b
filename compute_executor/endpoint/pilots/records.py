"""What an endpoint with pilots keeps on its disk, in the forms in which our own workers keep it, so that the next
start reads both alike (`agent.recovery`): which tasks were given to pilots, and outcomes that the service has not
stored.

    given    -> a begun log: what a pilot has been sent counts as begun
    outcome  -> a result ring, until it is stored
"""

from __future__ import annotations

import os
from pathlib import Path

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.result_files import SUFFIX as RING_SUFFIX
from compute_executor.endpoint.pool.result_files import ResultRingFile
from compute_executor.endpoint.worker.begun_log import SUFFIX as LOG_SUFFIX
from compute_executor.endpoint.worker.begun_log import BegunLog
from compute_executor.endpoint.worker.messages import Key
from compute_executor.endpoint.worker.result_ring import ResultRing
from compute_executor.protocol.frames import EXCEPTION, VALUE, Blob


class PilotRecords:
    """The files of one start of an endpoint. Raises OSError if they cannot be made."""

    def __init__(self, folder: Path) -> None:
        self._given = BegunLog(str(folder / f"pilots{LOG_SUFFIX}"))
        self._file = ResultRingFile(str(folder / f"pilots{RING_SUFFIX}"))
        self._ring = ResultRing(self._file.file)

    def give(self, tasks: list[Key]) -> None:
        """Note that these are about to be sent to a pilot."""
        for key in tasks:
            self._given.mark(*key)

    def keep(self, outcomes: list[TaskEnded]) -> bool:
        """Put these where the next start finds them; False if not all could be: a full ring, or no outcome of the
        function's own."""
        return min(map(self._keep, outcomes), default=True)

    def _keep(self, one: TaskEnded) -> bool:
        if one.status not in (VALUE, EXCEPTION):
            return False
        in_file = isinstance(one.body, Blob)
        body = f"{one.body.name} {one.body.size}".encode() if isinstance(one.body, Blob) else one.body
        return self._ring.put(
            (one.batch, one.position, one.attempt, one.status, int(in_file), one.began, one.ended, body)
        )

    def stored(self, put: int, stored: int) -> None:
        """Note that everything kept so far is among the first ``put`` outcomes, of which ``stored`` are stored."""
        self._file.inbox.read(self._ring.tail)
        self._file.reported(put)
        self._file.stored(stored)

    def close(self) -> None:
        """Let go of the files, which stay for the next start."""
        self._file.inbox.close()
        os.close(self._file.file)
