"""What earlier processes of an endpoint on this machine have left: results that the service has not stored, and which
tasks had begun.

Each start of an endpoint (a *generation*) has a folder of its own for the logs and result rings of its workers. The
folders of earlier ones stay until the service has been told what it asks about; then they are removed. So a process
that is killed again in between loses nothing.
"""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

from compute_executor.endpoint.leases.frames import encode
from compute_executor.endpoint.pool import leftovers
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.worker import begun_log
from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.frames import LOST, Blob, Reason

log: logging.Logger = logging.getLogger(__name__)

RESTARTED = "the endpoint ended while this task ran, and its worker with it"


class EarlierGenerations:
    """What was found, as `leases.holder.Leftovers`. ``host`` is named to whoever loses a task."""

    def __init__(self, folders: list[Path], blobs: Path, host: str) -> None:
        self._folders = folders
        self._host = host
        self._finished: dict[Key, TaskEnded] = {}
        self._begun: set[Key] = set()
        for folder in folders:
            self._begun |= begun_log.begun(folder)
            for outcome in leftovers.finished(folder):
                if _readable(outcome, blobs):
                    self._finished[outcome.batch, outcome.position, outcome.attempt] = outcome
        if folders:
            log.info("%d results of earlier processes may not be stored yet", len(self._finished))

    def outcome(self, key: Key) -> TaskEnded | None:
        """See Leftovers."""
        if key in self._finished:
            return self._finished[key]
        if key not in self._begun:
            return None
        body = encode(Reason(f"{RESTARTED} (on {self._host})"))
        return TaskEnded(*key, LOST, body, 0.0, time.time())

    def settled(self) -> None:
        """See Leftovers."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    def bodies(self) -> set[str]:
        """Return the names of files that results refer to."""
        return {one.body.name for one in self._finished.values() if isinstance(one.body, Blob)}


async def earlier(rings: Path, generation: int, blobs: Path, host: str) -> EarlierGenerations:
    """Return what generations before this one have left. Returns when none of their workers runs any more."""
    folders = sorted(one for one in rings.iterdir() if one.is_dir() and one.name != str(generation))
    for folder in folders:
        await leftovers.wait_until_gone(folder)
    return EarlierGenerations(folders, blobs, host)


def _readable(outcome: TaskEnded, blobs: Path) -> bool:
    body = outcome.body
    if not isinstance(body, Blob):
        return True
    try:
        return (blobs / body.name).stat().st_size == body.size
    except OSError:
        return False
