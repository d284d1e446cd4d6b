"""The file names of code that travels, and the text that tracebacks and `inspect` show of it.

A file name is no content: code carries a number, and the names and texts travel beside. A notebook's cell is called
as the notebook calls it. Text is taken along where a worker may not find it, or find another: always.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from types import CodeType

MAX_TEXT = 64 * 1024
"""Characters of source that travel with one stream."""


class SourceFiles:
    """The files of one stream, numbered as they are met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[tuple[str, dict[int, str]]] = []
        self._room = MAX_TEXT

    def number(self, code: CodeType) -> int:
        """Return the number of this code's file; its text is taken along."""
        name = code.co_filename
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._numbers)
            self._texts.append((_shown(name), {}))
        first, text = _text(code)
        texts = self._texts[number][1]
        if text and first not in texts and len(text) <= self._room:
            self._room -= len(text)
            texts[first] = text
        return number

    def record(self) -> tuple[tuple[str, dict[int, str]], ...]:
        """Return what travels."""
        return tuple(self._texts)


def _text(code: CodeType) -> tuple[int, str]:
    """Return the lines of a code object, with the first one behind it, where `inspect` sees its end; the number of
    the first."""
    lines = _lines(code.co_filename)
    first = code.co_firstlineno
    end = max(first, *(line for part in _parts(code) for _, _, line in part.co_lines() if line))
    behind = next((number for number in range(end, len(lines)) if lines[number].strip()), len(lines))
    return first, "".join(lines[first - 1 : behind + 1])


def _parts(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)


def _lines(file: str) -> list[str]:
    lines = linecache.getlines(file)
    if not lines and file == "<string>" and "-c" in sys.orig_argv[:-1]:
        program = sys.orig_argv[sys.orig_argv.index("-c") + 1]
        lines = program.splitlines(keepends=True)
    return lines


def _shown(file: str) -> str:
    """Return what a traceback calls this file: a notebook knows the cell."""
    shell = sys.modules.get("IPython")
    current = getattr(shell, "get_ipython", lambda: None)()
    describe = getattr(getattr(current, "compile", None), "format_code_name", None)
    if describe is None:
        return file
    try:
        found = describe(file)
    except Exception:  # a shell that is being taken down
        return file
    return " ".join(found) if found else file
