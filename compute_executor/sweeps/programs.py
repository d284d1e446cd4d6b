"""Programs that are no Python function: a command line with the parameters in it, a script with ``--name value``.

Arguments go to the program as a list, no shell reads them. It runs in a folder of its own row, where its output is
kept in ``stdout.txt`` and ``stderr.txt`` beside what it writes.
"""

from __future__ import annotations

import contextlib
import csv
import inspect
import json
import os
import re
import shutil
import signal
import string
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest, ProgramFailed
from compute_executor.sweeps.columns import RESULT
from compute_executor.sweeps.values import typed

ROW = "__row__"
"""Keyword under which a program gets the number of its row."""
OWN = ("row", "folder")
"""Names in braces that are no parameters."""
OWN_COLUMNS = frozenset({"exit_code", "seconds", "folder"})
"""What a program gives without saying anything."""
STDOUT, STDERR = "stdout.txt", "stderr.txt"
_END = 2000
"""Bytes of the end of a program's errors that are told."""
_TERM_PATIENCE = 2.0
"""Seconds between SIGTERM and SIGKILL of a program that has taken too long."""


class ProgramCall:
    """``arguments`` with parameters in braces, run for a row below ``folder``. ``collect``: what becomes columns, see
    `columns_of`. ``timeout``: seconds after which the program and its children are stopped.

    Returns exit code, seconds, the collected columns and the folder. Raises ProgramFailed, TimeoutError.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        collect: Sequence[str] = (),
        timeout: float | None = None,
    ) -> None:
        self._folder, self._collect, self._timeout = os.fspath(folder), list(collect), timeout
        self._arguments = list(arguments)
        self.__name__: str = os.path.basename(arguments[0]) if arguments else "program"

    @property
    def __signature__(self) -> inspect.Signature:
        """The parameters are the names in braces."""
        names = sorted({name for text in self._arguments for name in placeholders(text)}.difference(OWN))
        return inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names])

    def __call__(self, **parameters: Any) -> dict[str, Any]:
        """Run it for the row whose number is under ``__row__``."""
        row = parameters.pop(ROW, 1)
        folder = os.path.join(self._folder, str(row))
        os.makedirs(folder, exist_ok=True)
        self._remove_collected(folder)
        command = self.command({**parameters, "row": row, "folder": folder})
        began = time.monotonic()
        code = self._run(command, folder)
        seconds = time.monotonic() - began
        if code != 0:
            raise ProgramFailed(f"{command[0]} ended with {_ending(code)}{_last_words(folder)}")
        own = {"exit_code": code, "seconds": round(seconds, 6)}
        columns = {
            f"{RESULT}.{name}" if name in (*own, "folder") else name: value
            for name, value in columns_of(folder, self._collect).items()
        }
        return {**own, **columns, "folder": folder}

    def _remove_collected(self, folder: str) -> None:
        """Remove what is to be collected: what an earlier attempt, or an earlier sweep, has left there is not taken
        for what this one writes."""
        for wanted in filter(_is_file, self._collect):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, wanted))

    def command(self, values: Mapping[str, Any]) -> list[str]:
        """Return the arguments of one row."""
        return [filled(text, values) for text in self._arguments]

    def _run(self, command: list[str], folder: str) -> int:
        with (
            open(os.path.join(folder, STDOUT), "wb") as out,
            open(os.path.join(folder, STDERR), "wb") as err,
        ):
            try:
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProgramFailed(f"{command[0]} cannot be run: {error.strerror or error}") from None
            try:
                return process.wait(self._timeout)
            except subprocess.TimeoutExpired:
                raise TimeoutError(
                    f"{command[0]} was stopped after {self._timeout:g} seconds{_last_words(folder)}"
                ) from None
            finally:
                _stop(process)


class ScriptCall(ProgramCall):
    """A script that takes ``--name value`` for each parameter; one that is None is left out."""

    def __init__(
        self,
        arguments: Sequence[str],
        names: Sequence[str],
        folder: Path,
        collect: Sequence[str] = (),
        timeout: float | None = None,
    ) -> None:
        super().__init__(arguments, folder, collect, timeout)
        self._names = list(names)
        self.__name__: str = os.path.basename(arguments[-1])

    @property
    def __signature__(self) -> inspect.Signature:
        """Any parameter: only the script knows which it takes."""
        return inspect.Signature([inspect.Parameter("parameters", inspect.Parameter.VAR_KEYWORD)])

    def command(self, values: Mapping[str, Any]) -> list[str]:
        """Return the arguments of one row."""
        given = [(f"--{name}", text_of(values[name])) for name in self._names if values.get(name) is not None]
        return [*self._arguments, *(word for pair in given for word in pair)]


def placeholders(text: str) -> list[str]:
    """Return the names in braces. Raises InvalidRequest for braces around something else.

    >>> placeholders("--out={row}.dat {{literal}}"), placeholders("{rate:.3f}")
    (['row'], ['rate'])
    """
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except ValueError:
        names = [""]
    if not all(name.isidentifier() for name in names):
        raise InvalidRequest(
            f"the argument {text!r}: braces hold the name of a parameter, {{row}} or {{folder}}; "
            "write {{ and }} for braces themselves"
        )
    return names


def filled(text: str, values: Mapping[str, Any]) -> str:
    """``text`` with the values in place of the names in braces."""
    parts = []
    for literal, name, spec, conversion in string.Formatter().parse(text):
        parts.append(literal)
        if name is not None:
            value = values[name]
            parts.append(
                format(value, spec) if spec else repr(value) if conversion == "r" else text_of(value)
            )
    return "".join(parts)


def text_of(value: Any) -> str:
    """Return a value as an argument of a command line."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def absolute(arguments: Sequence[str], folder: Path) -> list[str]:
    """Return arguments that name files of ``folder`` with their full paths: the program runs in another."""
    found = []
    for text in arguments:
        path = folder / text if text and not text.startswith("-") and "{" not in text else None
        there = path is not None and not os.path.isabs(text) and path.exists()
        found.append(str(path.resolve() if there and path is not None else text) if there else text)
    return found


def check_program(name: str) -> None:
    """Raise InvalidRequest for a program that is not on this machine. One with parameters in its name may be."""
    if "{" not in name and shutil.which(name) is None:
        why = "it may not be executed" if os.path.isfile(name) else "there is no such program"
        raise InvalidRequest(f"cannot run {name}: {why}")


def columns_of(folder: str, collect: Sequence[str]) -> dict[str, Any]:
    """Return what a program has found: the JSON object on the last line of its output, if there is one, then what
    ``collect`` asks for. ``NAME=PATTERN`` is what the group of a regular expression matches last in the output (the
    pattern is all of it, or what follows ``NAME=``); a file name is a csv that the program wrote. Raises
    ProgramFailed."""
    output = _read(os.path.join(folder, STDOUT))
    columns = _last_line(output)
    for wanted in collect:
        columns.update(_table(folder, wanted) if _is_file(wanted) else _matched(output, wanted))
    return columns


def check_collect(collect: Sequence[str]) -> None:
    """Raise InvalidRequest for what can collect nothing."""
    seen = set()
    for wanted in collect:
        if _is_file(wanted):
            continue
        name, equals, pattern = wanted.partition("=")
        if name.strip() in seen:
            raise InvalidRequest(f"--collect {wanted}: {name.strip()} is collected twice")
        seen.add(name.strip())
        try:
            groups = max(re.compile(one).groups for one in (wanted, pattern))
        except re.error as error:
            raise InvalidRequest(f"--collect {wanted}: the pattern is wrong: {error}") from None
        if not equals or not name.strip() or not groups:
            raise InvalidRequest(
                f"--collect {wanted}: write NAME=PATTERN with a group, for example 'energy=([0-9.e+-]+)', or FILE.csv"
            )


def _is_file(wanted: str) -> bool:
    return wanted.lower().endswith((".csv", ".tsv")) and "=" not in wanted


def _matched(output: str, wanted: str) -> dict[str, Any]:
    name, _, pattern = wanted.partition("=")
    found = None
    for one in (wanted, pattern):
        with contextlib.suppress(re.error):
            expression = re.compile(one, re.MULTILINE)
            found = found or (list(expression.finditer(output)) if expression.groups else None)
    if not found:
        raise ProgramFailed(f"its output has nothing that matches {wanted} (--collect)")
    last = found[-1]
    if last.groupdict():
        return {key: value_of(text) for key, text in last.groupdict().items()}
    return {name.strip(): value_of(last.group(1))}


def _table(folder: str, wanted: str) -> dict[str, Any]:
    """Return the columns of a csv: values if it has one row, lists if it has more."""
    path = os.path.join(folder, wanted)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if wanted.lower().endswith(".tsv") else ","
            names, *rows = [row for row in csv.reader(file, delimiter=delimiter, strict=True) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProgramFailed(f"{path} cannot be read (--collect): {error}") from None
    if not rows:
        raise ProgramFailed(f"{path} has no rows (--collect)")
    if len(set(names)) < len(names):
        raise ProgramFailed(f"{path}: a column is there twice: {', '.join(names)} (--collect)")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise ProgramFailed(
                f"{path}: row {number} has {len(row)} cells for {len(names)} columns (--collect)"
            )
    columns = {name: [value_of(row[place]) for row in rows] for place, name in enumerate(names)}
    return {name: values[0] if len(rows) == 1 else values for name, values in columns.items()}


def value_of(text: str | None) -> Any:
    """Return the number that a text is, or the text. Raises ProgramFailed for a number that no float can hold."""
    text = (text or "").strip()
    try:
        value = typed(text)
    except InvalidRequest as error:
        raise ProgramFailed(f"its output: {error.message}") from None
    return value if type(value) in (int, float) else text


def _last_line(output: str) -> dict[str, Any]:
    lines = output.rstrip().rsplit("\n", 1)
    try:
        found = json.loads(lines[-1], parse_float=value_of) if lines[-1].lstrip().startswith("{") else None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _ending(code: int) -> str:
    if code >= 0:
        return str(code)
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _last_words(folder: str) -> str:
    for name in (STDERR, STDOUT):
        with open(os.path.join(folder, name), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
            text = file.read().decode("utf-8", "replace").strip()
        if text:
            return f"; the end of {os.path.join(folder, name)}: {text}"
    return f"; it has written nothing (in {folder})"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children, if it has not ended."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TERM_PATIENCE)
            return
