"""The program that this process runs: as lists of task groups show it, and what workers send it."""

from __future__ import annotations

import os
import socket
import sys

from compute_executor.protocol.frames import ForgottenWork, ProgramInfo

LONGEST = 300
"""Characters of a name that are sent."""

_shown: set[str] = set()
"""Groups that the user has been told of. Any I/O thread adds to it; adding is atomic."""


def describe(label: str) -> ProgramInfo:
    """Return the running program, with the label of an Executor."""
    return ProgramInfo(_printable(label), _printable(_name()), _printable(socket.gethostname()), os.getpid())


def forgotten_notice(work: list[ForgottenWork]) -> str:
    """Return what a user is told, once in a process, of open tasks of programs that have ended; "" if there is
    nothing new.

    A program that runs on this machine, and is only between two connections, has forgotten nothing.
    """
    gone = [one for one in work if one.open and one.group not in _shown and not _runs_here(one.program)]
    _shown.update(one.group for one in gone)
    lines = [_line(one) for one in gone]
    if not lines:
        return ""
    head = "compute_executor: work of programs that have ended is still open here and takes its share of the CPUs:"
    return "\n".join([head, *lines, "  (compute-executor groups lists all)"])


def _line(work: ForgottenWork) -> str:
    what = f"{_tasks(work.open)} of {_described(work.program)}"
    return f"  {what}; end them: compute-executor cancel {work.group[:8]}"


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count:,} tasks"


def _described(program: ProgramInfo) -> str:
    name = program.name or "a program"
    return f"{name} ({program.label})" if program.label else name


def _runs_here(program: ProgramInfo) -> bool:
    if not program.pid or program.host != socket.gethostname():
        return False
    try:
        os.kill(program.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's now
        return True
    return True


def _name() -> str:
    """Return the notebook, script or module that runs, or the option with which Python was given the program.

    Jupyter names the notebook in ``JPY_SESSION_NAME`` (jupyter_server 2), Visual Studio Code in a global of
    ``__main__``.
    """
    main = sys.modules.get("__main__")
    notebook = getattr(main, "__vsc_ipynb_file__", None) or os.environ.get("JPY_SESSION_NAME")
    if notebook:
        return str(notebook)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return f"-m {spec.name.removesuffix('.__main__')}"
    script = sys.argv[0] if getattr(sys, "argv", None) else ""
    if script in ("", "-", "-c"):
        return script or "interactive"
    return os.path.abspath(script)


def _printable(text: str) -> str:
    """Return the end of a text without lone surrogates, which are not UTF-8."""
    return text[-LONGEST:].encode("utf-8", "backslashreplace").decode()
