"""Our Executor beside the official one: same service, same RabbitMQ, same stock endpoint, one after the other.

    python -m benchmarks.stock [--rounds 4] [--output docs]

starts RabbitMQ, our service and an unmodified Globus Compute endpoint as integration/stock does, measures, and writes
benchmarks-stock.md. Each measurement is a process of its own; a round runs all of them, in an order that turns from
round to round. Between two single tasks there is a pause of random length: the endpoint sends results twice a second,
and who submits in step with that measures nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import Executor, wait
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.stock.conftest import World

ROOT = Path(__file__).resolve().parent.parent
URL = "http://localhost:5000"
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


# -- a measurement: runs in either Python, so it imports nothing of ours before it must -----------------------


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


# -- all of them ----------------------------------------------------------------------------------------------

Samples = dict[str, list[dict[str, float]]]


def run(world: World, rounds: int, count: int) -> tuple[Samples, list[float]]:
    """Every measurement so many times, and the load before each round."""
    found: Samples = {OURS: [], STOCK: [], UNLIMITED: []}
    loads, order = [], list(found)
    for number in range(rounds):
        loads.append(os.getloadavg()[0])
        print(f"round {number + 1} of {rounds}, load {loads[-1]:.1f}", flush=True)
        for who in order:
            sdk = world.ours if who == OURS else world.sdk
            one = sdk.run(__file__, world.endpoint.id, "--who", who, "--count", str(count), patience=900)
            print(
                f"  {who:36} " + "  ".join(f"{name} {value:.4g}" for name, value in one.items()), flush=True
            )
            found[who].append(one)
        order.append(order.pop(0))
    return found, loads


def main() -> None:
    """Measure, as one process or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("endpoint_id", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--count", type=int, default=30, help="single tasks of a measurement")
    parser.add_argument("--output", type=Path, help="folder for benchmarks-stock.md (none: print only)")
    parser.add_argument("--who", choices=(OURS, STOCK, UNLIMITED), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.who:
        print(json.dumps(measure(given.who, given.endpoint_id, given.count)))
        return
    measure_all(given)


def measure_all(given: argparse.Namespace) -> None:
    """Start the peers, measure, report."""
    from benchmarks import stock_report
    from integration.debian import CannotInstall
    from integration.stock.conftest import World

    began = time.time()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            world = World.installed(Path(folder))
        except CannotInstall as error:
            sys.exit(f"not measured: {error}")
        try:
            world.start()
            found, loads = run(world, given.rounds, given.count)
        finally:
            world.stop()
    print("\n" + stock_report.figures(found))
    if given.output:
        stock_report.write(found, loads, time.time() - began, given.output)


if __name__ == "__main__":
    main()
