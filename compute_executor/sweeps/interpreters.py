"""Which Python runs the function: the one that is asked for, else that of the active environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

import compute_executor
from compute_executor.errors import InvalidRequest

_started: list[str] = []
"""Why this process runs with the Python that it has: it was started with it, and does not look for one again."""

_PROBE = (
    "import sys, importlib.util as u; "
    "print(sys.version_info[0], sys.version_info[1], int(u.find_spec('compute_executor') is not None))"
)
_RUN = (
    "import sys; own = sys.argv.pop(1); "
    "sys.path += own.splitlines() if own else []; "
    "from compute_executor.sweeps import interpreters; interpreters.started_with(sys.executable); "
    "from compute_executor.cli import main; main()"
)


def other_python(asked: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the interpreter that shall run the function, if it is not this one: ``asked``, else that of the virtual
    environment or conda environment that is active. Raises InvalidRequest for one that is not there."""
    if _started:
        return None
    found = asked or _active(environ)
    if found is None:
        return None
    path = Path(found).expanduser()
    if path.is_dir():
        path = path / "bin" / "python"
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise InvalidRequest(f"--python {found}: there is no interpreter")
    return None if _same(path, Path(sys.executable)) else os.path.abspath(path)


def started_with(python: str) -> None:
    """Note that ``python`` was chosen for this process."""
    _started.append(python)


def command_with(python: str, arguments: list[str]) -> list[str]:
    """Return the command that runs this one with another Python: with its own compute_executor, or with ours if it is
    of the same version. Raises InvalidRequest."""
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=True, cwd="/"
        )
        major, minor, there = map(int, done.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InvalidRequest(f"{python} cannot be run: {error}") from None
    own = "" if there else _own_folders()
    if own and (major, minor) != sys.version_info[:2]:
        raise InvalidRequest(
            f"{python} is Python {major}.{minor} and has no compute-executor: {python} -m pip install "
            "compute-executor (or choose another with --python)"
        )
    return [python, "-c", _RUN, own, *arguments]


def _own_folders() -> str:
    """Return where this package is, and what it needs: behind what the other Python has of its own."""
    homes = [Path(module.__file__ or "").parent.parent for module in (compute_executor, click)]
    return "\n".join(dict.fromkeys(map(str, homes)))


def _active(environ: Mapping[str, str]) -> str | None:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        folder = environ.get(name)
        if folder and (Path(folder) / "bin" / "python").exists():
            return str(Path(folder) / "bin" / "python")
    return None


def _same(one: Path, other: Path) -> bool:
    """Return whether two paths are one interpreter of one environment: links of an environment lead to the same
    program, but the folder they are in decides what is installed."""
    if one.parent.resolve() == other.parent.resolve():
        return True
    inside = any((path.parent.parent / "pyvenv.cfg").exists() for path in (one, other))
    return not inside and one.resolve() == other.resolve()
