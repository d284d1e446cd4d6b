"""A progress bar over futures or results: in a terminal, or in a notebook where ipywidgets are installed.

Drawn on stderr, so that what a program prints stays clean. Where stderr is no terminal, one line at the end says how
it went.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")


class _Counter:
    """What has ended. ``changed`` is called with each change."""

    def __init__(self, total: int | None, changed: Callable[[_Counter], None]) -> None:
        self.total = total
        self.ended = 0
        self.failed = 0
        self._changed = changed

    def count(self, *, failed: bool) -> None:
        """Count one more."""
        self.ended += 1
        self.failed += failed
        self._changed(self)

    def text(self, seconds: float) -> str:
        """Return the figures, ``seconds`` after the start."""
        rate = self.ended / seconds if seconds > 0 else 0.0
        speed = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        of = f"/{self.total:,}" if self.total is not None else ""
        return f"{self.ended:,}{of}, {speed}{f', {self.failed:,} failed' if self.failed else ''}"


def progress(
    futures: Iterable[Future[T]], *, label: str = "", timeout: float | None = None
) -> Iterator[Future[T]]:
    """Yield futures as they end, and show how far they are: how many, how fast, how long still, how many failed.

    ``label`` stands before the bar. ``timeout``: seconds from now, as for `concurrent.futures.as_completed`, which
    this is apart from the bar. Raises TimeoutError.

    >>> from compute_executor import Executor, progress
    >>> with Executor(2) as ex:
    ...     done = [future.result() for future in progress([ex.submit(abs, -n) for n in range(3)])]
    >>> sorted(done)
    [0, 1, 2]
    """
    waiting = list(futures)
    with _shown(label, len(set(waiting))) as counter:
        for future in as_completed(waiting, timeout):
            counter.count(failed=future.cancelled() or future.exception() is not None)
            yield future


def over_results(results: Iterator[T], total: int | None, label: str = "") -> Iterator[T]:
    """Yield what ``results`` yields, and show how far it is. ``total``: how many there are, if that is known."""
    with _shown(label, total) as counter:
        try:
            for value in results:
                counter.count(failed=False)
                yield value
        except Exception:
            counter.count(failed=True)
            raise
        finally:
            close = getattr(results, "close", None)
            if close is not None:
                close()


@contextmanager
def _shown(label: str, total: int | None) -> Iterator[_Counter]:
    started = time.monotonic()
    if not can_draw(sys.stderr):
        counter = _Counter(total, lambda _: None)
        try:
            yield counter
        finally:
            seconds = time.monotonic() - started
            print(
                f"{label + ': ' if label else ''}{counter.text(seconds)} in {seconds:.1f} s", file=sys.stderr
            )
        return
    with _bar() as bar:
        task = bar.add_task(label, total=total, text="")

        def changed(counter: _Counter) -> None:
            bar.update(task, completed=counter.ended, text=counter.text(time.monotonic() - started))

        yield _Counter(total, changed)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        expand=True,
    )


def can_draw(stream: TextIO) -> bool:
    """Return whether a bar can move on ``stream``: a terminal, or a Jupyter kernel, which shows it if ipywidgets are
    installed."""
    if "ipykernel" in sys.modules:
        return importlib.util.find_spec("ipywidgets") is not None
    return stream.isatty()
