"""Finding a Python of a wanted version: the service's own, on PATH, of pyenv, of uv. First that works and fits."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from compute_executor.endpoint.environments import commands
from compute_executor.errors import PoolBroken

_LOOK = "import sys, venv, ensurepip; print('.'.join(map(str, sys.version_info[:3])))"
"""A Python without venv and ensurepip (Debian splits them off) cannot make an environment."""


async def find(version: str) -> str:
    """Return the path of a Python ``version`` ("3.12", "3.12.4"). Raises PoolBroken naming what was tried."""
    tried = []
    async for candidate in _candidates(version):
        code, text = await commands.output(candidate, "-c", _LOOK)
        if code == 0 and fits(text, version):
            return candidate
        tried.append(f"{candidate}: {f'is {text}' if code == 0 else text.splitlines()[-1:] or code}")
    raise PoolBroken(
        f"there is no Python {version} with venv and ensurepip on this endpoint. Tried: "
        f"{'; '.join(tried) or 'nothing was found'}. Searched: python{_minor(version)} on PATH, "
        f"{_pyenv()}/versions, uv",
        began=False,
    )


def fits(found: str, wanted: str) -> bool:
    """Return whether a version is the wanted one, which may be less exact.

    >>> fits("3.12.4", "3.12"), fits("3.12.4", "3.1"), fits("3.12.4", "3.12.4")
    (True, False, True)
    """
    return f"{found}.".startswith(f"{wanted}.")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _pyenv() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


async def _candidates(version: str) -> AsyncIterator[str]:
    minor = _minor(version)
    if fits(".".join(map(str, sys.version_info[:3])), version):
        yield getattr(sys, "_base_executable", None) or sys.executable
    for folder in os.get_exec_path():
        found = shutil.which(f"python{minor}", path=folder)
        if found is not None:
            yield found
    for python in sorted(_pyenv().glob(f"versions/{minor}*/bin/python"), reverse=True):
        yield str(python)
    if (uv := shutil.which("uv")) is not None:
        code, text = await commands.output(uv, "python", "find", version)
        if code == 0:
            yield text.splitlines()[-1]
