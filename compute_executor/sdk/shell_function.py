"""Functions that run a command line: ShellFunction, MPIFunction, and the ShellResult that both return.

Names, parameters and results are those of globus-compute-sdk 4.19. Here, and on workers of this package, the command
has a process group of its own, which its walltime ends as a whole; its output goes to files, of which the last lines
are read back. On stock endpoints the SDK's own classes run: an instance travels as a description, of which each side
makes the class that it has.
"""

from __future__ import annotations

import contextlib
import copyreg
import keyword
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

TIMEOUT_CODE = 124
"""The return code of a command that was stopped at its walltime, as of coreutils' ``timeout``."""

TERM_PATIENCE = 2.0
"""Seconds between SIGTERM and SIGKILL at the walltime."""

MAX_SNIPPET = 4 * 1024 * 1024
"""Bytes of each output that are read back at most, however long its lines are."""

SANDBOX = "GC_TASK_SANDBOX_DIR"
"""Environment variable with the folder that an endpoint gives each task."""

_SHOWN_CHARACTERS, _SHOWN_LINES = 1024, 10
_MAKE = (
    "(lambda find, load: getattr(load("
    "'compute_executor.sdk.shell_function' if find('compute_executor') else "
    "'globus_compute_sdk.sdk.' + ('mpi_function' if kind == 'MPIFunction' else 'shell_function')"
    "), kind))(__import__('importlib.util').util.find_spec, __import__('importlib').import_module)(**fields)"
)
"""An expression of ``kind`` and ``fields``: an instance of the class that the worker's side has."""


class ShellResult:
    """The outcome of a command. ``stdout``, ``stderr``: the last lines of each. ``exception_name``: why it failed,
    ``"subprocess.CalledProcessError"`` or ``"subprocess.TimeoutExpired"``; None if it did not."""

    def __init__(
        self, cmd: str, stdout: str, stderr: str, returncode: int, exception_name: str | None = None
    ) -> None:
        self.cmd = cmd
        self.stdout = stdout
        self.stderr = stderr
        self.returncode = returncode
        self.exception_name = exception_name

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self) is not ShellResult:
            return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]  # not in typeshed
        return eval, (_MAKE, {"kind": "ShellResult", "fields": vars(self)})

    def __str__(self) -> str:
        shown = f"exit code: {self.returncode}\n   stdout:\n{_end_of(self.stdout, 'stdout')}"
        if self.returncode != 0:
            shown += f"\n\n   stderr:\n{_end_of(self.stderr, 'stderr')}"
            if self.exception_name:
                shown += f"\n\nexception: {self.exception_name}"
        return shown

    def __repr__(self) -> str:
        fields = {"returncode": self.returncode, "cmd": self.cmd}
        if self.exception_name is not None:
            fields["exception_name"] = self.exception_name
        return _shown(self, {**fields, "stdout": self.stdout, "stderr": self.stderr})


class ShellFunction:
    """A command line as a function: ``ShellFunction("wc -l {path}")(path="a.txt")`` is a ShellResult.

    ``cmd`` is formatted with the keyword arguments of the call and run by bash. ``stdout``, ``stderr``: files to
    which the outputs are appended (default: files that are gone afterwards, except in an endpoint's sandbox).
    ``walltime``: seconds after which the command and all processes of its group are stopped (0: at once); the return
    code is then 124. ``snippet_lines``: how many of the last lines of each output the result holds. ``return_dict``:
    return a dict instead of a ShellResult. ``name``: under which it is registered.

    Raises ValueError for a name that is none, AssertionError for a negative walltime, as the SDK's.
    """

    def __init__(  # noqa: PLR0917 - the SDK's signature
        self,
        cmd: str,
        stdout: str | None = None,
        stderr: str | None = None,
        walltime: float | None = None,
        snippet_lines: int = 1000,
        name: str | None = None,
        return_dict: bool = False,
    ) -> None:
        if walltime is not None and walltime < 0:
            raise AssertionError(f"Negative walltime={walltime} is not allowed")
        self.cmd = cmd
        self.stdout = stdout
        self.stderr = stderr
        self.walltime = walltime
        self.snippet_lines = snippet_lines
        self.return_dict = return_dict
        self.__name__: str = self.valid_function_name(name or type(self).__name__)

    def valid_function_name(self, v: str) -> str:
        """Return ``v``. Raises ValueError if no function can have that name."""
        if not isinstance(v, str) or not v.isidentifier() or keyword.iskeyword(v):
            raise ValueError(f"Function name must be valid python name, not {v!r}")
        return v

    def __call__(self, **kwargs: Any) -> ShellResult | dict[str, Any]:
        """Run the command, with ``kwargs`` in it, and wait for its end."""
        return self.execute_cmd_line(self.cmd.format(**kwargs))

    def execute_cmd_line(self, cmd: str) -> ShellResult | dict[str, Any]:
        """Run a command line as it is, and wait for its end."""
        with self._outputs() as (folder, stdout, stderr):
            process = subprocess.Popen(
                cmd,
                shell=True,
                executable="/bin/bash",
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            code, reason = _waited(process, self.walltime)
            result = ShellResult(cmd, self._last_lines(stdout), self._last_lines(stderr), code, reason)
        return vars(result) if self.return_dict else result

    @contextlib.contextmanager
    def _outputs(self) -> Iterator[tuple[str | None, IO[bytes], IO[bytes]]]:
        """The folder to run in (None: this process's), and the files of the outputs."""
        folder = os.environ.get(SANDBOX) or None
        if folder is not None:
            os.makedirs(folder, exist_ok=True)
        with contextlib.ExitStack() as files:
            yield (
                folder,
                files.enter_context(_file(self.stdout, folder, ".stdout")),
                files.enter_context(_file(self.stderr, folder, ".stderr")),
            )

    def _last_lines(self, file: IO[bytes]) -> str:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MAX_SNIPPET))
        lines = file.read(MAX_SNIPPET).decode("utf-8", "backslashreplace").splitlines(keepends=True)
        return "".join(lines[-self.snippet_lines :] if self.snippet_lines > 0 else [])

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self) not in (ShellFunction, MPIFunction):  # a class of the caller's travels as any other
            return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]  # not in typeshed
        fields = {name: value for name, value in vars(self).items() if name != "__name__"}
        return eval, (_MAKE, {"kind": type(self).__name__, "fields": {**fields, "name": self.__name__}})

    def __str__(self) -> str:
        optional = (
            (" wall time", self.walltime),
            ("    stdout", self.stdout and repr(self.stdout)),
            ("    stderr", self.stderr and repr(self.stderr)),
        )
        lines = [self.__name__, *(f"{what}: {value}" for what, value in optional if value is not None)]
        return "\n".join(
            [*lines, f"     lines: {self.snippet_lines}", f"   command: {_beginning_of(self.cmd)}"]
        )

    def __repr__(self) -> str:
        fields: dict[str, Any] = {} if self.__name__ == type(self).__name__ else {"name": self.__name__}
        for field in ("walltime", "stdout", "stderr"):
            if getattr(self, field) is not None:
                fields[field] = getattr(self, field)
        return _shown(self, {**fields, "snippet_lines": self.snippet_lines, "cmd": self.cmd})


class MPIFunction(ShellFunction):
    """A ShellFunction whose command is started by the MPI launcher of its worker (``$PARSL_MPI_PREFIX``), with the
    ranks of ``ex.options(ranks=...)``, at endpoints of Globus Compute also on its ``nodes``, or as the Executor's
    ``resource_specification`` says. Without these, on workers of this package, it is a single process."""

    def __call__(self, **kwargs: Any) -> ShellResult | dict[str, Any]:
        """Run the command, with ``kwargs`` in it, under the launcher."""
        return self.execute_cmd_line("$PARSL_MPI_PREFIX " + self.cmd.format(**kwargs))


# -- running ------------------------------------------------------------------------------------------------


def _waited(process: subprocess.Popen[bytes], walltime: float | None) -> tuple[int, str | None]:
    """Return code and reason of a failure. Whatever happens, at the walltime or to the caller, the group ends."""
    try:
        code = process.wait(walltime)
    except subprocess.TimeoutExpired:
        _stop(process)
        return TIMEOUT_CODE, "subprocess.TimeoutExpired"
    except BaseException:
        _stop(process)
        raise
    return code, "subprocess.CalledProcessError" if code else None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process group: asked first, killed after TERM_PATIENCE."""
    _signal(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(TERM_PATIENCE)
    _signal(process.pid, signal.SIGKILL)  # those of the group that did not heed, also when its leader has
    process.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _file(path: str | None, folder: str | None, suffix: str) -> IO[bytes]:
    """Return a named file, appended to; or one that is gone when it is closed, unless it is in an endpoint's
    sandbox."""
    if path is None:
        prefix = os.environ.get("GC_TASK_UUID", "shell") + "."
        return tempfile.NamedTemporaryFile(prefix=prefix, suffix=suffix, dir=folder, delete=folder is None)
    target = Path(folder or "", path)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.open("ab+")


# -- showing ------------------------------------------------------------------------------------------------


def _end_of(text: str, name: str) -> str:
    whole = text.lstrip("\n").rstrip()
    end = "\n".join(whole[-_SHOWN_CHARACTERS:].splitlines()[-_SHOWN_LINES:])
    return end if end == whole else f"[... truncated; see .{name} for full output ...]\n{end}"


def _beginning_of(command: str) -> str:
    whole = command.strip()
    lines = whole[:_SHOWN_CHARACTERS].splitlines()[:_SHOWN_LINES]
    if "\n".join(lines) != whole:
        lines.append("[... truncated; see .cmd for full script ...]")
    if len(lines) <= 1:
        return whole
    indent = "\n" + " " * len("   command: ")
    return indent.join(["-----", *lines, "-----"])


def _shown(value: object, fields: dict[str, Any]) -> str:
    return f"{type(value).__name__}({', '.join(f'{name}={field!r}' for name, field in fields.items())})"
