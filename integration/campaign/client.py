"""A program of the campaign: submits tasks of all kinds through a faulty wire, and writes down what became of each.

    python -m integration.campaign.client FOLDER PORT FIRST COUNT SEED   submit COUNT tasks, numbered from FIRST
    python -m integration.campaign.client FOLDER PORT --reload GROUP     take over the tasks of one that was killed

Its journal has a line for the task group, one for each task that it tried to submit, one for each end, and at its end
one with what is left of it: threads, descriptors, children. Lines are appended whole, so that a kill loses none that
was written.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import os
import random
import sys
import threading
import time
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor import Executor
from compute_executor.errors import ComputeError
from compute_executor.local import embedded
from integration.campaign import work

WINDOW = 4000
"""Tasks that are open at a time."""
LARGE = 80_000
"""Bytes of a body that does not fit into a frame."""
USUAL = frozenset({"ok", "wrong", "Cancelled", "WorkerLost(begun)", "TaskTimeout"})
"""Ends of which no more is written down."""
REFUSED = "at submit: "
"""Before the name of an error that `submit` raised."""
PATIENCE = 200.0
"""Seconds without the end of a task after which those that are open are hung."""


class Journal:
    """What is known, in a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._ends: dict[int, int] = {}
        self.last_end = time.monotonic()
        self.longest_wait = 0.0
        self.open = 0

    def tried(self, numbers: list[int]) -> None:
        """These are about to be submitted."""
        with self._lock:
            if not self.open:
                self.last_end = time.monotonic()
            self.open += len(numbers)
        self.write(*(f"tried {number}" for number in numbers))

    def ended(self, number: int, how: str) -> None:
        """How a task ended. Called by the future's callback."""
        with self._lock:
            now = time.monotonic()
            self.longest_wait = max(self.longest_wait, now - self.last_end)
            self.last_end = now
            self.open -= 1
            self._lines.append(f"ended {number} {how}")
            lines, self._lines = (self._lines, []) if len(self._lines) > 50 else ([], self._lines)
        self.write(*lines)

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            lines, self._lines = self._lines, []
        self.write(*lines)

    def write(self, *lines: str) -> None:
        """Append lines, whole."""
        if lines:
            os.write(self._file, "".join(f"{line}\n" for line in lines).encode())


def how_it_ended(future: Future[Any], number: int | None) -> str:
    """``ok``, ``wrong``, or the name of the error (and of a loss: whether it had begun)."""
    try:
        found = future.result()
    except CancelledError:
        return "Cancelled"
    except ValueError as error:
        if type(error) is ValueError:
            return "ok" if number is None or error.args == (number,) else "wrong"
        return _named(error)
    except Exception as error:
        return _named(error)
    if isinstance(found, tuple):
        return "ok" if number in (None, found[0]) and len(found[1]) == LARGE else "wrong"
    return "ok" if number in (None, found) else "wrong"


def _named(error: BaseException) -> str:
    name = type(error).__name__
    if "knows no such task" in str(error):
        return "Forgotten"
    if getattr(error, "errno", None) == errno.ENOSPC and " in printing" in str(error.__cause__):
        return "NoRoomToPrint"  # as print says wherever stdout is a file of a full disk
    if not isinstance(error, ComputeError) and not isinstance(error, (TimeoutError, CancelledError)):
        return f"{name}!"
    return (
        f"{name}({'begun' if getattr(error, 'began', True) else 'not begun'})"
        if hasattr(error, "began")
        else name
    )


class Program:
    """One client."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.trace = str(folder / "trace")
        self.journal = Journal(folder / f"journal-{os.getpid()}")
        self.random = random.Random(seed)
        self.refused = False

    def submit(self, first: int, count: int) -> None:
        """Submit them, and wait for their ends. An Executor whose workers or service fail for good is replaced."""
        number, end = first, first + count
        while number < end:
            with Executor(max_workers=2, label="campaign") as executor:
                self.journal.write(f"group {executor.task_group_id}")
                self.refused = not self._warm(executor)
                while number < end and not self.refused:
                    number += self._some(executor, number, end - number)
                    self._hold(WINDOW)
                self._hold(0)
        self.journal.flush()

    def _warm(self, executor: Executor) -> bool:
        """Whether there is a service at all. With a broken disk at its first step all calls of a program fail."""
        try:
            return bool(executor.submit(pow, 2, 3).result(PATIENCE) == 8)
        except ComputeError:
            time.sleep(0.1)
            return False

    def _some(self, executor: Executor, number: int, most: int) -> int:
        """Submit one task of a rare kind, or a burst of the usual one; how many."""
        chance = self.random.random()
        rare = {
            0.02: (work.large, (bytes(LARGE),)),
            0.05: (work.raising, ()),
            0.08: (work.printing, ()),
            0.09: (work.dying, ()),
            0.10: (work.leaving, ()),
            0.105: (work.closing, ()),
            0.11: (work.overrunning, ()),
            0.2: (work.slow, ()),
        }
        for below, (function, more) in rare.items():
            if chance < below:
                self.journal.tried([number])
                chosen = executor.options(timeout=0.2) if function is work.overrunning else executor
                self._submit(chosen, number, function, *more)
                return 1
        burst = min(most, self.random.choice([1, 10, 128, 500, 1000]))
        numbers = list(range(number, number + burst))
        self.journal.tried(numbers)
        futures = [self._submit(executor, one, work.traced) for one in numbers]
        if self.random.random() < 0.05:
            for future in filter(None, futures[::7]):
                future.cancel()
        return burst

    def _submit(self, executor: Any, number: int, function: Any, *more: Any) -> Future[Any] | None:
        try:
            future: Future[Any] = executor.submit(function, self.trace, number, *more)
        except ComputeError as error:
            self.refused = True
            self.journal.ended(number, f"{REFUSED}{_named(error)}")
            return None
        future.add_done_callback(functools.partial(self._ended, number))
        return future

    def _ended(self, number: int, future: Future[Any]) -> None:
        how = how_it_ended(future, number)
        self.journal.ended(number, how)
        if how not in USUAL:
            self.journal.write(f"said {number} {' '.join(str(future.exception()).split())[:2000]}")

    def _hold(self, most: int) -> None:
        """Wait until no more are open."""
        while self.journal.open > most:
            if time.monotonic() - self.journal.last_end > PATIENCE:
                self.journal.flush()
                self.journal.write(f"hung {self.journal.open}")
                os._exit(9)
            time.sleep(0.01)

    def reload(self, group: str) -> None:
        """Take over what another program submitted."""
        with Executor(max_workers=1, label="campaign") as executor:
            futures = executor.reload_tasks(group)
            _, pending = wait(futures, timeout=PATIENCE)
            ends = [how_it_ended(future, None) for future in futures if future not in pending]
        self.journal.write(f"reloaded {len(futures)}", *(f"found {end}" for end in ends))
        if pending:
            self.journal.write(f"hung {len(pending)}")


def through(port: int) -> None:
    """Have this program speak to its service through the wire."""
    find = embedded.find_or_start

    def find_or_start(*, held: bool = False) -> embedded.ServiceAddress:
        return find(held=held)._replace(url=f"http://127.0.0.1:{port}")

    embedded.find_or_start = find_or_start


def main(arguments: list[str]) -> None:
    """Run one of the two."""
    through(int(arguments[1]))
    program = Program(Path(arguments[0]), int(arguments[-1]) if arguments[-1].isdigit() else 0)
    before = _left()
    if arguments[2] == "--reload":
        program.reload(arguments[3])
    else:
        program.submit(int(arguments[2]), int(arguments[3]))
    gc.collect()
    after = _left()
    threads, files, children = (
        now - earlier for now, earlier in zip(after.counts(), before.counts(), strict=True)
    )
    journal = program.journal
    journal.write(f"left {threads} {files} {children}", f"waited {journal.longest_wait:.2f}")
    if files > 0:
        journal.write(
            *(f"open {number} {after.files[number]}" for number in after.files.keys() - before.files.keys())
        )


class _Left(NamedTuple):
    """Threads, descriptors (with what each is of) and children of this process."""

    threads: int
    files: dict[str, str]
    children: int

    def counts(self) -> tuple[int, int, int]:
        return self.threads, len(self.files), self.children


def _left() -> _Left:
    children = sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))
    files: dict[str, str] = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of this list
            files[number] = os.readlink(f"/proc/self/fd/{number}")
    return _Left(threading.active_count(), files, children)


if __name__ == "__main__":
    main(sys.argv[1:])
