"""What a print costs: bursts of tasks that print one line each beside bursts of tasks that do not.

    python -m benchmarks.printing [--tasks 3000] [--rounds 7] > /dev/null

Both kinds run in turn on one Executor, because the machine may be busy with other things. The figure is the ratio of
the medians, and the aim is at most 1.1. It is written to stderr, as stdout gets the lines.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

from compute_executor import Executor

AIM = 1.1


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.printing", description=__doc__)
    parser.add_argument("--tasks", type=int, default=3000, help="in each burst")
    parser.add_argument("--rounds", type=int, default=7, help="bursts of each kind")
    chosen = parser.parse_args()
    silent: list[float] = []
    printing: list[float] = []
    with Executor(max_workers=2) as executor:
        for round_number in range(chosen.rounds + 1):
            seconds = burst(executor, _silent, chosen.tasks), burst(executor, _printing, chosen.tasks)
            if round_number:  # the first one starts workers
                silent.append(seconds[0])
                printing.append(seconds[1])
    without, with_line = (statistics.median(times) / chosen.tasks * 1e6 for times in (silent, printing))
    print(
        f"one line a task {with_line:.0f} us, none {without:.0f} us: ratio {with_line / without:.2f}, aim {AIM}",
        file=sys.stderr,
    )


def burst(executor: Executor, function: Callable[[int], int], tasks: int) -> float:
    """Seconds for so many tasks."""
    begin = time.perf_counter()
    for future in [executor.submit(function, number) for number in range(tasks)]:
        future.result()
    return time.perf_counter() - begin


def _silent(number: int) -> int:
    return number


def _printing(number: int) -> int:
    print("a line of a task", number)
    return number


if __name__ == "__main__":
    main()
