"""Our Executor beside the official one: same service, same RabbitMQ, same stock endpoint, one after the other.

    python -m benchmarks.stock [--rounds 4] [--output docs]

starts RabbitMQ, our service and an unmodified Globus Compute endpoint as integration/stock does, measures, and writes
benchmarks-stock.md. Each measurement is a process of its own; a round runs all of them, in an order that turns from
round to round. Between two single tasks there is a pause of random length: the endpoint sends results twice a second,
and who submits in step with that measures nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import stock_client, stock_report
from benchmarks.stock_client import OURS, STOCK, UNLIMITED, Samples

if TYPE_CHECKING:
    from integration.stock.conftest import World


def run(world: World, rounds: int, count: int) -> tuple[Samples, list[float]]:
    """Every measurement so many times, and the load before each round."""
    found: Samples = {OURS: [], STOCK: [], UNLIMITED: []}
    loads, order = [], list(found)
    for number in range(rounds):
        loads.append(os.getloadavg()[0])
        print(f"round {number + 1} of {rounds}, load {loads[-1]:.1f}", flush=True)
        for who in order:
            sdk = world.ours if who == OURS else world.sdk
            one = sdk.run(
                stock_client.__file__, world.endpoint.id, "--who", who, "--count", str(count), patience=900
            )
            print(
                f"  {who:36} " + "  ".join(f"{name} {value:.4g}" for name, value in one.items()), flush=True
            )
            found[who].append(one)
        order.append(order.pop(0))
    return found, loads


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--count", type=int, default=30, help="single tasks of a measurement")
    parser.add_argument("--output", type=Path, help="folder for benchmarks-stock.md (none: print only)")
    measure_all(parser.parse_args())


def measure_all(given: argparse.Namespace) -> None:
    """Start the peers, measure, report."""
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
