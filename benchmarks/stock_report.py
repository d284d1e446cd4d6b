"""docs/benchmarks-stock.md: what `benchmarks.stock` has found."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from benchmarks.stock_client import BULK, OURS, ROOT, STOCK, UNLIMITED, Samples

PAGE = """# Benchmarks: a stock Globus Compute endpoint

Written by `make bench` (`python -m benchmarks.stock`); not edited by hand. Our Executor and that of the official SDK,
one after the other through the same service of ours, the same RabbitMQ and the same unmodified endpoint with two
worker threads, each in a fresh process, {rounds} rounds interleaved: median (lowest to highest). Tasks do nothing.
The benchmarks on our own workers are in [benchmarks.md](benchmarks.md).

{facts}

## Figures

{figures}

A single task is submitted when the one before has come back and a pause of random length is over. As shipped, the
official SDK lets four such submits through in 16 s; without its rate limit means `api_burst_limit=8,
api_burst_window_s=1`, as far as it lets itself be set. The endpoint sends results twice a second, which is in every
figure.

## Aims

{aims}
"""


class Aim(NamedTuple):
    """A bound on the ratio of our median to that of another."""

    what: str
    figure: str
    beside: str
    bound: float
    most: bool

    def ratio(self, found: Samples) -> float:
        """Ours to theirs."""
        return _median(found, OURS, self.figure) / _median(found, self.beside, self.figure)

    def row(self, found: Samples) -> str:
        """Of the table."""
        ratio = self.ratio(found)
        reached = ratio <= self.bound if self.most else ratio >= self.bound
        words = f"{'at most' if self.most else 'at least'} {self.bound:g}"
        return f"| {self.what} | {words} | {ratio:.3g} | {'yes' if reached else '**no**'} |"


AIMS = (
    Aim("one task, to the official SDK as shipped", "latency", STOCK, 0.1, most=True),
    Aim("one task, to the official SDK without its rate limit", "latency", UNLIMITED, 0.5, most=True),
    *(
        Aim(f"{tasks:,} at once: tasks/s, to the official SDK", f"rate {tasks}", UNLIMITED, 1.0, most=False)
        for tasks in BULK
    ),
)


def figures(found: Samples) -> str:
    """The table of figures."""
    names = {"latency": "one task: submit to result, s ↓"}
    names.update((f"rate {tasks}", f"{tasks:,} at once: tasks/s ↑") for tasks in BULK)
    lines = ["| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    lines += [
        "| " + " | ".join([words, *(_cell(found, who, name) for who in found)]) + " |"
        for name, words in names.items()
    ]
    return "\n".join(lines)


def write(found: Samples, loads: list[float], seconds: float, folder: Path) -> None:
    """The page, into ``folder``."""
    aims = ["| ratio | aim | measured | reached |", "|---|---|---|---|", *(aim.row(found) for aim in AIMS)]
    text = PAGE.format(
        rounds=len(loads), facts=_facts(loads, seconds), figures=figures(found), aims="\n".join(aims)
    )
    folder.mkdir(exist_ok=True)
    (folder / "benchmarks-stock.md").write_text(text)


def _median(found: Samples, who: str, figure: str) -> float:
    return statistics.median(one[figure] for one in found[who])


def _cell(found: Samples, who: str, figure: str) -> str:
    values = [one[figure] for one in found[who] if figure in one]
    if not values:
        return "-"
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def _facts(loads: list[float], seconds: float) -> str:
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    requirements = (ROOT / "integration" / "stock" / "requirements.txt").read_text().splitlines()
    peers = [line.replace("==", " ") for line in requirements if "==" in line]
    versions = ", ".join([*peers, *(f"{name} {metadata.version(name)}" for name in ("pika", "dill"))])
    load = ", ".join(f"{one:.2f}" for one in loads)
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, commit {commit}; {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}; {versions}. "
        f"Load average before each round: {load}. Took {seconds / 60:.0f} minutes."
    )
