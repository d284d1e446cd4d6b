"""One worker process as the engine sees it: starting it, its channels, its end. Knows frames but no tasks.

The engine keeps both ends of the task channel: the sending one, and a copy of the worker's receiving one, with
which it takes back what the worker has not received. It holds the writing end of a pipe that never carries a
byte; when the service dies the kernel closes it, and that kills the worker's process group (system.die_with).

All methods run on the loop's thread. The worker is a session and process group of its own, so that signals of the
user's terminal do not reach it and all it has started can be stopped with it. What a task starts in a session of
its own (a daemon) is found by its descent, and ended with the worker as well: at its end by the worker, else from
here. Only if a worker is killed by others, such processes go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from compute_executor import system
from compute_executor.endpoint.pool.launch import Launch, StartedProcess
from compute_executor.endpoint.pool.output_files import ERR, OUT, RECORDS, OutputFiles, Parts
from compute_executor.endpoint.pool.result_files import ResultRingFile, ResultRingFiles
from compute_executor.endpoint.worker import messages
from compute_executor.endpoint.worker.result_ring import Outcome

log: logging.Logger = logging.getLogger(__name__)

RECEIVE = 1 << 16
"""Bytes read from a stream at once. From 128 KiB on, each read would map memory and unmap it: three system calls."""

TURN = 0.001
"""Seconds of CPU time for which what was read is dealt with, then everybody else has a turn: what one worker has
finished while the loop was busy may be a thousand tasks."""

DATAGRAM = 1 << 18
"""Bytes of the largest datagram, and more."""

IN_ORDER, IN_HURRY = 10.0, 0.8
"""Seconds that a worker may take to end in order, after which it gets SIGTERM: atexit functions, files, threads that
are not daemons. In a hurry the whole service ends, which promises to be gone within 2 s."""

KILL_AFTER = 0.6
"""Seconds from SIGTERM until the worker's group gets SIGKILL."""

RUNTIME_AFTER = 5.0
"""Seconds that a container's runtime may take to end after its worker was killed, before it is killed as well."""


class ProcessOwner(Protocol):
    """Who is told what a worker does. Called on the loop's thread."""

    def received(self, kind: int, payload: bytes) -> None:
        """Note that a frame came."""

    def turn_over(self) -> None:
        """Note that there are no more frames, or that others have their turn before the next one."""

    def died(self, exit_code: int) -> None:
        """Note that the process is dead and reaped; its result ring and output can still be read. Called once."""


class WorkerProcess:
    """A worker process. The constructor starts it; raises OSError if that cannot be done. It then waits to be
    employed."""

    def __init__(
        self, launch: Launch, begun_log: str, ring_files: ResultRingFiles, owner: ProcessOwner
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.owner: ProcessOwner = owner
        self._channels = WorkerChannels(ring_files)
        try:
            started = self._channels.start(launch, begun_log)
        except BaseException:
            self._channels.close()
            raise
        self._popen = started.popen
        self._contained = launch.contained
        if not self._contained:
            self._channels.ring_file.inbox.used_by(self.pid, system.start_time(self.pid))
        self._timers: list[asyncio.TimerHandle] = []
        self._notice = self._watch()
        self._outgoing = b""
        self._frames: Iterator[tuple[int, bytes]] = iter(())
        self._turn: asyncio.Handle | None = None  # the next one, while what was read is not dealt with
        self._loop.add_reader(self._channels.stream, self._readable)

    def assign(self, setup: bytes, owner: ProcessOwner) -> None:
        """Let it begin."""
        self.owner = owner
        self.send(messages.SETUP, setup)

    @property
    def pid(self) -> int:
        """The process id, which is the process group's too."""
        return self._popen.pid

    # -- tasks and results --

    def send_tasks(self, datagram: bytes) -> bool:
        """Queue a datagram for the worker. False if the channel is full."""
        try:
            self._channels.tasks.send(datagram)
        except (BlockingIOError, OSError):  # OSError: ENOBUFS, the same in the words of macOS
            return False
        return True

    def take_back(self) -> list[bytes]:
        """Return all datagrams that the worker has not received, oldest first. It will not see them."""
        taken = []
        with contextlib.suppress(BlockingIOError):
            while datagram := self._channels.worker_tasks.recv(DATAGRAM, socket.MSG_DONTWAIT):
                taken.append(datagram)
        return taken

    def results(self, tail: int | None = None) -> list[Outcome]:
        """Return the results up to ``tail`` that were not read yet; None: all there are, of a dead worker. Raises
        ValueError if a living one's cannot be read."""
        inbox = self._channels.ring_file.inbox
        if tail is not None:
            return inbox.read(tail)
        try:
            return inbox.read(inbox.written())
        except ValueError as error:
            log.warning("what worker %d had finished cannot be read: %s", self.pid, error)
            return []

    def reported(self, count: int, stored: int) -> None:
        """Note that what `results` gave is among the first ``count`` outcomes told to the service, which stored so
        many."""
        self._channels.ring_file.reported(count)
        self._channels.ring_file.stored(stored)

    def has_room(self, stored: int) -> bool:
        """Return whether the worker can put down another result, now that so many outcomes are stored."""
        ring_file = self._channels.ring_file
        ring_file.stored(stored)
        return ring_file.settled() or ring_file.has_room()

    def has_output(self) -> bool:
        """Return whether something was written that was not read."""
        return self._channels.output.new()

    def output_ends(self) -> tuple[int, ...]:
        """Return how far what was written goes."""
        return self._channels.output.ends()

    def output(self) -> Parts:
        """Return what was written since the last call."""
        return self._channels.output.read()

    def outputs(self, ends: list[tuple[int, ...]]) -> list[Parts]:
        """Return what was written since the last call, up to each of these positions, which rise."""
        return self._channels.output.read_each(ends)

    # -- the stream --

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Send a frame, now or as soon as the worker reads. Nothing is ever dropped while it lives."""
        self._outgoing += messages.frame(kind, payload)
        if len(self._outgoing) == messages.FRAME.size + len(payload):
            self._writable()

    def _writable(self) -> None:
        stream = self._channels.stream
        try:
            self._outgoing = self._outgoing[stream.send(self._outgoing) :]
        except BlockingIOError:
            pass
        except OSError:  # the worker is dying: its death is about to be noticed
            self._outgoing = b""
        if self._outgoing:
            self._loop.add_writer(stream, self._writable)
        else:
            self._loop.remove_writer(stream)

    def _readable(self) -> None:
        if self._turn is not None:  # there is more from before
            return
        try:
            data = self._channels.stream.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._channels.stream)
            if not self._timers:  # dead, or a task has closed the stream, which makes the worker useless
                self.kill()
            return
        self._frames = self._channels.frames.feed(data)
        self._go_on()

    def _go_on(self) -> None:
        """Deal with what was read, for a turn; then read on."""
        self._turn = None
        ends = time.thread_time() + TURN
        try:
            for kind, payload in self._frames:
                self.owner.received(kind, payload)
                if time.thread_time() > ends:
                    self._turn = self._loop.call_soon(self._go_on)
                    break
            self.owner.turn_over()
        except (LookupError, ValueError, struct.error) as error:  # a task has written into the stream
            log.warning("worker %d sends what cannot be read (%r): it is killed", self.pid, error)
            self._loop.remove_reader(self._channels.stream)
            self.kill()
        except Exception:
            log.exception("a frame of worker %d cannot be dealt with", self.pid)
            self._turn = self._loop.call_soon(self._go_on)  # those behind it are heard

    # -- its end --

    def end(self, *, busy: bool = False, hurry: bool = False) -> None:
        """Ask the worker to end; see to it after a while. A busy one is stopped in its task."""
        if self._timers and not hurry:
            return
        if not self._timers and (busy or not self.send_tasks(messages.EXIT)):
            self._signal(signal.SIGTERM)
        for timer in self._timers:
            timer.cancel()
        patience = IN_HURRY if hurry else IN_ORDER
        self._timers = [
            self._loop.call_later(patience, self._signal, signal.SIGTERM),
            self._loop.call_later(patience + KILL_AFTER, self.kill),
        ]

    def kill(self) -> None:
        """SIGKILL to the worker and all that it has started, in whatever session. One in a container gets it by the
        end of its life line, with all processes of the container; if we killed the runtime's program instead, it
        would count as dead while it still runs."""
        if not self._contained:
            self._end_descendants()
            self._signal(signal.SIGKILL)
        elif self._channels.cut():
            self._timers.append(self._loop.call_later(RUNTIME_AFTER, self._signal, signal.SIGKILL))

    def _end_descendants(self) -> None:
        """End descendants: what a worker has started is found while it lives; it is stopped, so that it starts
        nothing more."""
        if self._popen.returncode is None and system.descendants(self.pid):
            self._signal(signal.SIGSTOP)
            system.end_descendants(self.pid)

    def _signal(self, number: int) -> None:
        if self._popen.returncode is None:  # not reaped, so the number is still this group's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    def _watch(self) -> int | None:
        """Have ``_dead`` called when the process is dead: by the kernel, or by a thread that waits for it."""
        notice = system.death_notice(self._popen.pid)
        if notice is not None:
            self._loop.add_reader(notice, self._dead)
        else:
            threading.Thread(target=self._wait, name="compute-executor reaper", daemon=True).start()
        return notice

    def _wait(self) -> None:
        os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._dead)

    def _dead(self) -> None:
        self.kill()  # what it left behind in its group, while the number is surely still ours
        exit_code = _exit_code(self._popen.wait(), self._contained)
        if self._notice is not None:
            self._loop.remove_reader(self._notice)
            os.close(self._notice)
        for timer in self._timers:
            timer.cancel()
        self._read_rest()
        self._loop.remove_reader(self._channels.stream)
        self._loop.remove_writer(self._channels.stream)
        self.owner.died(exit_code)
        self._channels.close()

    def _read_rest(self) -> None:
        """Read the frames that the worker sent before it died."""
        if self._turn is not None:
            self._turn.cancel()
        with contextlib.suppress(OSError, LookupError, ValueError, struct.error):  # see _go_on
            for kind, payload in self._frames:
                self.owner.received(kind, payload)
            while data := self._channels.stream.recv(RECEIVE):
                for kind, payload in self._channels.frames.feed(data):
                    self.owner.received(kind, payload)


class WorkerChannels:
    """The descriptors between engine and worker. Files of output have no names; they lie beside the result rings."""

    def __init__(self, ring_files: ResultRingFiles) -> None:
        with contextlib.ExitStack() as kept, contextlib.ExitStack() as given:
            self.output: OutputFiles = OutputFiles(ring_files.folder)
            kept.callback(self.output.close)
            self.ring_file: ResultRingFile = ring_files.take()
            kept.callback(ring_files.give_back, self.ring_file)
            worker_life, life = os.pipe()
            given.callback(os.close, worker_life)
            self._life = contextlib.ExitStack()
            self._life.callback(os.close, life)
            kept.enter_context(self._life)
            self.tasks: socket.socket
            self.worker_tasks: socket.socket
            self.stream: socket.socket
            self.tasks, self.worker_tasks = map(kept.enter_context, system.task_channel())
            self.stream, worker_stream = socket.socketpair()
            kept.enter_context(self.stream)
            given.enter_context(worker_stream)
            files = [self.worker_tasks.fileno(), worker_stream.fileno(), worker_life]
            self._inherited = [*files, self.ring_file.file, self.output.files[RECORDS]]
            self._kept, self._given = kept.pop_all(), given.pop_all()
        self.tasks.setblocking(False)
        self.stream.setblocking(False)
        self.frames: messages.FrameReader = messages.FrameReader()
        self._cut = False

    def start(self, launch: Launch, begun_log: str) -> StartedProcess:
        """Start the worker with its ends of the channels, and close those of them that the engine does not need."""
        with self._given:
            started = launch.start(
                self._inherited, (self.output.files[OUT], self.output.files[ERR]), begun_log
            )
        self._kept.callback(started.close)
        self._life.callback(started.close)
        return started

    def cut(self) -> bool:
        """End the worker's life line, or the start of one that has not come to it. False: that was done before."""
        if self._cut:
            return False
        self._cut = True
        self._life.close()
        return True

    def close(self) -> None:
        """Close what is left."""
        self._kept.close()


def _exit_code(code: int, contained: bool) -> int:
    """As of ``Popen.returncode``; runtimes of containers tell of a signal as shells do.

    >>> _exit_code(137, contained=True), _exit_code(137, contained=False)
    (-9, 137)
    """
    return 128 - code if contained and 128 < code < 128 + signal.NSIG else code
