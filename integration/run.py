"""Runs what judges this project from outside its own environment.

    python -m integration.run [cpython] [contract] [tools] [containers] [stock] [--quick]

cpython   CPython's tests of its own pools, on our Executor, by every Python of this machine that ships them
contract  the examples of the standard library's documentation, on every Python of this machine, and tests/contract on
          the others than the one that runs this, on which `make test` runs them with all other tests
tools     integration/tools, in an environment that has the tools
containers  integration/containers: functions in images, by podman, which is installed if it is absent and root asks;
            where it cannot run here, the reason is among the skipped
stock     integration/stock: unmodified Globus Compute SDK and endpoint on our service, with a RabbitMQ of their own,
          installed if it is absent and root asks; what could not be installed is said in the last lines

Without a name: all. Each Python gets a virtual environment, made when it is needed (integration/pythons.py).
`--quick`: only the Python that runs this, and no tests marked slow. The last lines are the counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from integration import pythons
from integration.cpython.left_out import LEFT_OUT

PARTS = ("cpython", "contract", "tools", "containers", "stock")
TOOLS_PYTHON = "3.11."
"""The Python that integration/tools/requirements.txt was made for; another is tried where it is absent."""


class Outcome(NamedTuple):
    """What one part gave on one Python."""

    part: str
    python: str
    passed: bool
    words: str


def main(arguments: list[str]) -> int:
    """0 if everything that was asked for passed."""
    parser = argparse.ArgumentParser(prog="python -m integration.run")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(arguments)
    found = pythons.found()
    here = {version: python for version, python in found.items() if python == Path(sys.executable)}
    chosen = here if asked.quick else found
    outcomes: list[Outcome] = []
    for part in asked.parts or PARTS:
        outcomes += RUN[part](chosen if part != "tools" else found, asked.quick)
    print("\n" + "\n".join(f"{one.part} on {one.python}: {one.words}" for one in outcomes))
    if any(one.part == "cpython" for one in outcomes):
        print("\n".join(f"left out of cpython: {name}: {reason}" for name, reason in LEFT_OUT.items()))
    return 0 if all(one.passed for one in outcomes) else 1


def cpython(found: dict[str, Path], quick: bool) -> list[Outcome]:
    """The mixins of test.test_concurrent_futures."""
    return [_cpython_on(version, python) for version, python in found.items()]


def _cpython_on(version: str, python: Path) -> Outcome:
    environment = pythons.environment(python, "python", *TEST_REQUIREMENTS)
    code, lines = _in_a_home(environment, "-m", "integration.cpython.suite")
    counted = [line for line in lines if line.startswith('{"shipped"')]
    if not counted:
        return Outcome("cpython", version, False, f"ended with {code} before it had counted")
    counts = json.loads(counted[-1])
    if not counts["shipped"]:
        return Outcome(
            "cpython", version, True, "0 run: this Python does not ship test.test_concurrent_futures"
        )
    words = f"{counts['run']} run, {counts['passed']} passed, {counts['left_out']} left out"
    return Outcome("cpython", version, code == 0, words)


TEST_REQUIREMENTS = ("pytest>=8.3", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "hypothesis>=6.100")
BESIDE = ("-n", "2", "--dist", "worksteal")
"""As in the Makefile: these tests wait for processes more than they compute."""


def contract(found: dict[str, Path], quick: bool) -> list[Outcome]:
    """The contract tests and the examples on each Python."""
    return [
        _pytest(
            "contract",
            version,
            pythons.environment(python, "python", *TEST_REQUIREMENTS),
            *(
                () if python == Path(sys.executable) else ("tests/contract",)
            ),  # `make test` has run them on this
            "integration/stdlib_examples",
            *BESIDE,
            *(("-m", "not slow") if quick else ()),
        )
        for version, python in found.items()
    ]


def tools(found: dict[str, Path], quick: bool) -> list[Outcome]:
    """integration/tools, on the Python that its requirements were made for."""
    version = next((one for one in found if one.startswith(TOOLS_PYTHON)), next(iter(found)))
    environment = pythons.environment(found[version], "tools", "-r", "integration/tools/requirements.txt")
    # What a tool's own dependencies deprecate is not ours to fail on.
    return [_pytest("tools", version, environment, "integration/tools", "-o", "filterwarnings=default")]


def containers(found: dict[str, Path], quick: bool) -> list[Outcome]:
    """integration/containers, on the Python that the system has as well: the image is made of that. All of it is
    slow."""
    minors = {version: version.rpartition(".")[0] for version in found}
    version = next((one for one in found if Path(f"/usr/bin/python{minors[one]}").exists()), list(found)[-1])
    environment = pythons.environment(found[version], "python", *TEST_REQUIREMENTS)
    chosen = ("-rs", "-m", "not slow") if quick else ("-rs",)
    return [_pytest("containers", version, environment, "integration/containers", *chosen)]


def stock(found: dict[str, Path], quick: bool) -> list[Outcome]:
    """integration/stock: RabbitMQ, and the released Globus Compute packages in an environment of their own."""
    version = next((one for one in found if one.startswith(TOOLS_PYTHON)), next(iter(found)))
    environment = pythons.environment(found[version], "python", *TEST_REQUIREMENTS)
    # Shown as it comes (-s): the tests say what was lost and what ran twice.
    chosen = ("-m", "not slow") if quick else ()
    return [
        _pytest("stock", version, environment, "integration/stock", "-s", "-rs", "-W", "default", *chosen)
    ]


def _pytest(part: str, version: str, environment: Path, *arguments: str) -> Outcome:
    code, lines = _in_a_home(environment, "-m", "pytest", "-q", *arguments)
    counts = [line.strip("= ") for line in lines if re.search(r"\d+ (passed|failed|skipped|error)", line)]
    skipped = {line.partition(": ")[2] for line in lines if line.startswith("SKIPPED [")}
    return Outcome(
        part, version, code == 0, "; ".join([counts[-1] if counts else f"ended with {code}", *skipped])
    )


def _in_a_home(*command: Path | str) -> tuple[int, list[str]]:
    """Run `command` with a state folder of its own, from the root of the checkout: its exit code and its lines,
    which are shown as they come."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        environ = {**os.environ, "COMPUTE_EXECUTOR_HOME": home, "COMPUTE_EXECUTOR_IDLE": "2"}
        process = subprocess.Popen(
            command,
            cwd=pythons.ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = []
        with process:
            for line in process.stdout or ():
                sys.stdout.write(line)
                lines.append(line.rstrip("\n"))
        return process.returncode, lines


RUN = {"cpython": cpython, "contract": contract, "tools": tools, "containers": containers, "stock": stock}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
