"""What tasks write, in the program: prints on its stdout and stderr, log records to its loggers, warnings once.

Parts come while a task runs (Output) and with its result; each says at which position it begins. So nothing is
printed twice, whatever is sent again after a reconnect, and what was dropped on the way is counted and said.

Owner: the session's I/O thread. It must not wait for a terminal that is stopped or a pipe that nobody reads: what a
stream does not take at once is left to a thread of its own (:class:`Console`).
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import select
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterable
from typing import Any

from compute_executor.protocol.frames import Result, Written
from compute_executor.session.cells import Cell, write_in

AT_ONCE = 4096
"""Characters written at a time to what may block: a pipe that is ready takes as many bytes (PIPE_BUF)."""

BACKLOG = 1 << 22
"""Characters that wait for a stream that takes none. More are dropped, and counted."""

MOST_ENDED = 1_000
"""Batches whose results have come and whose tasks' threads may still print."""

PATIENCE = 5.0
"""Seconds that the end of a session waits for a stream that takes none."""

Task = tuple[bytes, int]
"""Prefix and position."""

_BEGIN = (0, 0, 0)

News = tuple[bytes, bytes, bytes]
"""What is new of stdout, stderr and records."""


class OutputPrinter:
    """Printer of the output of a session's tasks. Nothing that it calls makes it fail: a broken stream, a handler
    that raises."""

    def __init__(self) -> None:
        self.console: Console = Console()
        self._printed: dict[Task, tuple[int, list[int]]] = {}  # attempt and positions, of tasks that run
        self._ended: dict[bytes, Cell] = {}  # the cells of batches of which results have come, by prefix
        self._warned: set[tuple[Any, ...]] = set()

    def part(self, task: Task, part: Written, cell: Cell = None) -> None:
        """Note that a task that runs has written this. ``cell``: where its call was made."""
        self._print([self._news(task, part)], cell)

    def late_part(self, task: Task, part: Written) -> None:
        """Note what a task has left running has written this, after its result."""
        if task[0] in self._ended:
            self._print([self._news(task, part)], self._ended[task[0]])

    def results(self, results: Iterable[tuple[Result, Cell]]) -> None:
        """Note that these tasks have ended: print what was not printed."""
        news: list[News] = []
        before: Cell = None
        for result, cell in results:
            if news and cell is not before:
                self._print(news, before)
                news = []
            before = cell
            task = result.prefix, result.position
            if result.prefix not in self._ended:
                self._ends(result.prefix, cell)
            if result.output is not None:
                news.append(self._news(task, result.output, ended=True))
            self._printed.pop(task, None)
        if news:
            self._print(news, before)

    def _ends(self, prefix: bytes, cell: Cell) -> None:
        self._ended[prefix] = cell
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def close(self) -> None:
        """Wait a while until all is written."""
        self.console.close()

    def _news(self, task: Task, part: Written, *, ended: bool = False) -> News:
        """Return what of the three streams was not printed yet. It is noted only for a task that goes on."""
        if ended and part.starts == _BEGIN and task not in self._printed:
            return part.out, part.err, part.records
        attempt, positions = self._printed.get(task, (part.attempt, [0, 0, 0]))
        if attempt != part.attempt:
            positions = [0, 0, 0]  # it runs again, from the beginning
        self._printed[task] = part.attempt, positions
        out, err, records = (
            unseen(text, start, stream, positions)
            for stream, (text, start) in enumerate(zip(part.streams(), part.starts, strict=True))
        )
        return out, err, records

    def _print(self, news: list[News], cell: Cell) -> None:
        for stream, name in enumerate(("stdout", "stderr")):
            if text := b"".join([parts[stream] for parts in news]):
                self.console.write(name, text.decode(errors="replace"), cell)
        for _, _, records in news:
            for line in records.splitlines():
                write_in(cell, functools.partial(self._deliver, line))

    def _deliver(self, line: bytes) -> None:
        try:
            document = json.loads(line)
            if "record" in document:
                _log(document["record"])
            else:
                self._warn(document)
        except (
            Exception
        ) as error:  # half a line, of which the rest was dropped; a handler or a filter that raises
            logging.getLogger(__name__).debug("a log record of a task was not delivered: %s", error)

    def _warn(self, document: dict[str, Any]) -> None:
        text, filename, lineno = document["warning"], document["filename"], document["lineno"]
        module, name = document["category"]
        known = text, module, name, filename, lineno
        if known in self._warned:
            return
        self._warned.add(known)
        category = getattr(sys.modules.get(module), name, UserWarning)
        try:
            warning = category(text)
        except Exception:  # a class of the user's that wants other arguments
            category, warning = UserWarning, UserWarning(text)
        warnings.showwarning(warning, category, filename, lineno)


def unseen(text: bytes, start: int, stream: int, positions: list[int]) -> bytes:
    """Return what of a part was not seen yet, after a line about what is missing before it; ``positions`` go forward.

    >>> positions = [4, 0, 0]
    >>> unseen(b"23456", 2, 0, positions), positions
    (b'456', [7, 0, 0])
    >>> unseen(b"9\\n", 9, 0, positions)
    b'[2 bytes of output dropped]\\n9\\n'
    """
    seen = positions[stream]
    positions[stream] = max(seen, start + len(text))
    if start <= seen:
        return text[seen - start :]
    return b"[%d bytes of output dropped]\n" % (start - seen) + text


def _log(fields: dict[str, Any]) -> None:
    logger = logging.getLogger(fields["name"])
    if logger.isEnabledFor(fields["levelno"]):
        logger.handle(logging.makeLogRecord(fields))


class Console:
    """The program's stdout and stderr, whatever they are at the moment of writing. ``write`` returns at once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[str, str, Cell]] = deque()
        self._size = self._dropped = 0
        self._thread: threading.Thread | None = None
        self._closing = False

    def write(self, name: str, text: str, cell: Cell = None) -> None:
        """Write to ``sys.stdout`` or ``sys.stderr``, by its name; in a notebook as the cell does."""
        if self._thread is None:
            text = write_in(cell, functools.partial(put, getattr(sys, name), text, wait=False))
        if text:
            self._later(name, text, cell)

    def _later(self, name: str, text: str, cell: Cell) -> None:
        with self._changed:
            if self._size + len(text) > BACKLOG:
                self._dropped += len(text)
                return
            if self._dropped:
                text = f"[{self._dropped} characters of output dropped: nobody read them]\n{text}"
                self._dropped = 0
            self._waiting.append((name, text, cell))
            self._size += len(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="compute-executor output", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                name, text, cell = self._waiting[0]
            write_in(cell, functools.partial(put, getattr(sys, name), text, wait=True))
            with self._changed:
                self._waiting.popleft()
                self._size -= len(text)

    def close(self) -> None:
        """Wait a while for what waits to be written."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(PATIENCE)
            if not thread.is_alive():
                self._thread = None


def put(stream: Any, text: str, *, wait: bool) -> str:
    """Write text to a stream; the rest that it does not take at once, unless ``wait``. A stream that is closed, or
    that cannot write such characters, is none of ours to mend: the text is written as far as it can be, or lost."""
    blocking = _may_block(stream)
    while text:
        if blocking is not None and not wait and not blocking.poll(0):
            return text
        piece, text = (text, "") if blocking is None else (text[:AT_ONCE], text[AT_ONCE:])
        with contextlib.suppress(Exception):
            _put(stream, piece)
    return ""


def _put(stream: Any, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))
    stream.flush()


def _may_block(stream: Any) -> select.poll | None:
    """Return what tells whether a stream of the system can be written to; None: it is an object that takes
    everything."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except Exception:  # io.StringIO, a notebook's stream, None
        return None
    return poll
