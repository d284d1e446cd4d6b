"""What is said when a worker dies or cannot start. Text only."""

from __future__ import annotations

import errno
import os
import signal

from compute_executor.protocol.frames import PoolSpec
from compute_executor.surroundings import local_text, tight_limits

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_HINTS = {
    signal.SIGKILL: "; somebody killed it, or the system did because memory ran out",
    signal.SIGSEGV: "; native code crashed, or the recursion was too deep",
    signal.SIGABRT: "; native code gave up",
    signal.SIGTERM: "; it was told to end",
}


def ending(exit_code: int) -> str:
    """Return how a process ended, from its ``Popen.returncode``.

    >>> ending(3)
    'exited with code 3'
    >>> ending(-11)
    'died of SIGSEGV; native code crashed, or the recursion was too deep'
    """
    if exit_code >= 0:
        return f"exited with code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:  # a real-time signal
        name = f"signal {-exit_code}"
    return f"died of {name}{_HINTS.get(-exit_code, '')}"  # type: ignore[call-overload]


def lost(pid: int, exit_code: int, final_output: bytes) -> str:
    """Say that the task had begun in this worker, which is dead."""
    message = f"worker process {pid} {ending(exit_code)} while it ran this task"
    return f"{message}. Its last output:\n{_end_of(final_output)}" if final_output else message


def stopped(pid: int) -> str:
    """Say that the task had begun in this worker, which was stopped because its pool or the service ends."""
    return f"worker process {pid} was stopped while it ran this task, because its pool was stopped"


def timed_out(walltime: float) -> str:
    """Say that the task has used up its time."""
    return f"stopped after {walltime:g} s, the timeout set for it; its process and what it had started were killed"


def cannot_start(spec: PoolSpec, exit_code: int, final_output: bytes, times: int) -> str:
    """Return workers die before they are ready, again and again."""
    return (
        f"workers cannot start: {local_text(spec.python)} {ending(exit_code)}, {times} times before it was ready. "
        f"Its last output:\n{_end_of(final_output) or '(none)'}"
    )


def cannot_run(spec: PoolSpec, error: OSError) -> str:
    """Say that the operating system would not even start the process."""
    if spec.cwd and not os.path.isdir(local_text(spec.cwd)):
        cwd = local_text(spec.cwd)
        return f"workers cannot start: their working directory {cwd} is gone or cannot be entered: {error}"
    if error.errno in NO_ROOM:
        return (
            "workers cannot start: there is no room for their files (9 MiB each) in the service's state folder: "
            f"{error}{tight_limits()}. Free some and make a new Executor"
        )
    return f"workers cannot start: {local_text(spec.python)} cannot be run: {error}{tight_limits()}"


def _end_of(text: bytes) -> str:
    return text[-4000:].decode(errors="replace").strip()
