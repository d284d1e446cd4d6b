"""One sweep, from its request to its end.

Everything that can be checked is checked before the first call. Calls are noted in the book before they leave, and
how they end as soon as they do; a table of lines grows beside it, other formats are written at the end. A later
sweep with ``resume`` goes on from the book: it keeps what has a value, waits for what still runs in the service,
and runs the rest.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.sweeps.book import Book, CallEnd, book_of
from compute_executor.sweeps.calls import numbered
from compute_executor.sweeps.design import Design, Row
from compute_executor.sweeps.destination import check_folder, destination, reason, replaced_path
from compute_executor.sweeps.failures import FailureLimit
from compute_executor.sweeps.formats import TableFormat, format_of
from compute_executor.sweeps.importing import import_table
from compute_executor.sweeps.live_table import LiveTable
from compute_executor.sweeps.outcomes import call_end, outcome
from compute_executor.sweeps.programs import ROW
from compute_executor.sweeps.running import RowCall, SweepRun
from compute_executor.sweeps.scratch import ScratchFolder
from compute_executor.sweeps.tabulation import UNREADABLE, TableRecord, Tabulation, recorded, tabulated
from compute_executor.sweeps.tally import Tally
from compute_executor.sweeps.values import ABSENT, key_bytes

NOTED = 512
"""Calls that are noted at a time."""
IMPORTED = "imported"
"""Key in the book: its first rows were read from a table, so that the types of their values are not known."""
COMMIT_SECONDS = 0.1
"""What a kill of this process may cost of what was noted; the service has it, where there is one."""


@dataclass(frozen=True)
class StudyRequest:
    """What a sweep shall do. ``function``: called with the parameters of each row by name. ``name``: how it is
    called in the book. ``out``: the table; None: only the book, which then is a file that goes with the study.
    ``taken``: names that no column of a result may have. ``retries``: how often a row that failed is run again at
    once. ``max_failures``: more end the sweep; None: if the first 20 rows all fail alike. ``units``: by column.
    ``numbered``: the function gets the number of its row, from 1, which stays the same when the sweep goes on."""

    function: Callable[..., Any]
    design: Design
    name: str = ""
    out: Path | None = None
    taken: frozenset[str] = frozenset()
    resume: bool = False
    overwrite: bool = False
    retry_failed: bool = False
    retries: int = 0
    max_failures: int | None = None
    units: dict[str, str] = field(default_factory=dict)
    numbered: bool = False


class Study:
    """Checked, and its files open, when it is made: raises InvalidRequest. Owned by one thread, except
    :meth:`interrupt`, which any may call."""

    def __init__(
        self,
        request: StudyRequest,
        clock: Callable[[], float] = time.monotonic,
        earlier: Study | None = None,
    ) -> None:
        """``earlier``: one that is closed, to go on with, where its book is a temporary file."""
        self.request: StudyRequest = request
        self._clock = clock
        self._scratch: ScratchFolder | None = None if earlier is None else earlier._scratch
        self.format: TableFormat | None = None
        self._resumed = self._untyped = False
        self._first_new = 0
        self._unreadable = 0
        self._adopting_done = self._closed = False
        self.book: Book = self._opened()
        try:
            self._live = self._live_table()
        except BaseException:
            self.book.abandon()
            raise
        self.tally: Tally = Tally(request.design.count)
        self.first_failure: str = ""
        self.stopped: str = ""
        self._limit = FailureLimit(request.max_failures)
        self._withheld: dict[int, RowCall] = {}
        self._again: deque[RowCall] = deque()
        self._run: SweepRun | None = None
        self._interrupted = False
        self._committed = clock()
        self._place = 0
        self._ends: dict[int, CallEnd | None] | None = None
        self._next_id = self.book.next_id() if self._resumed else 0

    # -- what is there ---------------------------------------------------------------------------------------

    def _opened(self) -> Book:
        """Return the book, locked. Raises InvalidRequest for a table that is there already, of another sweep, in
        use."""
        request = self.request
        if request.out is None:
            going_on = self._scratch is not None
            self._scratch = self._scratch or ScratchFolder()
            book = Book(self._scratch.path / "results.sweep")
            return self._going_on(book, book.path, there=False) if going_on else self._begun(book)
        out = destination(request.out)
        self.format = format_of(request.out, request.design.count)
        check_folder(out)
        try:
            return self._book_beside(out)
        except OSError as error:
            raise InvalidRequest(f"cannot write {out}: {reason(error)}") from error

    def _book_beside(self, out: Path) -> Book:
        path, going_on = book_of(out), self.request.resume or self.request.retry_failed
        there = out.exists() and out.stat().st_size > 0
        if there and not (going_on or self.request.overwrite):
            raise InvalidRequest(
                f"{self.request.out} is there already: add --resume to go on with it, --overwrite to replace it, "
                "or give another --out"
            )
        book = Book(path)
        try:
            if going_on:
                return self._going_on(book, out, there)
            if not (self.request.overwrite or book.is_empty() or book.get("finished")):
                raise InvalidRequest(
                    f"{path} is the book of a sweep that has not ended: add --resume to go on with it, --overwrite "
                    "to begin anew, or give another --out"
                )
            book.clear()
            return self._begun(book)
        except BaseException:
            book.abandon()
            raise

    def _going_on(self, book: Book, out: Path, there: bool) -> Book:
        if book.is_empty() and there:
            import_table(book, out, self.request.design.names)
            book.set(IMPORTED, True)
        if book.is_empty():
            return self._begun(book)
        self._check_same(book, out)
        self._resumed = True
        self._untyped = book.get(IMPORTED, False)
        book.index(self._key)
        book.clear_places()
        return self._begun(book)

    def _check_same(self, book: Book, out: Path) -> None:
        """Raise InvalidRequest if the book is of another function or has other parameters."""
        design, names = book.get("design", {}), self.request.design.names
        before = design.get("names", names)
        why = ""
        function = book.get("function", "")
        if function and self.request.name and function != self.request.name:
            why = f"it is of {function}"
        elif set(names) - set(before):
            why = f"it has no column {sorted(set(names) - set(before))[0]!r}"
        elif set(before) - set(names):
            why = f"it sweeps {sorted(set(before) - set(names))[0]!r} too"
        if why:
            raise InvalidRequest(
                f"{out} is of another sweep: {why}. Leave out --resume, or give another --out."
            )

    def _begun(self, book: Book) -> Book:
        book.set("design", self.request.design.description())
        book.set("function", self.request.name)
        book.set("taken", sorted(self.request.taken))
        book.set("units", {**book.get("units", {}), **self.request.units})
        book.set("finished", False)
        book.commit()
        return book

    def _live_table(self) -> LiveTable | None:
        if self.request.out is None or self.format is None or not self.format.live:
            return None
        layout = self.format.part("layout")(self.request.out, self.request.design.names)
        live = LiveTable(self.request.out, layout, self.table, self._clock)
        if self._resumed:
            live.go_on()
        return live

    # -- running ---------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Let :meth:`run` end soon. For signal handlers."""
        self._interrupted = True
        if self._run is not None:
            self._run.interrupt()

    def run(self, executor: Executor, changed: Callable[[], None] = lambda: None) -> None:
        """Run every row that has no value, or until an interrupt or too many failures (``stopped``). ``changed`` is
        called when ``tally`` has. Raises what is about all rows: ServiceUnavailable and the like, OSError of the
        disk."""
        self._execute(self.request.design.rows(), executor, changed)

    def evaluate(
        self, rows: Iterator[Row], executor: Executor, changed: Callable[[], None] = lambda: None
    ) -> list[CallEnd | None]:
        """Run these rows, for a search that will ask for more; how each has ended, in their order."""
        first, self._ends = self._place, {}
        self._execute(rows, executor, changed)
        return [self._ends.get(place) for place in range(first, self._place)]

    def _execute(self, rows: Iterator[Row], executor: Executor, changed: Callable[[], None]) -> None:
        run = self._run = SweepRun(executor, numbered(self.request.function, executor))
        if not self._interrupted:
            self._follow_events(run, executor, self._to_run(rows, run), changed)
        self._run = None

    def _follow_events(
        self, run: SweepRun, executor: Executor, calls: Iterator[RowCall], changed: Callable[[], None]
    ) -> None:
        if not self._adopting_done:
            self._adopt(run, executor)
            self._adopting_done = True
        while not (run.interrupted or self.stopped):
            self._fill(run, calls)
            if not (
                run.open or self._withheld
            ):  # calls of an earlier sweep for which no row waits are let go
                break
            if run.is_idle:
                self.book.commit()  # while this waits, everything is kept
            self._record_results(run.take())
            changed()
        self.book.commit()
        changed()

    def _fill(self, run: SweepRun, calls: Iterator[RowCall]) -> None:
        while run.room > 0:
            entry = self._again.popleft() if self._again else next(calls, None)
            if entry is None and self._withheld and not run.adopted:
                entry = self._withheld.pop(next(iter(self._withheld)))
            if entry is None:
                return
            run.submit(entry, self._arguments(entry))

    def _arguments(self, entry: RowCall) -> Row:
        arguments = self.request.design.call(entry.row)
        return {**arguments, ROW: entry.id + 1} if self.request.numbered else arguments

    def _to_run(self, rows: Iterator[Row], run: SweepRun) -> Iterator[RowCall]:
        """Yield the calls to make, each noted before it is given out."""
        while chunk := list(itertools.islice(rows, NOTED)):
            calls = self._calls_of(chunk)
            self.book.add_calls((entry.id, entry.row) for entry in calls)
            yield from [entry for entry in calls if not self._is_withheld(entry, run)]

    def _calls_of(self, chunk: Sequence[Row]) -> list[RowCall]:
        """Return the calls of rows, without those that an earlier sweep has answered or that are not to be run."""
        first = self._place
        self._place += len(chunk)
        if not self._resumed:
            return [RowCall(place, place, row) for place, row in enumerate(chunk, first)]
        found = [self._claimed(row, place) for place, row in enumerate(chunk, first)]
        self.book.add_places((entry.place, entry.id) for entry, _ in found if entry.id >= 0)
        return [entry for entry, wanted in found if wanted]

    def _claimed(self, row: Row, place: int) -> tuple[RowCall, bool]:
        """Return the call of a row, under the id that it has in the book; and whether it is to be made."""
        found = self.book.claim(self._key(row))
        failed_only = self.request.retry_failed
        if found is None:
            number = -1 if failed_only else self._next_id
            self._next_id += not failed_only
            return RowCall(number, place, row), not failed_only
        number, error, attempts = found
        if error == "":
            self.tally.skipped += 1
            if self._ends is not None:
                self._ends[place] = self.book.end(number)
        wanted = bool(error) or (error is None and not failed_only)
        return RowCall(number, place, row, attempts + 1), wanted

    def _key(self, row: Row) -> bytes:
        return key_bytes((row.get(name, ABSENT) for name in self.request.design.names), loose=self._untyped)

    def _is_withheld(self, entry: RowCall, run: SweepRun) -> bool:
        """Return whether a call waits because it may be among those that an earlier sweep left in the service."""
        if not run.adopted or entry.attempts > 1 or entry.id >= self._first_new:
            return False
        self._withheld[entry.id] = entry
        return True

    def _adopt(self, run: SweepRun, executor: Executor) -> None:
        """Wait for what an earlier sweep left in the service; note that calls of this one can be found there."""
        self._first_new = self._next_id
        ours: Any = executor
        reload: Any = getattr(executor, "reload_tasks", None)
        if getattr(executor, "task_group_id", None) is None or reload is None:
            return
        group = str(ours.task_group_id)
        for earlier in self.book.groups() if self._resumed else ():
            if earlier != group:
                self._adopt_group(run, reload, earlier)
        ours.task_group_id = group  # of the calls of this sweep, not the last one that was reloaded
        self.tally.adopted = run.adopted
        self.book.add_group(group)

    def _adopt_group(self, run: SweepRun, reload: Callable[..., list[Future[Any]]], group: str) -> None:
        try:
            run.adopt(reload(group, known=self.book.batches()))
        except NotFound:  # the service has forgotten it, or is another one
            return

    def settle(self) -> None:
        """Note what has ended and was not noted yet, after an exception has come in between. Waits for nothing."""
        self._interrupted = True
        while self._run is not None and not self._run.is_idle:
            self._record_results(self._run.take())

    # -- outcomes --------------------------------------------------------------------------------------------

    def _record_results(self, arrived: Sequence[tuple[RowCall | None, Future[Any]]]) -> None:
        records: list[tuple[RowCall, CallEnd, Any]] = []
        for call, future in arrived:
            found = outcome(future)
            entry = call or self._adopted_call(found.id)
            if entry is None or (call is not None and found.error and self._tried_again(call)):
                continue
            records.append((entry, call_end(found, entry.id, future, entry.attempts), found.value))
        self.book.add_ends([end for _, end, _ in records])
        placed = [record for record in records if record[0].place >= 0]
        for entry, end, _ in placed:
            self._count(entry, end)
        self._show(placed)
        if self._clock() - self._committed >= COMMIT_SECONDS:
            self.book.commit()
            self._committed = self._clock()

    def _adopted_call(self, number: int | None) -> RowCall | None:
        """Return the row of a call of an earlier sweep. None if it did not tell: its row is run again when the last
        of the earlier calls has ended."""
        if number is None:
            return None
        return self._withheld.pop(number, None) or RowCall(number, -1, {})

    def _tried_again(self, entry: RowCall) -> bool:
        if entry.tries >= self.request.retries:
            return False
        self._again.append(entry._replace(attempts=entry.attempts + 1, tries=entry.tries + 1))
        return True

    def _count(self, entry: RowCall, end: CallEnd) -> None:
        if self._ends is not None:
            self._ends[entry.place] = end
        self.tally.ended += 1
        if end.error:
            self.tally.failed += 1
            self.first_failure = self.first_failure or end.error
        self.stopped = self.stopped or self._limit.exceeded(end.error)

    def _show(self, records: Sequence[tuple[RowCall, CallEnd, Any]]) -> None:
        if self._live is None:
            return
        taken = self.request.taken | {*self.request.design.names, "error"}
        batch = []
        for entry, end, value in records:
            if end.error:
                batch.append((entry.place, TableRecord(entry.row, {}, end.error)))
            else:
                batch.append((entry.place, recorded(entry.row, value, taken)))
                self._unreadable += bool(batch[-1][1].error)
        self._live.add(batch)
        self._live.flush()

    # -- the end ---------------------------------------------------------------------------------------------

    def table(self) -> Tabulation:
        """Return the table of what has ended so far."""
        return tabulated(self.book, self.request.taken)

    def finish(self) -> None:
        """Write the table. Raises InvalidRequest for what its format cannot hold, OSError."""
        if not self.ended_early and not self.book.open_calls():
            self.book.drop_groups()
            self.book.set("finished", True)
        self.book.commit()
        if self._live is not None:
            self._live.finish()
        elif self.request.out is not None and self.format is not None:
            table = self.table()
            with replaced_path(self.request.out) as new:
                self.format.write(new, table)
            self._unreadable = sum(record.error.startswith(UNREADABLE) for record in table.records())

    @property
    def resumed(self) -> bool:
        """Whether it goes on with an earlier one."""
        return self._resumed

    @property
    def ended_early(self) -> bool:
        """Whether an interrupt, or too many failures, ended it."""
        return self._interrupted or bool(self.stopped)

    @property
    def unwritable(self) -> int:
        """Rows of the table that could not be written as they are."""
        return self._unreadable + (0 if self._live is None else self._live.unwritable)

    def close(self) -> None:
        """Let others have the files. Once it is closed, or abandoned, nothing more happens."""
        if not self._closed:
            self._closed = True
            if self._live is not None:
                self._live.abandon()
            self.book.close()

    def abandon(self) -> None:
        """End the same after an error, without a word."""
        if not self._closed:
            self._closed = True
            if self._live is not None:
                self._live.abandon()
            self.book.abandon()
