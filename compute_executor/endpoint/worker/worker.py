"""The loop inside a worker process. Standard library, our own message files and `serialization` only.

The way of a chunk of tasks:

1. ``recv`` from the task channel: one task, or several that the engine expects to be short;
2. per task: mark it in the begun log, look the function up (asked from the engine once), load, call, dump;
3. the result goes into the result ring; a RESULTS frame tells the engine how far the ring is filled: at once when
   nothing is left to do or the last frame is GATHER seconds old, else a little later for many results;
4. a :class:`ChunkWatcher` looks after chunks: when one of its tasks takes long after all, what was held back is
   announced and the unstarted rest goes back to the engine, so that nobody waits for a long neighbour.

What a task may do to its process is its own affair as in a thread pool (working directory, environment, signal
handlers and modules stay changed for later tasks), but it cannot break the loop: our descriptors are out of the
way (system.out_of_the_way), a forked child that returns here leaves, and whatever is raised becomes the task's
outcome.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from time import monotonic, time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from compute_executor import surroundings, system
from compute_executor.endpoint.worker import messages, mpi_prefix
from compute_executor.endpoint.worker.begun_log import BegunLog
from compute_executor.endpoint.worker.blobs import read_blob, write_blob
from compute_executor.endpoint.worker.chunk_watcher import ChunkWatcher
from compute_executor.endpoint.worker.messages import TaskRecord
from compute_executor.endpoint.worker.output import TaskOutput
from compute_executor.endpoint.worker.result_ring import Outcome, ResultRing
from compute_executor.serialization import buffers, native, reading
from compute_executor.serialization.large import Content, size
from compute_executor.serialization.namespaces import Needs, Origin, Program
from compute_executor.serialization.written import WrittenAnswer

if TYPE_CHECKING:
    from compute_executor.endpoint.worker.seeds import SeedWatcher

MAX_DATAGRAM = 1 << 18
GATHER = 0.0003
"""Seconds for which results of short tasks are gathered. A frame costs about 10 us, most of it waking the engine."""

FIRST_TASK = 0.01
"""Seconds after the start in which a task comes if one was waiting. It is not to wait for what it may not need."""

LISTEN_FIRST, LISTEN_LEAST = 0.05, 1.0
"""Seconds between two looks at what is written by what tasks have left running: after it wrote, and at most."""

FUNCTIONS = 500
"""Functions kept unpickled. More than that and the least recently used is asked for again."""


def main(tasks: int, stream: int, life: int, results: int, records: int) -> None:
    """Serve until the engine says EXIT or is gone. The arguments are inherited descriptors."""
    tasks, stream, life, results, records = map(_out_of_the_way, (tasks, stream, life, results, records))
    system.die_with(life)
    system.adopt_orphans()
    atexit.register(_end_left_over)  # the first to be registered is the last to be called
    faulthandler.enable()  # a crash of native code leaves a traceback in the output
    link = PoolLink(socket.socket(fileno=stream), ResultRing(results), TaskOutput(records))
    kind, payload = link.receive()
    if kind != messages.SETUP:
        raise RuntimeError(f"the first frame must be SETUP ({messages.SETUP}), not {kind}")
    setup = WorkerSetup(messages.unpack_parts(payload))
    setup.apply(records)
    channel = socket.socket(fileno=tasks)
    worker = Worker(link, channel, setup)
    setup.limit()
    with contextlib.suppress(EOFError, ConnectionError):  # the engine is gone: nobody to tell
        setup.change_modules(worker.program)
        worker.watch(setup.seeded)
        if initialized(link, setup.initializer, worker.program):
            link.send(messages.READY)
            if not select.select([channel], [], [], FIRST_TASK)[0]:
                _foresee()
            worker.serve()


def _end_left_over() -> None:
    """End what tasks have started in sessions of their own. What is in the worker's session ends with it."""
    system.end_descendants(os.getpid(), of_other_sessions=True)


def _foresee() -> None:
    """Import what the first task most likely needs, as it has not come yet."""
    with contextlib.suppress(Exception):  # whoever does need it will report it
        from compute_executor.serialization import packer  # noqa: F401


def _out_of_the_way(file: int) -> int:
    moved = system.out_of_the_way(file)
    os.close(file)
    return moved


class WorkerSetup:
    """What the engine says first: where things are, and what the caller's interpreter looked like."""

    def __init__(self, parts: list[bytes]) -> None:
        (
            ring,
            blob_folder,
            limit,
            durable,
            initializer,
            support,
            caller,
            contained,
            caller_surroundings,
            *path,
        ) = parts
        self.ring: str = os.fsdecode(ring)
        self.blob_folder: str = os.fsdecode(blob_folder)
        self.inline_limit: int = int(limit)
        self.durable: bool = durable == b"1"
        self.initializer = initializer
        self._support = [os.fsdecode(folder) for folder in support.split(b"\0") if folder]
        self._caller = caller.decode()
        self._surroundings = surroundings.unpack(caller_surroundings)
        self._contained = contained == b"1"
        self._path = [os.fsdecode(folder) for folder in path]

    def apply(self, records: int) -> None:
        """Make this process look like the caller's: its sys.path, and a ``__main__`` with nothing of ours in it,
        because functions and classes of the caller's ``__main__`` come by value and must not find other ones. In an
        environment, which is told by the caller's version of Python, the interpreter's own path comes first."""
        buffers.use_folder(self.blob_folder)
        sys.path[:] = [*sys.path, *self._path] if self._caller else self._path
        sys.argv[:] = [""]
        surroundings.apply(self._surroundings, contained=self._contained)
        if "levels" in self._surroundings:
            from compute_executor.endpoint.worker.records import forward

            forward(records, self._surroundings)
        sys.modules["__main__"] = surroundings.main_module(self._surroundings)
        sys.meta_path.append(SupportFolders(self._support))
        if self._caller:
            from compute_executor.endpoint.worker import bytecode

            bytecode.guard(self._caller)

    @property
    def origin(self) -> Origin | None:
        """Where the caller's program is from; None: its surroundings do not say."""
        said = self._surroundings.get("main")
        return None if said is None else Origin(said["file"], said["modified"])

    def change_modules(self, program: Program) -> None:
        """Set in modules what the caller's program has set in them."""
        streams = self._surroundings.get("modules")
        if streams:
            from compute_executor.serialization import set_in_modules

            set_in_modules.apply(streams, program)

    @property
    def seeded(self) -> dict[str, tuple[str, int]]:
        """Return which generators of random numbers the caller's program has seeded, and where."""
        found: dict[str, tuple[str, int]] = self._surroundings.get("seeded", {})
        return found

    def limit(self) -> None:
        """Take over the caller's resource limits, once all that this process needs is open."""
        if not self._contained:
            surroundings.apply_limits(self._surroundings)


class SupportFolders:
    """Finds our pickling libraries where the engine has them, if the caller's sys.path does not have them."""

    def __init__(self, path: list[str]) -> None:
        self._path = path

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """importlib's question to the last entry of sys.meta_path."""
        if name not in messages.PICKLING_LIBRARIES:
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, self._path)


class PoolLink:
    """The stream and the result ring towards the engine. The chunk watcher's thread sends too; only the main one
    receives."""

    def __init__(self, stream: socket.socket, results: ResultRing, output: TaskOutput) -> None:
        self.output = output
        self._stream = stream
        self._results = results
        self._reader = messages.FrameReader()
        self._lock = threading.Lock()
        self.told: int = results.tail
        """How far the engine knows the result ring to be filled."""

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Send one frame."""
        data = messages.frame(kind, payload)
        with self._lock:
            self._stream.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        """Wait for a frame from the engine. Raises EOFError if the engine is gone."""
        while True:
            data = self._stream.recv(MAX_DATAGRAM)
            if not data:
                raise EOFError
            for answer in self._reader.feed(data):
                return answer

    def ask(self, kind: int, payload: bytes = b"") -> bytes:
        """Send a frame and wait for the one that answers it."""
        self.tell_results()
        self.send(kind, payload)
        return self.receive()[1]

    def put(self, outcome: Outcome) -> None:
        """Put a result into the result ring; wait for the engine to read when it is full."""
        while not self._results.put(outcome):
            self.ask(messages.ROOM)

    def holding(self) -> bool:
        """Return whether results lie in the result ring that the engine was not told of."""
        return self._results.tail > self.told

    def tell_results(self) -> None:
        """Tell the engine how far the result ring is filled."""
        tail = self._results.tail
        if tail > self.told:
            self.told = tail
            if notes := self.output.notes():
                self.send(messages.OUTPUT, notes)
            self.send(messages.RESULTS, messages.TAIL.pack(tail))


def initialized(link: PoolLink, payload: bytes, program: Program) -> bool:
    """Run the initializer, if there is one. If it raises, say so and return False."""
    if not payload:
        return True
    pid = os.getpid()
    try:
        ((function, initargs), _), _ = reading.adopt(lambda: load_call(payload), program)
        function(*initargs)
        if os.getpid() != pid:
            os._exit(0)  # see Worker._run
    except BaseException as error:
        import traceback

        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        link.send(messages.FAILED, f"the initializer raised {type(error).__name__}: {error}\n{text}".encode())
        return False
    return True


class Worker:
    """Takes chunks of tasks and runs them one by one. All but the chunk watcher is the main thread's."""

    def __init__(self, link: PoolLink, tasks: socket.socket, setup: WorkerSetup) -> None:
        self._link = link
        self._tasks = tasks
        self._ring = BegunLog(setup.ring)
        self._setup = setup
        self.program: Program = Program(reading.read_unit, sys.modules["__main__"], setup.origin)
        self._functions: dict[int, tuple[Callable[..., Any], list[Needs]]] = {}
        self._watcher = ChunkWatcher(link)
        self._seeds: SeedWatcher | None = None
        self._pid = os.getpid()
        self._last: messages.Key = (0, 0, 0)
        # Kept: memory of this size is mapped, and unmapped when it is freed, which is three system calls a datagram.
        self._buffer = memoryview(bytearray(MAX_DATAGRAM))

    def watch(self, seeded: dict[str, tuple[str, int]]) -> None:
        """Look after generators of random numbers that the caller's program has seeded."""
        if seeded:
            from compute_executor.endpoint.worker.seeds import SeedWatcher

            self._seeds = SeedWatcher(seeded)

    def serve(self) -> None:
        """Run what comes until EXIT, or until the engine is gone."""
        while datagram := self._next_datagram():
            if datagram == messages.EXIT:
                return
            chunk = messages.unpack_tasks(datagram)
            if len(chunk) == 1:
                self._link.tell_results()  # this one may take any time
                self._run(chunk[0])
            else:
                self._run_chunk(chunk)

    def _next_datagram(self) -> bytes:
        """Return the next datagram; results are told before waiting for it."""
        if self._link.holding():
            try:
                return self._receive(socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._link.tell_results()
        self._link.output.restore()
        if system.has_children() or threading.active_count() > 1 + self._watcher.started:
            self._listen()
        return self._receive()

    def _listen(self) -> None:
        """Send on what a thread or a process writes that a task has left running, until the next task comes."""
        pause = LISTEN_FIRST
        while not select.select([self._tasks], [], [], pause)[0]:
            self._link.output.task_ended(self._last)
            if notes := self._link.output.notes():
                self._link.send(messages.OUTPUT, notes)
                pause = LISTEN_FIRST
            pause = min(2 * pause, LISTEN_LEAST)

    def _receive(self, flags: int = 0) -> bytes:
        return bytes(self._buffer[: self._tasks.recv_into(self._buffer, 0, flags)])

    def _run_chunk(self, chunk: list[TaskRecord]) -> None:
        watcher, link = self._watcher, self._link
        watcher.guard(chunk)
        told = monotonic()
        while (task := watcher.next_task()) is not None:
            self._run(task)
            if (now := monotonic()) - told > GATHER:
                told = now
                link.tell_results()

    def _run(self, task: TaskRecord) -> None:
        """Run one task, from its mark in the begun log to its result in the result ring."""
        batch, position, attempt, number, flags, body = task
        code = None if number in self._functions else self._ask_function(number)
        began = time()
        self._ring.mark(batch, position, attempt)
        self._last = batch, position, attempt
        if flags & messages.TELL:
            self._link.send(messages.BEGAN, messages.BEGUN.pack(batch, position, attempt, began))
        if flags & messages.RANKS:
            (ranks,) = messages.NUMBER.unpack_from(body)
            with mpi_prefix.set_for(ranks):
                status, result = self._outcome(number, code, flags, body[messages.NUMBER.size :])
        else:
            status, result = self._outcome(number, code, flags, body)
        if os.getpid() != self._pid:
            os._exit(0)  # a child of a task that forked: the task goes on in the parent, and only there
        if self._seeds is not None:
            self._seeds.task_ended()
        self._link.output.task_ended((batch, position, attempt))
        blob = False
        if not isinstance(result, bytes) or len(result) > self._setup.inline_limit:
            status, blob, result = self._in_file(status, result)
        self._link.put((batch, position, attempt, status, blob, began, time(), result))

    def _outcome(self, number: int, code: bytes | None, flags: int, body: bytes) -> tuple[int, Content]:
        """Run user code. A function of its own, so that arguments and result are freed when it returns."""
        try:
            function = self._known(number) if code is None else self._load(number, code)
            payload = read_blob(self._setup.blob_folder, body) if flags & messages.BLOB else body
            (args, kwargs), _ = reading.adopt(lambda: load_call(payload), self.program)
            value = function(*args, **kwargs)
            return messages.VALUE, value.body if type(value) is WrittenAnswer else native.dump(value)
        except BaseException as error:
            return messages.EXCEPTION, encode_exception(error)

    def _in_file(self, status: int, result: Content) -> tuple[int, bool, bytes]:
        """Return a large result as a blob. A disk that is full is this task's exception, not this worker's end."""
        try:
            return status, True, write_blob(self._setup.blob_folder, result, self._setup.durable)
        except OSError as error:
            why = f"{error.strerror}{surroundings.tight_limits()}"
            told = OSError(error.errno, f"the result of {size(result)} bytes cannot be stored: {why}")
            return messages.EXCEPTION, False, encode_exception(told)

    def _ask_function(self, number: int) -> bytes:
        return self._link.ask(messages.FUNCTION, messages.NUMBER.pack(number))

    def _known(self, number: int) -> Callable[..., Any]:
        """Return a function that was loaded before, with the globals that it was sent with. It becomes the one used
        last."""
        function, needs = self._functions[number] = self._functions.pop(number)
        for need in needs:
            need.apply()
        return function

    def _load(self, number: int, code: bytes) -> Callable[..., Any]:
        """Return the function, kept for next time. The least recently used makes room."""
        flags, body = code[0], code[1:]
        stream = read_blob(self._setup.blob_folder, body) if flags & messages.BLOB else body
        function: Callable[..., Any]
        function, needs = reading.adopt(lambda: load_function(stream), self.program)
        while len(self._functions) >= FUNCTIONS:
            del self._functions[next(iter(self._functions))]
        self._functions[number] = function, needs
        return function


def load_function(code: bytes | memoryview) -> Callable[..., Any]:
    """Return the function of a native stream or of a stock client's packed text."""
    if code[:1] == b"\x80":
        function: Callable[..., Any] = native.loads(code)
        return function
    from compute_executor.serialization import packing, strategies

    loaded: Callable[..., Any] = strategies.loads(packing.unpack(bytes(code).decode())[0])
    return loaded


def load_call(payload: bytes | memoryview) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """``(args, kwargs)`` of a native call payload or of a stock client's packed text."""
    if payload[4:5] == b"\x80":
        return native.loads_call(payload)
    from compute_executor.serialization import packing, strategies

    text = bytes(payload)
    return strategies.loads_call(text.decode()) if packing.is_text(text) else native.loads_call(text)


def _free(frames: TracebackType | None) -> None:
    """Let go of what a task had in its hands, without which there may be no memory to say that there was none."""
    while frames is not None:
        with contextlib.suppress(RuntimeError):  # still running: our own
            frames.tb_frame.clear()
        frames = frames.tb_next


def encode_exception(error: BaseException) -> bytes:
    """Return the exception as bytes, without our own frames; one whose text or pickling ends the interpreter, by
    name."""
    if isinstance(error, MemoryError):
        _free(error.__traceback__)
    from compute_executor.serialization import exceptions

    try:
        return exceptions.encode(error, skip_frames=1)
    except BaseException:
        return exceptions.encode(
            RuntimeError(f"{type(error).__name__}, which cannot be described or pickled")
        )
