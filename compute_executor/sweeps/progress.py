"""How far a sweep is: a bar on a terminal, a plain line now and then elsewhere (a log, a batch job)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.table import Column
from rich.text import Text

from compute_executor.sweeps.tally import Tally

LINE_INTERVAL = 5.0
"""Seconds between two plain lines: often enough to see that it lives, seldom enough for a log of a day."""


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
        yield lambda: progress.update(bar, completed=tally.done)


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
