"""The frames between a grantor of tasks and a holder, which has them run somewhere else.

The grantor is a service and the holder a machine of an endpoint; or the grantor is such a machine and the holder one
of its pilots. The holder connects and sends a HolderHello, which the grantor answers with a GrantorWelcome. All later
frames are msgpack arrays ``[tag, field, ...]``.

    holder                                     grantor
    HolderHello             ->
                            <-                 GrantorWelcome
                            <-                 Leased(tasks)      what the grantor believes that this holder holds
    TasksReturned, Report   ->                 what has become of those that it does not hold any more
    Settled, CreditLimit    ->
                            <-                 FunctionCodes, Tasks  as many as there is credit for
    TasksBegan, TaskWritten, Report ->
                            <-                 Stored(report)     up to this report, nothing can be lost any more

Rules
* A task is leased from the moment it is sent until a Report or a TasksReturned about it has come; the end of a
  connection changes nothing. At the next one `Leased` and its answers put both sides in agreement.
* What the holder does not find in `Leased` it drops: the lease was revoked, or the outcome is stored already.
* ``CreditLimit.limit`` counts all tasks that were ever sent on this connection, so a repetition does no harm.
* Reports are numbered by the holder and sent again on each connection until they are stored.
* A body that is a Blob is asked for by whoever needs it (BodyWanted) and comes in parts; only bodies that were named
  on this connection are handed out.
* A value that the tasks of a batch share is named with them, and asked for once: the holder keeps it, within a bound,
  until `SharedDropped`. On a new connection it says what it has (SharedHeld).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.frames import Blob, Body, Written
from compute_executor.protocol.ids import SequenceNumber

PROTOCOL = 2
"""Version of these frames. A holder of another version is refused by name."""

PART = 1024 * 1024
"""Bytes of a body in one frame: other frames go in between."""

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53))]
TaskName = tuple[int, int]  # batch number, position


# -- first frames (JSON) ------------------------------------------------------------------------------------


class HolderHello(msgspec.Struct, frozen=True):
    """The holder's first frame. ``machine``: 32 hex digits drawn once for its state folder; ``generation`` rises at
    each of its starts. ``clock``: its Unix time now. ``label``: of a pilot, the job that it is in. ``join``: it is
    to work beside other machines of the endpoint; ``replace``: instead of them, and what they hold is given up."""

    lease_protocol: int
    version: str
    python: str
    machine: str
    generation: Annotated[int, msgspec.Meta(ge=0, le=(1 << 53))]
    host: str
    clock: float
    pid: int = 0
    engine: str = "process"
    join: bool = False
    replace: bool = False
    label: str = ""


class GrantorWelcome(msgspec.Struct, frozen=True):
    """The grantor's first frame. ``blob_folder``: where a holder on the same machine finds bodies; ``clock``: the
    grantor's Unix time now; ``durable``: it flushes bodies to the disk itself, so that no holder puts them there."""

    lease_protocol: int
    version: str
    clock: float
    blob_folder: str | None = None
    durable: bool = False


# -- grantor to holder -----------------------------------------------------------------------------------------


class Leased(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Every task that the grantor believes to be with this holder, from earlier connections."""

    tasks: list[Key]


class FunctionCodes(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """The code of functions, under numbers that hold for this connection."""

    functions: list[tuple[int, Body]]


class Tasks(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Tasks to run. Their functions were named before. ``shared``: what the tasks of a batch, by its number, need
    besides their bodies."""

    tasks: list[Assignment]
    shared: list[tuple[int, list[Blob]]] = []


NOBODY_WAITS = 0
"""The number of a Recall of which nobody waits for the answer."""


class Recall(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Give back those of these tasks that have not begun, then answer with Recalled."""

    request: int
    tasks: list[TaskName]


class StopTasks(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """End the workers that run any of these tasks now; give back those that have not begun."""

    tasks: list[TaskName]


class Stored(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Everything in the reports up to this number is stored."""

    report: int


class EndHolder(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """End this process; ``drain``: when what runs has ended."""

    drain: bool


class TasksQueued(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """So many tasks wait at the grantor for holders like this one: said when that changes much."""

    count: int


class SharedDropped(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """Nobody will need these shared values any more."""

    names: list[str]


# -- holder to grantor -----------------------------------------------------------------------------------------


class Settled(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Everything in Leased that is not held was answered."""


class CreditLimit(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """So many tasks in all may be sent on this connection."""

    limit: Count


class TasksBegan(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Workers have begun these tasks: (batch, position, attempt, Unix time)."""

    tasks: list[tuple[int, int, int, float]]


class TaskWritten(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """What tasks have written by now: (batch, position, part)."""

    tasks: list[tuple[int, int, Written]]


class Report(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Tasks that have ended. LOST is an outcome like the others: its body is a Reason."""

    number: SequenceNumber
    outcomes: list[TaskEnded]


class TasksReturned(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """These have surely not begun and are not the holder's any more."""

    tasks: list[Key]


class Recalled(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """The answer to a Recall: what could be given back was given back."""

    request: int


class WorkersFailed(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """No worker can start here, for this reason. Empty: they can again."""

    message: str


class HolderState(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """How the holder is doing, for people to look at. Sent every few seconds: it is also the sign of life."""

    document: dict[str, Any]


class Leaving(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """The holder ends in order and will not come back by itself."""


class SharedHeld(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """The shared values that the holder has from earlier connections."""

    names: list[str]


# -- both ways ----------------------------------------------------------------------------------------------


class BodyWanted(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Send this body, from this byte on."""

    name: str
    offset: Count


class BodyPart(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """Bytes of a body. ``trouble``: it cannot be read; then there are none, and no more will come."""

    name: str
    offset: Count
    data: bytes
    trouble: str = ""


ToHolder = (
    Leased
    | FunctionCodes
    | Tasks
    | Recall
    | StopTasks
    | Stored
    | EndHolder
    | TasksQueued
    | SharedDropped
    | BodyWanted
    | BodyPart
)
ToGrantor = (
    Settled
    | CreditLimit
    | TasksBegan
    | TaskWritten
    | Report
    | TasksReturned
    | Recalled
    | WorkersFailed
    | HolderState
    | Leaving
    | SharedHeld
    | BodyWanted
    | BodyPart
)

encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
decode_to_holder: Callable[[bytes | memoryview], ToHolder] = msgspec.msgpack.Decoder(ToHolder).decode
decode_to_grantor: Callable[[bytes | memoryview], ToGrantor] = msgspec.msgpack.Decoder(ToGrantor).decode
"""Raise msgspec.MsgspecError for what is no such frame."""
