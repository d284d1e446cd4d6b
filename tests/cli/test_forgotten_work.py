"""A program dies and leaves work behind: it is found, read and ended with the command line alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

DYING = """
import os, time
from compute_executor import Executor

def wait(x):
    if x == 0:
        raise ValueError("no root in this interval")
    if x > 1:
        time.sleep(300)

ex = Executor(max_workers=2, label="fit")
futures = [ex.submit(wait, x) for x in range(10_000)]
futures[1].result()
while sum(future.running() for future in futures) < 2:
    time.sleep(0.01)
os._exit(9)
"""


@pytest.fixture
def forgotten(state_home: Path, tmp_path: Path) -> Iterator[Path]:
    """A script that has died, with 10,000 tasks submitted: one succeeded, one failed, two run."""
    script = tmp_path / "fit.py"
    script.write_text(DYING)
    assert subprocess.run([sys.executable, script], check=False, timeout=60).returncode == 9
    yield script
    run("stop", "--force")


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "compute_executor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def notice() -> str:
    """What an unrelated program prints beside its own output."""
    script = (
        "from compute_executor import Executor\nwith Executor(1) as ex: print(ex.submit(abs, -1).result())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "1\n"
    return done.stderr


def notice_of(group: dict[str, Any]) -> str:
    return (
        "compute_executor: work of programs that have ended is still open here and takes its share of the CPUs:\n"
        f"  9,998 tasks of {group['program']} (fit); end them: compute-executor cancel {group['id'][:8]}\n"
        "  (compute-executor groups lists all)\n"
    )


def fit() -> dict[str, Any]:
    """The group of the script that died."""
    (group,) = [group for group in asked("groups") if group["label"] == "fit"]
    return dict(group)


def counts(group: dict[str, Any]) -> dict[str, int]:
    return {name: group[name] for name in ("queued", "running", "succeeded", "failed", "lost", "cancelled")}


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, asked("groups")
        time.sleep(0.05)


def test_it_is_found_read_and_ended(forgotten: Path) -> None:
    group = fit()
    assert (group["label"], group["program"], group["clients"]) == ("fit", str(forgotten), 0)
    assert sum(counts(group).values()) == 10_000
    assert notice() == notice_of(group)
    (failed,) = asked("tasks", "--state", "failed")
    assert failed["error"] == "ValueError: no root in this interval"
    shown = run("task", failed["short"])
    assert "fit.py" in shown
    assert "Traceback" in shown
    assert len(asked("tasks", "--state", "queued", "--limit", "10000")) == counts(group)["queued"]
    assert asked("cancel", "fit") == {"withdrawn": 9_996, "stopped": 0, "left": 2}
    assert asked("cancel", "--all", "--running") == {"withdrawn": 0, "stopped": 2, "left": 0}
    until(lambda: fit()["cancelled"] == 9_998)
    assert counts(fit()) == {
        "queued": 0,
        "running": 0,
        "succeeded": 1,
        "failed": 1,
        "lost": 0,
        "cancelled": 9_998,
    }
    run("stop")


def test_after_a_stop_it_is_listed_and_cancelled_without_being_run(forgotten: Path) -> None:
    run("stop", "--force")
    (group,) = asked("groups")  # starts a service, which runs nothing
    assert (group["running"], group["lost"]) == (0, 2)
    assert asked("cancel", "fit")["withdrawn"] == group["queued"] == 9_996
    assert asked("groups")[0]["cancelled"] == 9_996
    assert "0 in all" in run("status")
