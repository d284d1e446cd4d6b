"""Bob's single task beside Ann's queue.

    python -m benchmarks.beside [--queued 100000] [--tasks 40] [--output FILE]

A shared service with two users. Ann's program has so many tasks queued, in a process of its own; Bob submits one task
after the other and waits for each. The same tasks of Bob's are measured on the idle service before and after, because
the machine may be busy with other things: the figure is the ratio of the medians, and the aim is at most 2.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import work
from compute_executor.service.endpoints.ids import BUILT_IN

ROOT = Path(__file__).resolve().parent.parent
AIM = 2.0
COMMAND = [sys.executable, "-c", "from compute_executor.cli import main; main()"]


class Case(NamedTuple):
    """What Ann queues, with which function and argument; what Bob submits, likewise. ``how``: over an Executor of
    their own, or the Client's default pool."""

    name: str
    how: str
    hers: tuple[str, float]
    his: tuple[str, float]


CASES = [
    Case("no-ops, Executors", "executor", ("successor", 1), ("successor", 1)),
    Case("0.02 s of work, Executors", "executor", ("burn", 0.02), ("burn", 0.05)),
    Case("0.02 s of sleep, Executors", "executor", ("nap", 0.02), ("nap", 0.05)),
    Case("0.02 s of work, default pools", "client", ("burn", 0.02), ("burn", 0.05)),
]


class Found(NamedTuple):
    """Medians in milliseconds."""

    case: str
    idle: float
    beside: float
    left: int

    @property
    def ratio(self) -> float:
        """How much longer beside Ann."""
        return self.beside / self.idle


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("--queued", type=int, default=100_000, help="tasks of Ann's")
    parser.add_argument("--tasks", type=int, default=40, help="of Bob's, in each measurement")
    parser.add_argument("--output", type=Path, help="a file for the figures as JSON")
    parser.add_argument("--ann", nargs=5, metavar=("URL", "TOKEN", "HOW", "FUNCTION", "ARGUMENT"))
    chosen = parser.parse_args()
    if chosen.ann:
        _ann(*chosen.ann, chosen.queued)
        return
    found = []
    print(f"{'case':<32}{'idle ms':>9}{'beside':>9}{'ratio':>7}{'still queued':>14}")
    for case in CASES:
        found.append(measure(case, chosen.queued, chosen.tasks))
        idle, beside, left = found[-1][1:]
        print(f"{case.name:<32}{idle:>9.2f}{beside:>9.2f}{found[-1].ratio:>7.2f}{left:>14,}", flush=True)
    if chosen.output:
        chosen.output.write_text(json.dumps([one._asdict() for one in found], indent=1))


def measure(case: Case, queued: int, tasks: int) -> Found:
    """Measure one case on a service of its own."""
    with _service() as (url, ann, bob), _submitter(url, bob, case.how) as submit:
        function, argument = getattr(work, case.his[0]), case.his[1]

        def one() -> float:
            began = time.perf_counter()
            submit(function, argument)
            return (time.perf_counter() - began) * 1000

        for _ in range(5):
            one()
        idle = [one() for _ in range(tasks)]
        program = [sys.executable, "-m", "benchmarks.beside", "--queued", str(queued)]
        hers = [url, ann, case.how, case.hers[0], str(case.hers[1])]
        with subprocess.Popen(
            [*program, "--ann", *hers], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            try:
                assert other.stdout.readline() == "queued\n"
                beside = [one() for _ in range(tasks)]
                left = _open_tasks(url, ann)
            finally:
                other.kill()
    return Found(case.name, statistics.median(idle), statistics.median(beside), left)


@contextmanager
def _submitter(url: str, token: str, how: str) -> Iterator[Callable[..., Any]]:
    """Submits one task and returns its result."""
    from compute_executor import Client, Executor

    with Client(base_url=url, token=token) as client:
        if how == "executor":
            with Executor(client=client) as executor:
                yield lambda function, argument: executor.submit(function, argument).result()
        else:
            registered = {name: client.register_function(getattr(work, name)) for name in ("burn", "nap")}

            def submit(function: Callable[..., Any], argument: float) -> Any:
                task = client.run(argument, function_id=registered[function.__name__])
                while client.get_task(task)["pending"]:
                    time.sleep(0.002)
                return client.get_result(task)

            yield submit


def _ann(url: str, token: str, how: str, function: str, argument: str, queued: int) -> None:
    """Ann's program: queues, says so, waits until it is ended."""
    from compute_executor import Client, Executor

    called, value = getattr(work, function), float(argument)
    with Client(base_url=url, token=token) as client, Executor(client=client) as executor:
        if how == "executor":
            kept = [executor.submit(called, value) for _ in range(queued)]
            while _open_tasks(url, token) + sum(future.done() for future in kept) < queued // 2:
                time.sleep(0.01)
        else:
            kept = []
            batch, known = client.create_batch(), client.register_function(called)
            for _ in range(queued):
                batch.add(known, [value])
            client.batch_run(str(BUILT_IN), batch)
        print("queued", flush=True)
        time.sleep(3600)
        del kept


def _open_tasks(url: str, token: str) -> int:
    from compute_executor import Client

    with Client(base_url=url, token=token) as client:
        figures = client.get_endpoint_status(BUILT_IN)["details"]["tasks"]
        return sum(figures[state] for state in ("queued", "leased", "began"))


@contextmanager
def _service() -> Iterator[tuple[str, str, str]]:
    """A shared service: its address, the tokens of Ann and Bob."""
    from compute_executor.local.state import read_announcement

    with tempfile.TemporaryDirectory() as home:
        state = Path(home, "state")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COMPUTE_EXECUTOR_HOME": home}

        def command(*words: str) -> str:
            done = subprocess.run(
                [*COMMAND, *words, "--state", str(state)],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
            return done.stdout.strip()

        tokens = []
        for user in ("ann", "bob"):
            command("user", "add", user)
            tokens.append(command("token", "new", user))
        serve = [
            "serve",
            "--auth",
            "token",
            "--trust-all-users",
            "--port",
            "0",
            "--durability",
            "process",
            "--state",
            str(state),
        ]
        with subprocess.Popen([*COMMAND, *serve], env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                while (found := read_announcement(state)) is None:
                    assert process.poll() is None
                    time.sleep(0.01)
                yield found.url, tokens[0], tokens[1]
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
