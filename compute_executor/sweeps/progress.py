"""How far a sweep is: a bar on a terminal, a plain line now and then elsewhere (a log, a batch job)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from compute_executor.progress_bar import can_draw
from compute_executor.sweeps.tally import Tally

LINE_INTERVAL = 5.0
"""Seconds between two plain lines: often enough to see that it lives, seldom enough for a log of a day."""


@contextmanager
def shown(
    tally: Tally, stream: TextIO, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[], None]]:
    """Show ``tally`` on ``stream`` until the block ends. Call what is given whenever the tally has changed."""
    with _bar(tally, stream, clock) if can_draw(stream) else _lines(tally, stream, clock) as changed:
        yield changed


@contextmanager
def _bar(tally: Tally, stream: TextIO, clock: Callable[[], float]) -> Iterator[Callable[[], None]]:
    from rich.console import Console  # 0.1 s, which a sweep without a bar need not wait for
    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.table import Column
    from rich.text import Text

    started = clock()

    class Figures(ProgressColumn):
        """The tally's text, made anew at every refresh: the remaining time falls while nothing ends."""

        max_refresh = 0.2

        def render(self, task: Task) -> Text:  # noqa: ARG002 - the base class's signature
            return Text(tally.text(clock() - started))

    figures = Figures(Column(no_wrap=True))
    with Progress(BarColumn(bar_width=None), figures, console=Console(file=stream), expand=True) as progress:
        bar = progress.add_task("", total=tally.total)
        yield lambda: progress.update(bar, completed=tally.done)


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
