"""How far a sweep is: a bar on a terminal, a plain line now and then elsewhere (a log, a batch job)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.table import Column
from rich.text import Text

LINE_INTERVAL = 5.0
"""Seconds between two plain lines: often enough to see that it lives, seldom enough for a log of a day."""


@dataclass
class Tally:
    """The figures of a running sweep. ``skipped``: answered by an earlier run; they do not count for the rate."""

    total: int
    ended: int = 0
    failed: int = 0
    skipped: int = 0

    def text(self, seconds: float) -> str:
        """One line, ``seconds`` after the start.

        >>> Tally(total=3600, ended=1200, failed=2).text(2.0)
        '1,200/3,600 rows, 600/s, 0:00:04 left, 2 failed'
        """
        done = self.ended + self.skipped
        rate = self.ended / seconds if seconds > 0 else 0.0
        left = duration((self.total - done) / rate) if rate else "-:--:--"
        return f"{done:,}/{self.total:,} rows, {_per_second(rate)}, {left} left, {self.failed:,} failed"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: ``0:01:05``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


@contextmanager
def shown(
    tally: Tally, stream: TextIO, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[], None]]:
    """Show ``tally`` on ``stream`` until the block ends. Call what is given whenever the tally has changed."""
    console = Console(file=stream)
    with _bar(tally, console, clock) if console.is_terminal else _lines(tally, stream, clock) as changed:
        yield changed


@contextmanager
def _bar(tally: Tally, console: Console, clock: Callable[[], float]) -> Iterator[Callable[[], None]]:
    started = clock()
    figures = _Figures(lambda: tally.text(clock() - started))
    with Progress(BarColumn(bar_width=None), figures, console=console, expand=True) as progress:
        bar = progress.add_task("", total=tally.total)
        yield lambda: progress.update(bar, completed=tally.ended + tally.skipped)


class _Figures(ProgressColumn):
    """The tally's text, made anew at every refresh: the remaining time falls while nothing ends."""

    max_refresh = 0.2

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__(Column(no_wrap=True))
        self._text = text

    def render(self, task: Task) -> Text:  # noqa: ARG002 - the base class's signature
        return Text(self._text())


@contextmanager
def _lines(tally: Tally, stream: TextIO, clock: Callable[[], float]) -> Iterator[Callable[[], None]]:
    started = last = clock()

    def changed() -> None:
        nonlocal last
        now = clock()
        if now - last >= LINE_INTERVAL:
            last = now
            print(tally.text(now - started), file=stream, flush=True)

    yield changed
