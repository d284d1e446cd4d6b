"""service.log: what the service did, and what tasks wrote, one line each; no control character gets through.

    2026-11-24 10:30:00,123 INFO  compute_executor.service.process.run: serving at http://127.0.0.1:40123
    2026-11-24 10:30:01,456 INFO  compute_executor.tasks: task 0123... stdout: hello

A task or a client can put anything into a line but not begin one: line breaks and control characters (those that
steer terminals too) are escaped, and the lines of a traceback are indented.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import sys
from datetime import datetime, timezone
from io import TextIOWrapper
from pathlib import Path

from compute_executor.local.state import open_private

MAX_LOG = 10 * 1024 * 1024
"""Bytes until the log is put aside (service.log.1 ...) and a new one begun."""

KEPT_LOGS = 3
INDENT = "\n    | "
LOGGERS = ("compute_executor", "uvicorn", "asyncio")

_FORMAT = "%(asctime)s %(levelname)-5s %(name)s: %(message)s"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def open_log(folder_log: Path, *, take_output: bool, as_json: bool = False) -> logging.Handler:
    """Send everything of this package, and warnings of uvicorn and asyncio, to the log. ``take_output``: the
    process's own stdout and stderr too (a crash of the interpreter), also after the log has been put aside.
    ``as_json``: each line is an object with time, level, logger, message and, if there is one, traceback."""
    os.close(open_private(folder_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    handler = _LogFile(folder_log, take_output)
    handler.setFormatter(_JsonLine() if as_json else _OneLine(_FORMAT))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO if name == "compute_executor" else logging.WARNING)
        logger.addHandler(handler)
        logger.propagate = False
    return handler


def escaped(text: str) -> str:
    """Return the text in one line (line breaks become indented ones) and without what could steer a terminal."""
    visible = _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
    return visible.rstrip("\n").replace("\n", INDENT)


class _OneLine(logging.Formatter):
    """Escapes the whole record, its traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


class _JsonLine(logging.Formatter):
    """A record as a JSON object in one line. Control characters are escaped by JSON itself."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class _LogFile(logging.handlers.RotatingFileHandler):
    """A rotating file, 0600, that the standard streams of the process may follow."""

    def __init__(self, path: Path, take_output: bool) -> None:
        self._take_output = take_output
        super().__init__(
            path, maxBytes=MAX_LOG, backupCount=KEPT_LOGS, encoding="utf-8", errors="backslashreplace"
        )

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop a line for which the disk has no room: a traceback for each, on the standard error, which may be
        this file, would help nobody."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def _open(self) -> TextIOWrapper:
        descriptor = open_private(Path(self.baseFilename), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        if self._take_output:
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
