"""Our Executor beside the official one: same service, same RabbitMQ, same stock endpoint, one after the other.

    compute-executor serve --amqp-url ...          on port 5000, where the stock peers look
    globus-compute-endpoint start ...              registered there
    python -m benchmarks.stock ENDPOINT_ID --stock-python .../venv/bin/python [--rounds 3]

Each measurement is a process of its own; a round runs all of them, in an order that turns from round to round.
Between two single tasks there is a pause of random length: the endpoint sends results twice a second, and who
submits in step with that measures nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from concurrent.futures import Executor, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
URL = "http://localhost:5000"
OURS, STOCK, UNLIMITED = "compute_executor", "globus-compute-sdk", "globus-compute-sdk, no rate limit"

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


def latency(executor: Executor, count: int, step: float) -> float:
    """Seconds from one submit to its result, median."""
    times = []
    for number in range(count):
        time.sleep(step * random.random())
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


def measure(who: str, endpoint_id: str, count: int, tasks: int) -> dict[str, float]:
    """The figures of one process."""
    with connect(who, endpoint_id) as executor:
        assert executor.submit(no_op, 7).result(300) == 7  # registers, and has a worker started
        latency(executor, WARM_UP, 0.6)
        found = {"latency": latency(executor, 4 if who == STOCK else count, 0.6)}
        if who != STOCK:
            found["rate"] = rate(executor, tasks)
    return found


# -- all of them ----------------------------------------------------------------------------------------------


def run(who: str, given: argparse.Namespace) -> dict[str, float]:
    """One measurement in a process of its own."""
    python = sys.executable if who == OURS else given.stock_python
    command = [python, __file__, given.endpoint_id, "--who", who]
    command += ["--count", str(given.count), "--tasks", str(given.tasks)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=900, env=_environment())
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    print(f"  {who:36} " + "  ".join(f"{name} {value:.4g}" for name, value in found.items()), flush=True)
    return found


def _environment() -> dict[str, str]:
    """Where the stock SDK finds the service."""
    return {
        **os.environ,
        "GLOBUS_SDK_ENVIRONMENT": "local",
        "GLOBUS_SDK_SERVICE_URL_AUTH": f"{URL}/",
    }


def report(found: dict[str, list[dict[str, float]]]) -> str:
    """Medians over the rounds, and our ratios to the others."""

    def median(who: str, figure: str) -> float:
        return statistics.median(one[figure] for one in found[who])

    ours, bulk = median(OURS, "latency"), median(OURS, "rate")
    return "\n".join(
        [
            f"one task:    ours {ours:.3f} s; the official SDK as shipped {median(STOCK, 'latency'):.3f} s "
            f"(ratio {ours / median(STOCK, 'latency'):.2f}), without its rate limit "
            f"{median(UNLIMITED, 'latency'):.3f} s (ratio {ours / median(UNLIMITED, 'latency'):.2f})",
            f"many at once: ours {bulk:.0f} tasks/s, the official SDK {median(UNLIMITED, 'rate'):.0f} "
            f"(ratio {bulk / median(UNLIMITED, 'rate'):.2f})",
        ]
    )


def main() -> None:
    """Measure, as one process or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("endpoint_id")
    parser.add_argument("--stock-python", default="python3", help="a Python with globus-compute-sdk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=15, help="single tasks of a measurement")
    parser.add_argument("--tasks", type=int, default=1000, help="tasks at once")
    parser.add_argument("--who", choices=(OURS, STOCK, UNLIMITED), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.who:
        print(json.dumps(measure(given.who, given.endpoint_id, given.count, given.tasks)))
        return
    found: dict[str, list[dict[str, Any]]] = {OURS: [], STOCK: [], UNLIMITED: []}
    order = list(found)
    for number in range(given.rounds):
        print(f"round {number + 1} of {given.rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
        for who in order:
            found[who].append(run(who, given))
        order.append(order.pop(0))
    print(report(found))


if __name__ == "__main__":
    main()
