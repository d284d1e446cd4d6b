"""docs/benchmarks-engines.md: what `benchmarks.engines` has found."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS, DIRECT = "through compute_executor", "directly"
Figures = dict[str, float]
RATE, ONE, BODIES, ONE_BODY = "many", "one", "bodies", "one_body"

PAGE = """# Benchmarks: engines of others

Written by `python -m benchmarks.engines`; not edited by hand. Our Executor on an endpoint whose engine is dask,
Parsl, Slurm, MPI, Ray or a pool of processes, beside that engine's own executor, each with two workers on this
machine, each measurement in a fresh process, {rounds}. Judge by ratios, and these by the
load that is noted.{absent}

{facts}

## Figures

{figures}

The tasks are importable functions: one that adds 1, and one that returns the random megabyte that it is given. Dask
has a scheduler and two workers as processes; Parsl its HTEX with a block on this machine, as `ParslPoolExecutor`, and
with Slurm its HTEX in a job; MPI is `MPIPoolExecutor` with its default back-off; Ray is `ray.remote`; `factory` is
`ProcessPoolExecutor(2)`, which stores nothing and sends nothing over a network.

## Aims

{aims}
"""

ROWS = {
    RATE: ("10,000 at once: tasks/s ↑", 1.0),
    ONE: ("one alone: ms ↓", 1000.0),
    BODIES: ("1 MB there and back, 50 at once: calls/s ↑", 1.0),
    ONE_BODY: ("1 MB there and back, alone: ms ↓", 1000.0),
}
AIMED = {"dask": 10.0, "parsl": 10.0, "slurm": 10.0, "mpi": 3.0, "ray": 10.0}
"""How many times as many tasks a second, by engine. The pool of processes, of one machine, is shown beside them."""

Found = dict[str, dict[str, list[Figures]]]


def page(found: Found, absent: dict[str, str], loads: list[float], begun: float) -> str:
    """The page. ``absent``: engines that are left out, and why; ``loads``: the load average before each round;
    ``begun``: Unix time."""
    reasons = "; ".join(f"{engine} ({reason})" for engine, reason in absent.items())
    return PAGE.format(
        absent=f" Left out, for it is not on this machine: {reasons}." if absent else "",
        rounds="1 round" if len(loads) == 1 else f"{len(loads)} rounds: median (lowest to highest)",
        facts=_facts(found, loads, begun),
        figures=_figures(found),
        aims=_aims(found),
    )


def _facts(found: Found, loads: list[float], begun: float) -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    names = {"dask": "distributed", "parsl": "parsl", "mpi": "mpi4py", "ray": "ray"}
    versions = ", ".join(
        f"{name} {metadata.version(name)}" for engine, name in names.items() if engine in found
    )
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(begun))
    load = ", ".join(f"{one:.2f}" for one in loads)
    return (
        f"{when}, commit {commit}; {os.cpu_count()} cores, Linux {platform.release()}, Python "
        f"{platform.python_version()}; {versions}. Load average before each round: {load}. Took "
        f"{(time.time() - begun) / 60:.0f} minutes."
    )


def _figures(found: Found) -> str:
    lines = [f"| engine | figure | {OURS} | {DIRECT} |", "|---|---|---|---|"]
    for engine, sides in found.items():
        for name, (words, scale) in ROWS.items():
            cells = [_cell([one[name] * scale for one in sides[who]]) for who in (OURS, DIRECT)]
            lines.append(f"| {engine} | {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    return f"{_short(statistics.median(values))} ({_short(min(values))} to {_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aims(found: Found) -> str:
    lines = ["| engine | ratio | aim | measured | reached |", "|---|---|---|---|---|"]
    for engine, sides in found.items():
        if (factor := AIMED.get(engine)) is None:
            continue
        for name, bound, most in (
            (RATE, factor, False),
            (ONE, 1.0, True),
            (BODIES, 1.0, False),
            (ONE_BODY, 1.0, True),
        ):
            ours, theirs = (statistics.median(one[name] for one in sides[who]) for who in (OURS, DIRECT))
            ratio = ours / theirs
            reached = ratio <= bound if most else ratio >= bound
            words = f"{'at most' if most else 'at least'} {bound:g}"
            verdict = "yes" if reached else "**no**"
            lines.append(f"| {engine} | {ROWS[name][0]} | {words} | {ratio:.3g} | {verdict} |")
    return "\n".join(lines)
