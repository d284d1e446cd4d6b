"""The life of a task at the service, as one table.

    queued -> leased -> began -> done
       ^________|         |
       ^__________________|   only for a lost worker, when retries are left: then as the next attempt

A report about an attempt that is not the current one, or a transition that is not in the table, changes nothing:
it is the echo of a worker that was given up.
"""

from __future__ import annotations

import enum


class State(enum.IntEnum):
    """Where a task is. The numbers are the bytes of `dispatch.OpenBatch.states`."""

    QUEUED = 0
    """Accepted, stored, waiting for a worker."""
    LEASED = 1
    """Given to an engine; its function has surely not begun, or that is not known yet."""
    BEGAN = 2
    """Its function has begun. From here it may not be run again unless retries were asked for."""
    DONE = 3
    """It has an outcome: value, exception, lost, cancelled, timeout or broken. Final."""


class Event(enum.Enum):
    """What can happen to a task."""

    TAKE = "an engine takes it"
    BEGIN = "a worker says that the function has begun"
    END = "a worker brings its outcome"
    RETURN = "the engine gives it back, surely not begun"
    RETRY = "its worker died, and retries are left"
    LOSE = "its worker died, and none are left"
    CANCEL = "it was withdrawn before it began"
    BREAK = "its pool has no workers and never will"
    RECOVER = "a start finds how it ended, in what its worker left behind"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.TAKE): State.LEASED,
    (State.QUEUED, Event.CANCEL): State.DONE,
    (State.QUEUED, Event.BREAK): State.DONE,
    (State.QUEUED, Event.RECOVER): State.DONE,
    (State.LEASED, Event.BEGIN): State.BEGAN,
    (State.LEASED, Event.END): State.DONE,
    (State.LEASED, Event.RETURN): State.QUEUED,
    (State.LEASED, Event.RETRY): State.QUEUED,
    (State.LEASED, Event.LOSE): State.DONE,
    (State.LEASED, Event.CANCEL): State.DONE,
    (State.BEGAN, Event.END): State.DONE,
    (State.BEGAN, Event.RETRY): State.QUEUED,
    (State.BEGAN, Event.LOSE): State.DONE,
}


def after(state: int, event: Event) -> State | None:
    """Return the state after ``event``; None if that event means nothing in this state."""
    return TRANSITIONS.get((State(state), event))


def sources(event: Event) -> frozenset[int]:
    """Return the states in which ``event`` means something."""
    return frozenset(int(state) for state, happening in TRANSITIONS if happening is event)
