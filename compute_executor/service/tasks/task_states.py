"""What lists, figures and people call the states of tasks."""

from __future__ import annotations

from compute_executor.protocol import frames
from compute_executor.service.scheduling.lifecycle import State
from compute_executor.service.store.rows import FAILED_STATUSES, LOST_STATUSES

QUEUED, RUNNING, SUCCEEDED, FAILED, LOST, CANCELLED = (
    "queued",
    "running",
    "succeeded",
    "failed",
    "lost",
    "cancelled",
)
STATES = (QUEUED, RUNNING, SUCCEEDED, FAILED, LOST, CANCELLED)

OPEN = {State.QUEUED: QUEUED, State.LEASED: QUEUED, State.BEGAN: RUNNING, State.DONE: RUNNING}
"""Of tasks without a stored outcome."""
ENDED = {
    frames.VALUE: SUCCEEDED,
    frames.CANCELLED: CANCELLED,
    **dict.fromkeys(FAILED_STATUSES, FAILED),
    **dict.fromkeys(LOST_STATUSES, LOST),
}
"""By the status of their outcome."""
