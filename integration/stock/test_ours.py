"""Our Executor on our service, with an unmodified stock endpoint behind it. What kills it: test_faults."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from integration.stock.conftest import Runs, World
from integration.stock.peers import OWN_ENDPOINT, PORT

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def found(runs: Runs) -> dict[str, Any]:
    return runs.found("ours")


def test_a_thousand_by_map_and_by_submit(found: dict[str, Any]) -> None:
    assert found["mapped"] is True
    assert found["submitted"] == sum(number * number for number in range(1000))


def test_an_exception_is_itself(found: dict[str, Any]) -> None:
    """Type, args and where it came from; the text has the traceback there, with its cause."""
    exception = found["exception"]
    assert exception["args"] == ["no such key", 7]
    assert exception["chain"] == ["RemoteTraceback"]
    assert "ValueError: invalid literal for int() with base 10: 'seven'" in exception["text"]
    assert "The above exception was the direct cause" in exception["text"]
    assert "raise KeyError(key, 7) from error" in exception["text"]


def test_what_was_not_sent_is_cancelled(found: dict[str, Any]) -> None:
    assert found["cancelled"] == {"cancelled": True, "raises": True, "other": 4, "ran": False}


def test_an_exception_is_not_retried(found: dict[str, Any]) -> None:
    assert found["retried"] == ["KeyError", 1]


def test_nothing_is_unpickled_with_json(world: World) -> None:
    """By stock workers, and by those of our service: in a program where nothing can be."""
    config = {"engine": "ThreadPoolEngine", "name": "ours"}
    for endpoint, chosen in ((world.endpoint.id, config), (OWN_ENDPOINT, None)):
        found = world.ours.run("ours_in_json.py", endpoint, config=chosen)
        assert found.pop("refused").startswith("argument 0 is a set")
        assert found == {
            "echoed": [True, True],
            "mapped": True,
            "failed": ["TaskExecutionFailed", True],
            "no_json": "TaskExecutionFailed",
            "by_client": [["by the Client"], {}],
        }


def doctor(world: World) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "compute_executor", "doctor", "--url", f"http://localhost:{PORT}"]
    return subprocess.run(
        [*command, "--endpoint", world.endpoint.id],
        env=world.ours.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_doctor_sees_an_alarm_of_the_broker(world: World) -> None:
    world.broker.limit_memory(0.0001)
    try:
        done = doctor(world)
    finally:
        world.broker.limit_memory(0.4)
    assert "lets us in, but: " in done.stdout
    assert "memory" in done.stdout


def test_the_doctor_finds_all_well(world: World) -> None:
    """Service, broker and a stock endpoint that is online."""
    done = doctor(world)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok       endpoint stock: is online, with Python 3." in done.stdout
    assert "lets us in" in done.stdout
    assert "broker" in done.stdout
