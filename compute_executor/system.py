"""What differs between operating systems, in one place. Linux is the target; the other branches are for macOS
and are untested. Standard library only: workers import this too."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

fcntl: Any = None  # no POSIX system: a client of a remote service does without
with contextlib.suppress(ImportError):
    import fcntl

NO_LOCAL_SERVICE = (
    "the local service needs a POSIX system (file locks, Unix sockets, process groups), which this is not. On "
    "Windows, run the program in WSL (learn.microsoft.com/windows/wsl), or use a service elsewhere: "
    "Executor(profile=...)"
)


def has_local_service() -> bool:
    """Return whether this system can run the local service: one with file locks and Unix sockets."""
    return fcntl is not None and hasattr(socket, "AF_UNIX")


def task_channel() -> tuple[socket.socket, socket.socket]:
    """(engine's end, worker's end) of a channel that keeps messages whole. macOS has no local SEQPACKET."""
    kind = socket.SOCK_SEQPACKET if hasattr(os, "pidfd_open") else socket.SOCK_DGRAM
    return socket.socketpair(socket.AF_UNIX, kind)


def allocate(file: int, size: int) -> None:
    """Give a file this size, and the room for it. Raises OSError if the disk is full; where the system cannot tell,
    that is found out when the file is written to."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)


def is_locked(file: int) -> bool:
    """Return whether another descriptor of the file has its lock (flock). It is asked by taking a shared one: close
    this descriptor to let it go."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def start_time(pid: int) -> int:
    """When a process started, in the kernel's ticks since boot; with its id, that names it for good. 0: it is not
    there, or the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()  # its name is in brackets and may hold anything
    except OSError:
        return 0
    return 0 if words[0] in _ENDED else int(words[19])


_ENDED = (b"Z", b"X")  # states of what is dead and waits to be reaped


def death_notice(pid: int) -> int | None:
    """Return a descriptor that becomes readable when child ``pid`` is dead, or None where there is no such thing."""
    try:
        return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except OSError:  # a kernel before 5.3, or a sandbox that does not know the call
        return None


def die_with(pipe: int) -> None:
    """Kill this process group as soon as nobody holds the writing end of ``pipe`` any more. Exits if so already.

    The kernel signals the end of the pipe to the whole group (O_ASYNC with an owner and a signal of our choice).
    Against PR_SET_PDEATHSIG: it reaches the children of the worker too, does not depend on which thread of the
    service started us, needs no ctypes (5 ms at each start), and has no race with a parent that is already dead.
    """
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
    _choose_signal(fcntl, pipe)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    try:
        os.read(pipe, 1)
    except BlockingIOError:
        return  # open and empty, as it will always be
    os._exit(1)  # the writing end was closed before we were ready


def _choose_signal(module: Any, pipe: int) -> None:
    """SIGKILL where it can be chosen; elsewhere SIGIO stays, whose default is to terminate as well."""
    if hasattr(module, "F_SETSIG"):
        module.fcntl(pipe, module.F_SETSIG, signal.SIGKILL)


def network() -> str:
    """Return the network namespace of this process: processes in two of them do not reach each other on 127.0.0.1.
    Empty where the system does not tell."""
    try:
        return os.readlink("/proc/self/ns/net")
    except OSError:
        return ""


def free_space(file: int, end: int) -> bool:
    """Give back the room on the disk of all bytes before ``end``; the file keeps its size and what comes after. False
    if the filesystem or the system does not do that."""
    punch_hole, keep_size = 2, 1  # linux/falloc.h
    try:
        import ctypes

        fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    except (ImportError, AttributeError, OSError):
        return False
    return bool(fallocate(file, punch_hole | keep_size, ctypes.c_int64(0), ctypes.c_int64(end)) == 0)


FIRST_FILE = 100
"""A worker's own descriptors lie above this number: tasks that close what they see (daemon code closes 0-20) miss
them."""


def out_of_the_way(file: int) -> int:
    """Return a copy of a descriptor above FIRST_FILE, or as far up as the limit of open files leaves room."""
    try:
        return int(fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, FIRST_FILE))
    except OSError:
        import resource

        return int(
            fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        )


def scratch_file(folder: str) -> int:
    """Return a descriptor of a new file without a name, on the disk of ``folder``, to which everybody appends,
    whoever truncates it meanwhile."""
    import tempfile  # 5 ms, which workers need not spend

    with tempfile.TemporaryFile(dir=folder) as unnamed:
        file = os.dup(unnamed.fileno())
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    return file


def adopt_orphans() -> bool:
    """Become the parent of whatever the processes started from here leave behind, so that `descendants` finds it: by
    itself it would become a child of the first process of the system. False where there is no such thing."""
    become_subreaper = 36  # linux/prctl.h
    try:
        import ctypes  # a few milliseconds; a small image may have a Python without it

        return bool(ctypes.CDLL(None).prctl(become_subreaper, 1, 0, 0, 0) == 0)
    except (ImportError, AttributeError, OSError):
        return False


def descendants(pid: int) -> list[int]:
    """Return the processes that come from this one and live, whatever session they are in: none where the system does
    not tell. A service that somebody started (`local.embedded`) is everybody's, and not among them."""
    found: list[int] = []
    waiting = _children(pid)
    while waiting:
        one = waiting.pop()
        if not _is_service(one):
            found.append(one)
            waiting += _children(one)
    return [one for one in found if start_time(one)]


def end_descendants(pid: int, *, of_other_sessions: bool = False) -> int:
    """SIGKILL to all of them, and to what they have started meanwhile; how many that were. ``of_other_sessions``:
    only to those in another session than this process."""
    own = os.getsid(0)
    return _end_all(
        lambda: [one for one in descendants(pid) if not (of_other_sessions and _session(one) == own)]
    )


def _end_all(find: Callable[[], list[int]]) -> int:
    """SIGKILL to all that ``find`` finds, until it finds nothing new; how many that were."""
    ended: set[int] = set()
    while found := [one for one in find() if one not in ended]:
        for one in found:
            ended.add(one)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGKILL)
    return len(ended)


def end_left_by(leader: int, started: int, mark: str) -> int:
    """SIGKILL to what a process has left, whoever is the parent of that now; how many processes that were.

    ``leader``, ``started``: the session that it led. ``mark``: NAME=VALUE of its environment, which what it starts
    inherits; the value must be nobody else's. The two find different ones: a daemon has a session of its own, and a
    program that changes its title writes over its environment. A service, and what comes from it, is left alone."""
    return _end_all(lambda: [one for one in _left_by(leader, started, mark) if not _of_service(one)])


def _left_by(leader: int, started: int, mark: str) -> list[int]:
    same = start_time(leader) in (0, started)  # else the number is another process's by now
    return [
        one
        for one in _processes()
        if start_time(one)
        and one != os.getpid()
        and (
            (leader > 1 and same and _session(one) == leader and start_time(one) >= started)
            or (mark and _has_mark(one, mark))
        )
    ]


def _processes() -> list[int]:
    """Return all there are, as far as the system tells."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _has_mark(pid: int, mark: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return os.fsencode(mark) in file.read().split(b"\0")
    except OSError:  # it is gone, or another user's
        return False


def _of_service(pid: int) -> bool:
    """Return whether a process is a service, or comes from one."""
    while pid > 1:
        if _is_service(pid):
            return True
        pid = _parent(pid)
    return False


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def reap_adopted(but: int) -> None:
    """Let the kernel forget the dead among the children of this process, but for one, whose end somebody else waits
    for: those that were adopted (`adopt_orphans`) nobody does."""
    for pid in _children(os.getpid()):
        if pid != but and not start_time(pid):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def boot() -> str:
    """Names the time since the machine was started: `start_time` counts from there. Empty where the system does not
    tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def has_children() -> bool:
    """Return whether this process has children, running or ended. Leaves them as they are."""
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):  # it is gone, or this is no Linux
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def _is_service(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"\0-m\0compute_executor.service\0" in file.read()
    except OSError:
        return False
