"""An environment that is ready: what workers are started in instead of the caller's interpreter."""

from __future__ import annotations

import os

import msgspec

from compute_executor.protocol.frames import PoolSpec
from compute_executor.surroundings import local_text

_OF_AN_INTERPRETER = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "__PYVENV_LAUNCHER__", "CONDA_PREFIX")


class Environment(msgspec.Struct, frozen=True):
    """``python``: its interpreter, a path here or a name inside ``image``. ``version``: such as "3.12", "" if only
    its workers know. ``image``: the image's name, "" for none; ``runtime``: the program that runs it. ``path``:
    folders that workers find modules in beside their interpreter's own."""

    python: str
    version: str
    image: str = ""
    runtime: str = ""
    path: tuple[str, ...] = ()

    def caller_path(self, spec: PoolSpec) -> list[str]:
        """Return what of the caller's sys.path the workers see as well: the folders of programs, none of packages,
        which are what an environment is there to replace. Nothing of it is inside an image."""
        if self.image:
            return []
        return [entry for entry in map(local_text, spec.path) if not _of_packages(entry)]

    def environ(self, spec: PoolSpec) -> dict[str, str]:
        """Return the caller's environment variables, with those of an interpreter replaced. (An image has its
        own.)"""
        binaries = os.path.dirname(self.python)
        given = spec.variables()
        kept = {name: value for name, value in given.items() if name not in _OF_AN_INTERPRETER}
        kept["VIRTUAL_ENV"] = os.path.dirname(binaries)
        kept["PATH"] = os.pathsep.join(filter(None, [binaries, given.get("PATH")]))
        return kept


def _of_packages(entry: str) -> bool:
    """Return whether an entry of sys.path is an interpreter's own: its library or installed packages.

    >>> [_of_packages(one) for one in ("/usr/lib/python3.11", "/v/lib/python3.11/site-packages", "/home/me/work")]
    [True, True, False]
    """
    parts = entry.rstrip("/").split("/")
    return bool(
        {"site-packages", "dist-packages"}.intersection(parts)
        or any(_is_library(part) for part in parts[-2:])
        or parts[-1].endswith(".zip")
    )


def _is_library(name: str) -> bool:
    return name.startswith("python3") and name.removeprefix("python3").strip(".0123456789") == ""
