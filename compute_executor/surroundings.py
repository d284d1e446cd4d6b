"""What the operating system and the interpreter give a program besides its code, and giving the same to a worker.

The client observes (:func:`observe`), the service carries the bytes without reading them, the worker applies them
(:func:`apply`). Bytes and not a frame, because a worker has no msgspec; an entry that one side does not know is left
out. The service itself takes nothing from the program that happened to start it (:func:`neutral`).

Standard library only: workers import this.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

from compute_executor import interpreter

_ESCAPE = "\uffff"
_SURROGATES = 0xDC00
"""What PEP 383 adds to a byte that cannot be decoded."""
_ODD_BYTE = re.compile("[\udc80-\udcff]")
_ESCAPED = re.compile("\uffff([\x80-\xff\uffff])")

_IGNORED_BY_PYTHON = frozenset({"SIGPIPE", "SIGXFSZ"})

ENDING_LIMITS = ("RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_AS", "RLIMIT_RSS", "RLIMIT_NPROC")
"""Limits of a program that would end a service that serves other programs as well."""

FEW_FILES = 256
"""Open files below which a service, or a program with some workers, can run out of them."""

LEAST_FILES = 64
"""Open files with which a service and some workers can be: it has 25 itself and 9 for each worker."""

LEAST_FILE_SIZE = 1 << 26
"""Bytes of a file that a service must be able to write: its database, and results in files."""

SERVICE_FILES = 4096
"""Open files that a service wants, where it may raise the limit."""

MPI_LAUNCHERS = ("mpiexec", "mpirun")
"""Programs that start MPI ranks, the one of the standard first."""

_OF_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
"""Variables that an MPI launcher sets in the ranks that it starts."""


def wire_text(text: str) -> str:
    """Return text of the operating system (a path, a variable) as it is sent. Bytes of it that are not UTF-8 are sent
    as the character with their number, behind U+FFFF, which is no character; so is U+FFFF itself.

    >>> wire_text("/home/me"), wire_text("caf\\udce9")
    ('/home/me', 'caf\\uffff\xe9')
    """
    if text.isascii():
        return text
    text = os.fsencode(text).decode(errors="surrogateescape").replace(_ESCAPE, 2 * _ESCAPE)
    return _ODD_BYTE.sub(lambda found: _ESCAPE + chr(ord(found[0]) - _SURROGATES), text)


def local_text(text: str) -> str:
    """Return the text that was sent, from which os.fsencode makes the bytes again.

    >>> local_text("caf\\uffff\xe9") == "caf\\udce9"
    True
    """
    if _ESCAPE not in text:
        return text
    return _ESCAPED.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPE if found[1] == _ESCAPE else chr(ord(found[1]) + _SURROGATES)


# -- in the program -----------------------------------------------------------------------------------------


def observe() -> dict[str, Any]:
    """Return the surroundings of this process and thread at this moment, for :func:`apply`."""
    return {
        "affinity": _affinity(),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "scheduler": _scheduler(),
        "umask": _umask(),
        "ignored": sorted(_ignored()),
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "limits": _limits(),
        "argv": [os.fsencode(argument) for argument in getattr(sys, "argv", [""])],
        "interpreter": interpreter.observe(),
        "main": _main(),
    }


def _main() -> dict[str, Any]:
    """Return where the program is from, as its ``__main__`` says: file, package, and the module that it is with
    ``-m``; and when that file was changed last, in ns since 1970."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    found = getattr(main, "__file__", None), getattr(main, "__package__", None), getattr(spec, "name", None)
    file, package, module = (one if isinstance(one, str) else None for one in found)
    modified = 0
    if file is not None:
        with contextlib.suppress(OSError, ValueError):
            modified = os.stat(file).st_mtime_ns
    return {"file": file, "package": package, "module": module, "modified": modified}


def messages() -> dict[str, Any]:
    """Return the program's levels of logging and filters of warnings, for workers that send it both."""
    import logging  # workers, which need not have it, import this module
    import warnings

    levels, disabled = {"": logging.root.level}, logging.root.manager.disable
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level:
            levels[name] = logger.level
    names = {number: name for number, name in logging._levelToName.items() if name not in _LEVELS}
    shown = [_filter(*one) for one in warnings.filters]
    return {"levels": levels, "names": names, "disabled": disabled, "warnings": shown}


_LEVELS = frozenset({"CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET"})
"""The names of levels that Python has itself."""


def _filter(
    action: str, message: Any, category: Any, module: Any, line: int
) -> tuple[str, str, tuple[str, str], str, int]:
    """Return a filter of warnings as plain values."""
    return action, _pattern(message), (category.__module__, category.__qualname__), _pattern(module), line


def _pattern(compiled: Any) -> str:
    return compiled if isinstance(compiled, str) else getattr(compiled, "pattern", "")


def pack(surroundings: dict[str, Any]) -> bytes:
    """Return the bytes of surroundings. Only plain values, in a form that every Python since 3.4 reads."""
    return pickle.dumps(surroundings, protocol=4)


def unpack(packed: bytes) -> dict[str, Any]:
    """Return the surroundings that :func:`pack` made bytes of; of no bytes: none."""
    found: dict[str, Any] = pickle.loads(packed) if packed else {}
    return found


def interpreter_options() -> list[str]:
    """Return the options that this interpreter was started with (-O, -W, -X ...), as arguments for another one."""
    flags = sys.flags
    letters = {
        "d": flags.debug,
        "O": flags.optimize,
        "B": flags.dont_write_bytecode,
        "v": flags.verbose,
        "b": flags.bytes_warning,
        "q": flags.quiet,
        "S": flags.no_site,
        "P": getattr(flags, "safe_path", False) and not flags.isolated,
        "I": flags.isolated,
        "E": flags.ignore_environment and not flags.isolated,
        "s": flags.no_user_site and not flags.isolated,
    }
    options = [f"-{letter * int(count)}" for letter, count in letters.items() if count]
    options += [f"-W{one}" for one in _warning_options()]
    for name, value in sys._xoptions.items():
        options.append(f"-X{name}" if value is True else f"-X{name}={value}")
    return options


def _warning_options() -> list[str]:
    """Return those of -W: not what PYTHONWARNINGS, -X dev and -b add by themselves."""
    options = list(sys.warnoptions)
    if sys.flags.dev_mode and options[:1] == ["default"]:
        del options[0]
    if sys.flags.bytes_warning and options and options[-1].endswith("::BytesWarning"):
        del options[-1]
    inherited = [] if sys.flags.ignore_environment else os.environ.get("PYTHONWARNINGS", "").split(",")
    if options[: len(inherited)] == inherited:
        del options[: len(inherited)]
    return options


def _affinity() -> list[int] | None:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _scheduler() -> tuple[int, int] | None:
    if not hasattr(os, "sched_getscheduler"):
        return None
    try:
        return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    except OSError:
        return None


def _umask() -> int:
    """Read from the kernel where it tells: asking by setting it would be seen by other threads for an instant."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _ignored() -> set[int]:
    """Signals that the program ignores, without those that every Python ignores."""
    return {
        int(number)
        for number in signal.valid_signals()
        if signal.getsignal(number) == signal.SIG_IGN
        and getattr(number, "name", "") not in _IGNORED_BY_PYTHON
    }


def _limits() -> dict[str, tuple[int, int]]:
    try:
        import resource
    except ImportError:  # no POSIX system
        return {}

    limits = {}
    for name in dir(resource):
        if name.startswith("RLIMIT_"):
            with contextlib.suppress(OSError, ValueError):  # the kernel does not know this one
                limits[name] = resource.getrlimit(getattr(resource, name))
    return limits


# -- in a worker --------------------------------------------------------------------------------------------


def apply(wanted: dict[str, Any], *, contained: bool = False) -> None:
    """Make this process, which has one thread, as :func:`observe` found the program; all but :func:`apply_limits`.

    ``contained``: in a container, whose processors, priorities and signals are its own. What the system does not
    allow (a lower niceness, to a user who is not root) stays as it is.
    """
    if "umask" in wanted:
        os.umask(wanted["umask"])
    if "argv" in wanted:
        sys.argv[:] = [os.fsdecode(argument) for argument in wanted["argv"]]
    interpreter.apply(wanted.get("interpreter", {}))
    if not contained:
        _take_place(wanted)
        _take_signals(wanted)


def _take_place(wanted: dict[str, Any]) -> None:
    affinity, niceness, scheduler = map(wanted.get, ("affinity", "niceness", "scheduler"))
    if affinity is not None and hasattr(os, "sched_setaffinity"):
        _try(os.sched_setaffinity, 0, affinity)
    if scheduler is not None and scheduler != _scheduler() and hasattr(os, "sched_setscheduler"):
        _try(os.sched_setscheduler, 0, scheduler[0], os.sched_param(scheduler[1]))
    if niceness is not None:
        _try(os.setpriority, os.PRIO_PROCESS, 0, niceness)


def _take_signals(wanted: dict[str, Any]) -> None:
    for number in wanted.get("ignored", ()):
        _try(signal.signal, number, signal.SIG_IGN)
    if blocked := wanted.get("blocked"):
        _try(signal.pthread_sigmask, signal.SIG_BLOCK, blocked)


def main_module(wanted: dict[str, Any]) -> ModuleType:
    """Return a ``__main__`` that says of itself what the program's does. For the rest it is empty."""
    made = ModuleType("__main__")
    said = wanted.get("main", {})
    file, name = said.get("file"), said.get("module")
    if "package" in said:
        made.__package__ = said["package"]
    if file is not None:
        made.__file__ = file
        made.__loader__ = SourceFileLoader(name or "__main__", file)
        if name is not None:
            made.__spec__ = ModuleSpec(name, made.__loader__, origin=file)
            made.__spec__.has_location = True
    return made


def apply_limits(wanted: dict[str, Any]) -> None:
    """Take over the program's resource limits: after all that a worker opens for itself. A hard limit that cannot be
    raised to the program's stays."""
    limits = wanted.get("limits")
    if not limits:
        return
    import resource

    for name, (soft, hard) in limits.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        if not _try(resource.setrlimit, number, (soft, hard)):
            most = resource.getrlimit(number)[1]
            _try(resource.setrlimit, number, (_lower(soft, most), _lower(hard, most)))


def _lower(one: int, other: int) -> int:
    """Return the lower of two limits, of which -1 is none.

    >>> _lower(-1, 5), _lower(7, -1), _lower(-1, -1), _lower(3, 4)
    (5, 7, -1, 3)
    """
    return min((limit for limit in (one, other) if limit >= 0), default=-1)


def _try(call: Callable[..., object], *arguments: Any) -> bool:
    """Return whether the system allows it."""
    try:
        call(*arguments)
    except (OSError, ValueError):
        return False
    return True


# -- in the service -----------------------------------------------------------------------------------------


def neutral() -> None:
    """Drop what this process has from the program that started it: signals that are ignored or blocked, niceness,
    affinity, and limits that would end it. As far as the system allows: only root lowers a niceness or raises a hard
    limit."""
    import resource

    for number in _ignored():
        _try(signal.signal, number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _try(os.setpriority, os.PRIO_PROCESS, 0, 0)
    if hasattr(os, "sched_setaffinity"):
        _try(os.sched_setscheduler, 0, os.SCHED_OTHER, os.sched_param(0))
        _try(os.sched_setaffinity, 0, range(os.cpu_count() or 1))
    for name in ENDING_LIMITS:
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        _ = _try(resource.setrlimit, number, (-1, -1)) or _try(resource.setrlimit, number, (hard, hard))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= hard < SERVICE_FILES:
        _try(resource.setrlimit, resource.RLIMIT_NOFILE, (SERVICE_FILES, SERVICE_FILES))


# -- how many workers ---------------------------------------------------------------------------------------


def usable_cpus() -> int:
    """Return how many processors this program may use: by its affinity, by the quota of its control group, and by
    what ``-X cpu_count`` or PYTHON_CPU_COUNT says (from Python 3.13 on). At least 1."""
    count: int | None = None
    if hasattr(os, "process_cpu_count"):
        count = os.process_cpu_count()  # pyright: ignore[reportAttributeAccessIssue] - asked for by hasattr
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    count = count or os.cpu_count() or 1
    quota = cpu_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def cpu_quota(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> float | None:
    """Processors that the control group of this process, or one above it, may use at a time; None: no limit.

    Source: cpu.max (version 2), cpu.cfs_quota_us and cpu.cfs_period_us (version 1), kernel documentation.
    """
    quotas = []
    for mounts, path, files in _groups(
        "cpu", ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"), proc, root
    ):
        for words in _settings(mounts, path, files):
            with contextlib.suppress(ValueError, IndexError):  # "max" is no number
                quota, period = float(words[0]), float(words[1])
                if quota > 0:
                    quotas.append(quota / period)
    return min(quotas, default=None)


def usable_memory(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> int:
    """Return the bytes of memory that programs here may have together: the machine's, or less where the control group
    of this process or one above it has a limit. 0 if the system does not tell.

    Source: memory.max (version 2), memory.limit_in_bytes (version 1), kernel documentation.
    """
    found = []
    with contextlib.suppress(OSError, ValueError):  # a system without these names
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for mounts, path, files in _groups("memory", ("memory.max",), ("memory.limit_in_bytes",), proc, root):
        for words in _settings(mounts, path, files):
            with contextlib.suppress(ValueError, IndexError):
                found.append(int(words[0]))
    return min((size for size in found if size > 0), default=0)


def _groups(
    controller: str, second: tuple[str, ...], first: tuple[str, ...], proc: str, root: str
) -> list[tuple[list[str], str, tuple[str, ...]]]:
    """Return where the settings of a controller are for this process: mount points, path below them, and the files of
    the second or first version of control groups."""
    try:
        with open(proc, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return []
    found = []
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if not controllers:
            found.append(([root, f"{root}/unified"], path, second))
        elif controller in controllers.split(","):
            found.append(([f"{root}/{controller}", f"{root}/{controllers}"], path, first))
    return found


def _settings(mounts: Iterable[str], path: str, files: tuple[str, ...]) -> list[list[str]]:
    """Return the words of the settings of a group and of all above it. In a container the path may be that of the
    host: then only the mount's own is found."""
    parts = [part for part in path.split("/") if part and part != ".."]
    found = []
    for mount in mounts:
        for depth in range(len(parts) + 1):
            folder = "/".join([mount, *parts[:depth]])
            with contextlib.suppress(OSError):
                found.append(" ".join(_read(f"{folder}/{name}") for name in files).split())
    return found


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def mpi_launcher(environ: Mapping[str, str]) -> str:
    """Return the command that starts MPI ranks on this machine for a process with these variables: what
    COMPUTE_EXECUTOR_MPI_LAUNCHER says, else mpiexec or mpirun of PATH. "" if there is none, or the process is a rank
    itself: launchers do not start ranks in ranks."""
    import shutil  # workers, which need not have it, import this module

    if given := environ.get("COMPUTE_EXECUTOR_MPI_LAUNCHER"):
        return given
    if any(name in environ for name in _OF_RANKS):
        return ""
    return next((name for name in MPI_LAUNCHERS if shutil.which(name, path=environ.get("PATH"))), "")


# -- what may be the matter ---------------------------------------------------------------------------------


def tight_limits() -> str:
    """Resource limits of this process that may be why something failed, for an error: " (...)", or ""."""
    import resource

    units = {"RLIMIT_FSIZE": "f", "RLIMIT_AS": "v", "RLIMIT_DATA": "d", "RLIMIT_CPU": "t"}
    found = []
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < FEW_FILES:
        found.append(f"{files} open files (ulimit -n)")
    for name, letter in units.items():
        soft = resource.getrlimit(getattr(resource, name))[0]
        if soft >= 0:
            unit = "s of processor time" if letter == "t" else "bytes of " + _WHAT[letter]
            found.append(f"{soft} {unit} (ulimit -{letter})")
    return f" (limits that may be the cause: {', '.join(found)})" if found else ""


def too_tight() -> str:
    """Hard limits of this process with which a service cannot work, and what it needs; "" if there are none."""
    import resource

    found = []
    for name, least, what in (
        ("RLIMIT_NOFILE", LEAST_FILES, "open files (ulimit -n)"),
        ("RLIMIT_FSIZE", LEAST_FILE_SIZE, "bytes of a file (ulimit -f)"),
    ):
        hard = resource.getrlimit(getattr(resource, name))[1]
        if 0 <= hard < least:
            found.append(f"{hard} {what}, where at least {least} are needed")
    return " and ".join(found)


_WHAT = {"f": "a file", "v": "address space", "d": "data"}
