"""The contract tests with calls that go to an endpoint, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.endpoint.agent.running import environment

CONTRACT = Path(__file__).parents[2] / "tests" / "contract"


def contract_holds(name: str) -> None:
    """What any `concurrent.futures.Executor` must do holds on the endpoint of this name, which has two workers."""
    options = ("-q", "-p", "no:cacheprovider", "-W", "default", "-m", "not slow")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", CONTRACT, *options],
        cwd=CONTRACT.parents[1],
        env=environment(CONTRACT_ENDPOINT=name),
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"\n{name}: {done.stdout.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout[-6000:]
