"""What became of tasks that leave a trace, when something died."""

from __future__ import annotations

from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from compute_executor.errors import WorkerLost
from tests.faults import work

PATIENCE = 120.0
WORKERS = 2
"""Of the endpoints here: at most as many tasks are in the middle of running whenever something dies."""


def ends_well(futures: list[Future[Any]], trace: Path) -> list[WorkerLost]:
    """Every future ends, nothing ran twice, what did not fail is right; what was lost."""
    _, pending = wait(futures, PATIENCE)
    assert not pending, f"{len(pending)} futures did not end"
    errors = [error for future in futures if (error := future.exception()) is not None]
    lost = [error for error in errors if isinstance(error, WorkerLost)]
    assert len(lost) == len(errors), errors
    assert all(future.exception() or future.result() == name for name, future in enumerate(futures))
    ran = work.runs(trace)
    assert max(ran.values()) == 1, "something ran twice"
    assert all(name in ran for name, future in enumerate(futures) if not future.exception())
    return lost
