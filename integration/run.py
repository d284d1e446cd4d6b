"""Runs what judges this project from outside its own environment.

    python -m integration.run [cpython] [contract] [tools] [containers] [stock] [endpoints] [page] [--quick] [--all]

cpython   CPython's tests of its own pools, on our Executor, by every Python of this machine that ships them
contract  the examples of the standard library's documentation, on every Python of this machine, and tests/contract on
          the others than the one that runs this, on which `make test` runs them with all other tests
tools     integration/tools, in an environment that has the tools
containers  integration/containers: functions in images, by podman, which is installed if it is absent and root asks;
            where it cannot run here, the reason is among the skipped
stock     integration/stock: unmodified Globus Compute SDK and endpoint on our service, with a RabbitMQ of their own,
          installed if it is absent and root asks; what could not be installed is said in the last lines. Then
          integration/hosted: our Executor on a stand-in of the hosted service, over RabbitMQ too
endpoints  integration/endpoints: endpoints of ours on a one-node Slurm, installed if it is absent and root asks, on
          dask, Parsl, MPI and a pool of processes; what could not be installed is said in the last lines
page      integration/page: the dashboard in Chromium, which is installed if it is absent and root asks

Without a name: all, two at a time, for they wait more than they compute; what one wrote is shown when it has ended.
Each Python gets a virtual environment, made when it is needed (integration/pythons.py).
`--quick`: only the Python that runs this, and no tests marked slow. `--all`: stock peers of all releases that are
known to work, instead of two pairs, and faults of endpoints that take minutes. The last lines are the counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import NamedTuple

from integration import pythons
from integration.cpython.left_out import LEFT_OUT

PARTS = ("stock", "endpoints", "cpython", "contract", "tools", "page", "containers")
"""The longest first, which leaves the least for one alone at the end."""
AT_A_TIME = 2
TOOLS_PYTHON = "3.11."
"""The Python that integration/tools/requirements.txt was made for; another is tried where it is absent."""


class Outcome(NamedTuple):
    """What one part gave on one Python."""

    passed: bool
    words: str
    lines: Sequence[str]
    """What it wrote."""


class Job(NamedTuple):
    """One part on one Python."""

    part: str
    python: str
    run: Callable[[], Outcome]


def main(arguments: list[str]) -> int:
    """0 if everything that was asked for passed."""
    parser = argparse.ArgumentParser(prog="python -m integration.run")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--all", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.all:
        os.environ["TEST_ALL_RELEASES"] = "1"
    found = pythons.found()
    here = {version: python for version, python in found.items() if python == Path(sys.executable)}
    chosen = here if asked.quick else found
    jobs = [
        job
        for part in asked.parts or PARTS
        for job in RUN[part](found if part == "tools" else chosen, asked.quick)
    ]
    outcomes = dict(_side_by_side(jobs))
    print("\n" + "\n".join(f"{job.part} on {job.python}: {outcomes[job].words}" for job in jobs))
    if not asked.quick and (absent := pythons.absent(found)):
        print(f"left out, for they are not on this machine: Python {', '.join(absent)}")
    if any(job.part == "cpython" for job in jobs):
        print("\n".join(f"left out of cpython: {name}: {reason}" for name, reason in LEFT_OUT.items()))
    return 0 if all(one.passed for one in outcomes.values()) else 1


def _side_by_side(jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
    """Each job with its outcome, as they end, after its lines were shown."""
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running = {pool.submit(job.run): job for job in jobs}
        for future in as_completed(running):
            job, outcome = running[future], future.result()
            after = f"ended {time.monotonic() - begun:.0f} s after the first began"
            print(f"\n== {job.part} on {job.python}, {after}", *outcome.lines, sep="\n", flush=True)
            yield job, outcome


def cpython(found: dict[str, Path], quick: bool) -> list[Job]:
    """The mixins of test.test_concurrent_futures."""
    return [Job("cpython", version, partial(_cpython_on, python)) for version, python in found.items()]


def _cpython_on(python: Path) -> Outcome:
    environment = pythons.environment(python, "python", *TEST_REQUIREMENTS)
    code, lines = _in_a_home(environment, "-m", "integration.cpython.suite")
    counted = [line for line in lines if line.startswith('{"shipped"')]
    if not counted:
        return Outcome(False, f"ended with {code} before it had counted", lines)
    counts = json.loads(counted[-1])
    if not counts["shipped"]:
        return Outcome(True, "0 run: this Python does not ship test.test_concurrent_futures", lines)
    words = f"{counts['run']} run, {counts['passed']} passed, {counts['left_out']} left out"
    return Outcome(code == 0, words, lines)


TEST_REQUIREMENTS = ("pytest>=8.3", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "hypothesis>=6.100")
BESIDE = ("-n", "2", "--dist", "worksteal")
"""As in the Makefile: these tests wait for processes more than they compute."""


CONTRACT = ("tests/contract", "-k", "not fake")
"""Without those on the service of `compute_executor.testing`, which take a third of the time and do not look at what
differs between Pythons."""


def contract(found: dict[str, Path], quick: bool) -> list[Job]:
    """The contract tests and the examples on each Python."""
    chosen = ("integration/stdlib_examples", *BESIDE, *(("-m", "not slow") if quick else ()))
    here = Path(sys.executable)  # on which `make test` has run the contract tests
    return [
        Job("contract", version, _tests(python, *(() if python == here else CONTRACT), *chosen))
        for version, python in found.items()
    ]


def tools(found: dict[str, Path], quick: bool) -> list[Job]:
    """integration/tools, on the Python that its requirements were made for."""
    version = _like(found, TOOLS_PYTHON)
    requirements = ("-r", "integration/tools/requirements.txt")
    # What a tool's own dependencies deprecate is not ours to fail on.
    chosen = ("integration/tools", "-o", "filterwarnings=default")
    return [Job("tools", version, partial(_pytest, found[version], "tools", requirements, *chosen))]


def containers(found: dict[str, Path], quick: bool) -> list[Job]:
    """integration/containers, on the Python that the system has as well: the image is made of that. All of it is
    slow."""
    minors = {version: version.rpartition(".")[0] for version in found}
    version = next((one for one in found if Path(f"/usr/bin/python{minors[one]}").exists()), list(found)[-1])
    chosen = ("-rs", "-m", "not slow") if quick else ("-rs",)
    return [Job("containers", version, _tests(found[version], "integration/containers", *chosen))]


def page(found: dict[str, Path], quick: bool) -> list[Job]:
    """The dashboard in a browser."""
    version = _like(found, TOOLS_PYTHON)
    requirements = (*TEST_REQUIREMENTS, "nicegui>=3.0,<4", "playwright>=1.40")
    chosen = ("integration/page", "-rs", "-W", "default")
    return [Job("page", version, partial(_pytest, found[version], "page", requirements, *chosen))]


def endpoints(found: dict[str, Path], quick: bool) -> list[Job]:
    """Endpoints of ours on engines of others. Not Ray, which needs over a gigabyte: pip install ray and see there.
    Those marked slow take minutes, with --all."""
    version = _like(found, TOOLS_PYTHON)
    requirements = (*TEST_REQUIREMENTS, "parsl>=2024.10", "distributed>=2024.1", "mpi4py>=4", "mpich")
    every = bool(os.environ.get("TEST_ALL_RELEASES"))
    less = ("-k", "factory or wrong") if quick else ()
    left_out = () if every else ("-m", "not slow")
    chosen = ("integration/endpoints", "-rs", "-W", "default", *less, *left_out)
    return [Job("endpoints", version, partial(_pytest, found[version], "endpoints", requirements, *chosen))]


def stock(found: dict[str, Path], quick: bool) -> list[Job]:
    """What needs RabbitMQ, and the released Globus Compute packages in an environment of their own."""
    version = _like(found, TOOLS_PYTHON)
    # With what they print (-s): the tests say what was lost and what ran twice.
    chosen = (
        "integration/stock",
        "integration/hosted",
        "-s",
        "-rs",
        "-W",
        "default",
        *(("-m", "not slow") if quick else ()),
    )
    return [Job("stock", version, _tests(found[version], *chosen))]


def _like(found: dict[str, Path], wanted: str) -> str:
    return next((version for version in found if version.startswith(wanted)), next(iter(found)))


def _tests(python: Path, *arguments: str) -> Callable[[], Outcome]:
    return partial(_pytest, python, "python", TEST_REQUIREMENTS, *arguments)


def _pytest(python: Path, name: str, requirements: tuple[str, ...], *arguments: str) -> Outcome:
    environment = pythons.environment(python, name, *requirements)
    code, lines = _in_a_home(environment, "-m", "pytest", "-q", *arguments)
    counts = [line.strip("= ") for line in lines if re.search(r"\d+ (passed|failed|skipped|error)", line)]
    skipped = {line.partition(": ")[2] for line in lines if line.startswith("SKIPPED [")}
    words = "; ".join([counts[-1] if counts else f"ended with {code}", *skipped])
    return Outcome(code == 0, words, lines)


def _in_a_home(*command: Path | str) -> tuple[int, list[str]]:
    """Run `command` with a state folder of its own, from the root of the checkout: its exit code and its lines."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        environ = {**os.environ, "COMPUTE_EXECUTOR_HOME": home, "COMPUTE_EXECUTOR_IDLE": "2"}
        done = subprocess.run(
            command,
            cwd=pythons.ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout.splitlines()


RUN = {
    "cpython": cpython,
    "contract": contract,
    "tools": tools,
    "containers": containers,
    "page": page,
    "stock": stock,
    "endpoints": endpoints,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
