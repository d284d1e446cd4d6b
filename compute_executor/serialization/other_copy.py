"""Streams that another run or another copy of the program has registered, read as if this one had sent them.

A function is registered by its content, of which the files that its code is from are no part: it is stored with the
names and the text that they had for whoever registered it first. A second copy of the script, in another folder, gets
that very stream. So a worker, which knows where its own program is, takes the other copy's script, folder and modules
for those of its own.

Standard library only: workers use this.
"""

from __future__ import annotations

import linecache
import os
from importlib.machinery import PathFinder
from typing import Any

from compute_executor.serialization.namespaces import MAIN, Origin, Sources

Bases = dict[str, dict[str, Any]]
"""For each namespace what a stream says of it: name, package, file."""


class Copy:
    """What the files of one stream are in this program. ``bases``, ``sources``: of the stream. ``origin``: of the
    program."""

    def __init__(self, bases: Bases, sources: list[Sources], origin: Origin) -> None:
        self._origin = origin
        self._is_as_it_was = _is_as_it_was(origin)
        script = bases.get(MAIN, {}).get("__file__", "")
        same = origin.file is not None and self._is_same(script, sources)
        self._exact = {script: origin.file} if same and origin.file else {}
        modules = [
            (base["__name__"], base["__file__"])
            for key, base in bases.items()
            if key != MAIN and "__file__" in base and base.get("__name__") == key.strip("<>")
        ]
        moved = [_moved(key, file) for key, file in modules]
        moved += [(_folder(one), _folder(other)) for one, other in self._exact.items()]
        self._folders = [(old, new) for old, new in moved if old != new and old and new]

    def _is_same(self, script: str, sources: list[Sources]) -> bool:
        """Return whether the stream's script is a copy of the one here, and no other program that has registered a
        function for this one to call: by the lines where functions and classes begin, else by the name."""
        begins = {
            first: text.partition("\n")[0]
            for one in sources
            for name, texts in one.files
            for first, text in texts.items()
            if name == script
        }
        file = self._origin.file or ""
        if not (begins and self._is_as_it_was):
            return os.path.basename(script) == os.path.basename(file)
        lines = linecache.getlines(file)
        return all(_begin(lines, first) == _code(begin) for first, begin in begins.items())

    def file(self, name: str) -> str:
        """Return what a file of the stream is called here."""
        if name in self._exact:
            return self._exact[name]
        for old, new in self._folders:
            if name.startswith(old) and os.path.exists(new + name[len(old) :]):
                return new + name[len(old) :]
        return name

    def sources(self, sources: Sources) -> Sources:
        """Return the files and texts of a stream, or of a unit in it, as they are here."""
        return Sources(tuple(self._source(name, texts) for name, texts in sources.files))

    def _source(self, name: str, texts: dict[int, str]) -> tuple[str, dict[int, str]]:
        new = self.file(name)
        if name in self._exact and self._is_as_it_was:
            return new, {}
        return new, texts if new == name else _not_in(new, texts)

    def bases(self, bases: Bases) -> Bases:
        """Return what is said of namespaces, without that of ``__main__``, which says itself where the program is
        from."""
        return {
            key: base | ({"__file__": self.file(base["__file__"])} if "__file__" in base else {})
            for key, base in bases.items()
            if key != MAIN
        }


def _begin(lines: list[str], first: int) -> str:
    return _code("".join(lines[first - 1 : first]))


def _code(line: str) -> str:
    """Return a line without its comment, or what may be one."""
    return line.partition("#")[0].strip()


def _is_as_it_was(origin: Origin) -> bool:
    """Return whether the script has not been changed since the program started its workers."""
    try:
        return origin.file is not None and os.stat(origin.file).st_mtime_ns == origin.modified
    except (OSError, ValueError):
        return False


def _folder(file: str) -> str:
    return os.path.join(os.path.dirname(file), "") if os.path.isabs(file) else ""


def _moved(module: str, file: str) -> tuple[str, str]:
    """Return the folder of the search path that a module was found in, and the one in which it is found here; twice
    the same if it is not found."""
    top, *rest = module.split(".")
    try:
        spec = PathFinder.find_spec(top)
    except (ImportError, OSError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.has_location:
        return "", ""
    is_package = os.path.basename(file).startswith("__init__.")
    return _above(file, len(rest) + is_package), _above(
        spec.origin, spec.submodule_search_locations is not None
    )


def _above(file: str, levels: int) -> str:
    for _ in range(levels):
        file = os.path.dirname(file)
    return _folder(file)


def _not_in(file: str, texts: dict[int, str]) -> dict[int, str]:
    """Return the texts whose first line is not where it should be in a file."""
    lines = linecache.getlines(file)
    return {
        first: text
        for first, text in texts.items()
        if lines[first - 1 : first] != text.splitlines(keepends=True)[:1]
    }
