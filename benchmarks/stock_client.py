"""One measurement for `benchmarks.stock`, in a process of its own, of our Executor or the official one. It runs as a
script in either Python, so it imports nothing of ours before it must."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from concurrent.futures import Executor, wait
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
URL = "http://localhost:5000"
Samples = dict[str, list[dict[str, float]]]
"""The figures of all measurements, by who was measured."""
BULK = (1_000, 10_000)
"""Tasks that are submitted at once."""
OURS, STOCK, UNLIMITED = "compute_executor", "globus-compute-sdk", "globus-compute-sdk, no rate limit"

PAUSE = 1.0
"""Seconds between single tasks, at most: two periods of the endpoint, so that each moment of one is as likely."""

WARM_UP = 4
"""Single tasks before the clock starts: so many the stock SDK lets through in a burst, before it slows down."""


def no_op(x: int) -> int:
    """The task."""
    return x


def connect(who: str, endpoint_id: str) -> Executor:
    """The executor to be measured."""
    if who == OURS:
        sys.path.insert(0, str(ROOT))
        import compute_executor

        return compute_executor.Executor(endpoint_id, client=compute_executor.Client(base_url=URL))
    import globus_compute_sdk  # type: ignore[import-not-found]

    limits = {} if who == STOCK else {"api_burst_limit": 8, "api_burst_window_s": 1}
    executor: Executor = globus_compute_sdk.Executor(endpoint_id=endpoint_id, **limits)
    return executor


def latency(executor: Executor, count: int) -> float:
    """Seconds from one submit to its result, median."""
    times = []
    for number in range(count):
        time.sleep(PAUSE * random.random())
        began = time.perf_counter()
        assert executor.submit(no_op, number).result(300) == number
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def rate(executor: Executor, count: int) -> float:
    """Tasks a second of ``count`` submitted at once."""
    began = time.perf_counter()
    futures = [executor.submit(no_op, number) for number in range(count)]
    wait(futures, 300)
    assert [future.result(0) for future in futures] == list(range(count))
    return count / (time.perf_counter() - began)


def measure(who: str, endpoint_id: str, count: int) -> dict[str, float]:
    """The figures of one process."""
    with connect(who, endpoint_id) as executor:
        assert executor.submit(no_op, 7).result(300) == 7  # registers, and has a worker started
        latency(executor, WARM_UP)
        found = {"latency": latency(executor, 4 if who == STOCK else count)}
        if who != STOCK:  # its limit concerns single tasks only
            found.update((f"rate {tasks}", rate(executor, tasks)) for tasks in BULK)
    return found


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description="One measurement of `benchmarks.stock`.")
    parser.add_argument("endpoint_id")
    parser.add_argument("--who", choices=(OURS, STOCK, UNLIMITED), required=True)
    parser.add_argument("--count", type=int, required=True)
    given = parser.parse_args()
    print(json.dumps(measure(given.who, given.endpoint_id, given.count)))


if __name__ == "__main__":
    main()
