"""The frames of the stream between our client and our service.

One WebSocket per Executor carries submissions one way and results the other. The first frame each way is JSON
text (:class:`Hello`, :class:`Welcome`); that is how a service tells our client from a guide-era one, whose
first frame is a bare task group id. All later frames are binary: msgpack arrays ``[tag, field, ...]``.

    client                                     service
    Hello (JSON)            ->
                            <-                 Welcome (JSON)
    OpenPool, Register      ->
    Subscribe(group)        ->
    Submit(prefix, tasks)   ->                 one transaction
                            <-                 Accepted(prefix) | Refused(prefix, ...)
                            <-                 Began(...)       when a worker has begun it
                            <-                 Output(...)      what it writes, while it runs
                            <-                 Results(group, [...])   they cannot be lost any more
    Ack(group, seq)         ->                 after the futures are set
    Cancel(request, ...)    ->
                            <-                 Cancelled(request, which)
    Hold, Release           ->                 blobs that several batches refer to
    ClosePool               ->

Rules
* Frames of one connection are handled in order: a Submit may use what a Register before it named.
* ``Results.seq`` numbers rise within a group, over reconnects and restarts of the service. ``Subscribe.after``
  is the last number the client has acknowledged: later ones are sent (again). The client drops what it knows.
* Submit is idempotent by ``prefix``: the same again is answered Accepted and runs nothing.
* Began and Output are a courtesy: not stored, not repeated.
* Every payload is opaque to the service. Large ones are a :class:`Blob`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from compute_executor.errors import ResultDecodeError, ResultGone
from compute_executor.protocol.ids import MAX_BATCH, Id, Prefix, SequenceNumber, TaskPositions
from compute_executor.surroundings import local_text

PROTOCOL = 1
INLINE_LIMIT = 64 * 1024
"""Bytes up to which a body lies in the frame and the database; above, it is a :class:`Blob`. SQLite's own
measurements put the break-even of blobs and files near 100 kB (sqlite.org/intern-v-extern-blob.html), and a
body must fit one datagram to a worker (Linux default socket buffer: 208 KiB)."""

MAX_FRAME = 16 * 1024 * 1024
"""Largest frame in bytes that either side accepts."""

VALUE, EXCEPTION, LOST, CANCELLED, TIMEOUT, BROKEN, REFUSED = range(7)
"""How a task ended. VALUE: body is the native payload of the result. EXCEPTION: body is what
``serialization.exceptions`` makes. Others: body is the msgpack of a :class:`Reason`. REFUSED: it had been accepted,
and its caller lost the right to it before it began."""


Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Blob(msgspec.Struct, array_like=True, frozen=True):
    """A body in a file of the service's blob folder. ``name`` is 32 hex digits; nothing else is accepted."""

    name: str
    size: int


Body = bytes | Blob

_BLOB_NAME = re.compile("[0-9a-f]{32}")


def blob_name(blob: Blob) -> str:
    """Return the name of a blob, which may be put into a path or a URL. Raises ResultDecodeError for any other
    text."""
    if not _BLOB_NAME.fullmatch(blob.name):
        raise ResultDecodeError(
            f"a body of {blob.size} bytes is named {blob.name[:100]!r}, which is no blob name (32 hexadecimal digits)"
        )
    return blob.name


def gone(blob: Blob) -> ResultGone:
    """Return the error for a result whose file is not there any more."""
    return ResultGone(
        f"the result of {blob.size:,} bytes ({blob.name}) was taken by its client before, and its file is deleted "
        'to free the disk. To read results again later, submit with ex.options(keep="14d"), or have the service keep '
        "all of them (keep_results=SECONDS)"
    )


class Reason(msgspec.Struct, array_like=True, frozen=True):
    """Why a task ended without its function's own outcome. ``container``: the one that cannot be used, if so;
    then it is that container's pool which is broken, and not the one submitted to."""

    message: str
    exit_code: int | None = None
    began: bool = True
    attempts: int = 1
    container: bytes | None = None


class Options(msgspec.Struct, array_like=True, frozen=True):
    """How the tasks of one batch are to be run. ``retries``: for lost workers only. ``walltime`` in seconds. The
    next four are for stock endpoints: what a task needs, what its user endpoint is to be like, import paths of how
    its result is to be written, and what the submitting Python is. ``keep``: seconds for which outcomes stay after
    the end of their batch, acknowledged or not; `UNTIL_TAKEN`; None: as the service keeps all. The last five are
    what each task takes (`resources.Resources`); an older service leaves them out, so only one that names
    ``resources`` among its limits is sent them."""

    retries: int = 0
    walltime: float | None = None
    container: Id | None = None
    resource_specification: dict[str, Any] | None = None
    user_endpoint_config: dict[str, Any] | None = None
    result_serializers: list[str] | None = None
    user_runtime: dict[str, Any] | None = None
    keep: float | None = None
    cores: int | None = None
    memory: int | None = None
    gpus: int | None = None
    nodes: int | None = None
    ranks: int | None = None


UNTIL_TAKEN = 0.0
"""`Options.keep` of outcomes that stay until a client has acknowledged them, however long that takes, and no
longer."""


class WorkerDevices(msgspec.Struct, array_like=True, frozen=True):
    """The devices that a worker sees: their names, and the environment variables by which it sees no other."""

    names: list[str]
    variables: dict[str, str]


class PoolSpec(msgspec.Struct, array_like=True, frozen=True):
    """The workers that an Executor wants: what they see is what its caller saw.

    ``initializer`` is a native call payload of ``(function, initargs)``, or None. ``environ`` is the whole
    environment of the workers. ``container`` is a registered container's id, or None. ``python_version``: the
    caller's, such as "3.12". Text of the operating system is as `compute_executor.surroundings.wire_text` makes it.
    ``cwd`` is empty if the caller's folder was removed. ``interpreter``: options of the caller's interpreter.
    ``surroundings``: what `compute_executor.surroundings.observe` makes; empty: those of the service.
    ``to_program``: what tasks write is sent to the client instead of into the service's log. An older service leaves
    these three out. ``threads``: cores that each worker has, 0 if that was not said. ``devices``: those of the first
    worker, the second and so on, and again from the first; only for a service that names ``resources`` among its
    limits.
    """

    max_workers: int
    python: str
    path: list[str]
    cwd: str
    environ: dict[str, str]
    initializer: bytes | None = None
    container: Id | None = None
    label: str = ""
    python_version: str = ""
    interpreter: list[str] = []
    surroundings: bytes = b""
    to_program: bool = False
    threads: int = 0
    devices: list[WorkerDevices] = []

    def variables(self) -> dict[str, str]:
        """Return the environment variables as they are on this machine."""
        return {local_text(name): local_text(value) for name, value in self.environ.items()}


# -- first frames (JSON) ------------------------------------------------------------------------------------


class ProgramInfo(msgspec.Struct, frozen=True):
    """The program that uses an Executor, as lists of task groups show it. ``label``: the Executor's own; ``name``:
    the path of the script or notebook, or how the program was given to Python (``-c``, ``-m module``)."""

    label: str = ""
    name: str = ""
    host: str = ""
    pid: int = 0


class Hello(msgspec.Struct, frozen=True):
    """The client's first frame. ``program``: None from a client of an earlier version. ``output``: whether
    it reads Output."""

    compute_executor: int
    version: str
    python: str
    trace: bool = False
    program: ProgramInfo | None = None
    output: bool = False


class ForgottenWork(msgspec.Struct, frozen=True):
    """A task group of the user's own with open tasks, for which no client waits. ``open``: how many."""

    group: str
    open: int
    program: ProgramInfo


class Welcome(msgspec.Struct, frozen=True):
    """The service's first frame. ``blob_folder``: where a client on the same machine may put and read blobs
    itself (None: by HTTP). ``limits``: names of ``service.limits`` to numbers."""

    compute_executor: int
    version: str
    default_endpoint: str
    blob_folder: str | None
    limits: dict[str, int]
    forgotten: list[ForgottenWork] = []


# -- client to service --------------------------------------------------------------------------------------


class OpenPool(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Declare the pool ``pool`` (16 bytes). Again with the same id: nothing happens."""

    pool: Id
    spec: PoolSpec


class ClosePool(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """No more tasks will come for ``pool``: its workers end when it is empty."""

    pool: Id


class Register(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """A function by content. ``digest`` = sha256(code); batches may name it by that. ``code`` is a native
    payload (one pickle stream). Registered once per owner, digest and sharing: ``public``, or with a ``group``
    (its id) that the caller is in. An older service registers it unshared."""

    digest: Digest
    name: str
    code: Body
    description: str = ""
    metadata: dict[str, Any] = {}
    public: bool = False
    group: str | None = None


class Subscribe(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Send this connection the results of ``group`` (16 bytes) with numbers above ``after``."""

    group: Id
    after: SequenceNumber = 0


class Submit(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """A batch. ``functions``: sha256 digests (32 bytes) or function ids (16 bytes). ``tasks``: msgpack array of
    ``[index into functions, Body]``, kept encoded because the service stores it as it came.
    ``endpoint``: 16 bytes, or empty for the service's own. ``pool``: 16 bytes, or None for the default pool.
    ``parts``: blobs that the tasks refer to besides those that are their bodies; named only to a service whose limits
    name ``parts``."""

    prefix: Prefix
    group: Id
    endpoint: Annotated[bytes, msgspec.Meta(max_length=16)]
    pool: Id | None
    functions: list[Annotated[bytes, msgspec.Meta(min_length=16, max_length=32)]]
    tasks: msgspec.Raw
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_BATCH)]
    options: Options = Options()
    parts: list[Blob] = []


class Ack(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """All results of ``group`` up to ``seq`` have reached their futures."""

    group: Id
    seq: SequenceNumber


class Cancel(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """Withdraw what has not begun. ``tasks``: prefix and positions. Answered by Cancelled, same ``request``."""

    request: SequenceNumber
    tasks: TaskPositions


class Hold(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """This client refers to these blobs, and may again: they stay until it says Release, or for a while after its
    stream has ended. What is not there, or somebody else's, is left out in silence: a Submit that names it is
    refused."""

    parts: list[Blob]


class Release(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """This client will not name these blobs any more. They stay as long as tasks that are not done refer to them."""

    names: list[str]


ToService = OpenPool | ClosePool | Register | Subscribe | Submit | Ack | Cancel | Hold | Release


# -- service to client --------------------------------------------------------------------------------------


class Accepted(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """The batch is stored (committed) and will be run. Not sent if the first Results of the batch come as soon:
    they say so, too."""

    prefix: bytes


class Refused(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Nothing of the batch is kept. ``error`` is a document of errors.py. ``position``: the culprit, if known."""

    prefix: bytes
    error: dict[str, Any]
    position: int | None = None


class Registered(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """The function with this content has this id (16 bytes); or it was refused, then ``error`` says why."""

    digest: bytes
    function: bytes
    error: dict[str, Any] | None = None


class Written(msgspec.Struct, array_like=True, frozen=True):
    """Part of what a task has written: bytes of its stdout, its stderr and its log records (lines of JSON), and at
    which position of each stream of this attempt they begin. What lies before them was sent earlier, or dropped."""

    out: bytes = b""
    err: bytes = b""
    records: bytes = b""
    starts: tuple[int, int, int] = (0, 0, 0)
    attempt: int = 0

    def streams(self) -> tuple[bytes, bytes, bytes]:
        """Return the bytes of the three streams."""
        return self.out, self.err, self.records


class Output(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """What tasks have written by now: ``(prefix, position, part)``. Only for a client whose Hello asked for it; a
    courtesy like Began. The end of it is in the task's Result as well."""

    tasks: list[tuple[bytes, int, Written]]


class Result(msgspec.Struct, array_like=True, frozen=True):
    """How one task ended. ``began`` and ``ended`` are Unix times of the worker's clock, 0.0 if unknown. ``output``:
    the end of what it wrote, None if that is nothing; an older client does not read it."""

    seq: int
    prefix: bytes
    position: int
    status: int
    body: Body
    began: float = 0.0
    ended: float = 0.0
    output: Written | None = None


class Results(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Outcomes that cannot be lost any more, in rising ``seq``."""

    group: bytes
    results: list[Result]


class Hop(msgspec.Struct, array_like=True, frozen=True):
    """When a task passed the places of a service, as Unix times; 0.0: not known. See ``compute_executor.tracing``."""

    prefix: bytes
    position: int
    received: float = 0.0
    committed: float = 0.0
    sent: float = 0.0
    reported: float = 0.0
    stored: float = 0.0


class Hops(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """For a client whose Hello asked for a trace, before the results of these tasks."""

    tasks: list[Hop]
    streamed: float


class Began(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Workers have begun these tasks: ``(prefix, position, Unix time)``."""

    tasks: list[tuple[bytes, int, float]]


class Cancelled(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Which of the tasks of a Cancel surely will not run. Their outcome comes in Results as well."""

    request: int
    tasks: TaskPositions


class PoolFailed(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """Workers of ``pool`` cannot start; its open tasks end as BROKEN, later submissions are refused."""

    pool: bytes
    message: str


class Goodbye(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """The service ends on purpose; reconnect later (an embedded one is started again by whoever needs it)."""

    reason: str


ToClient = (
    Accepted | Refused | Registered | Results | Began | Cancelled | PoolFailed | Goodbye | Hops | Output
)
