"""An endpoint on this machine, in a process of its own: what works on the service's own workers works there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from compute_executor import Client, Executor
from compute_executor.errors import (
    InvalidRequest,
    NotFound,
    ResourcesNotOffered,
    TaskTimeout,
    WorkerLost,
)
from compute_executor.local.embedded import find_or_start
from compute_executor.surroundings import usable_cpus
from tests.contract.work import Gate, wait_until
from tests.endpoint.agent.running import PATIENCE, RunningEndpoint, command, environment, run, running
from tests.faults import work
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("endpoint")


@pytest.fixture(autouse=True)
def state_home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One state folder for all tests here, and so one endpoint."""
    monkeypatch.setenv("COMPUTE_EXECUTOR_HOME", str(shared_home))
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "5")
    return shared_home


@pytest.fixture(scope="module")
def endpoint(shared_home: Path) -> Iterator[RunningEndpoint]:
    home = {"COMPUTE_EXECUTOR_HOME": str(shared_home), "COMPUTE_EXECUTOR_IDLE": "5"}
    with running("ws", **home) as found:
        yield found


@pytest.fixture
def executor(endpoint: RunningEndpoint) -> Iterator[Executor]:
    with Executor("ws") as found:
        yield found


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Holds tasks until it is opened; always open in the end."""
    found = Gate(tmp_path / "gate")
    yield found
    found.open()


def test_a_call_runs_in_a_worker_of_the_endpoint(executor: Executor, endpoint: RunningEndpoint) -> None:
    assert executor.submit(os.getppid).result(PATIENCE) == endpoint.pid


def test_map_and_ids(executor: Executor) -> None:
    assert list(executor.map(pow, range(100), [2] * 100)) == [number**2 for number in range(100)]
    assert executor.endpoint_id is not None
    with Executor(endpoint_id=executor.endpoint_id) as by_id:
        assert by_id.submit(pow, 2, 5).result(PATIENCE) == 32
    with Executor(max_workers=1) as own:
        there = own.options(endpoint_id="ws")
        assert there.submit(os.getpid).result(PATIENCE) != own.submit(os.getpid).result(PATIENCE)


def test_a_client_names_it_too(endpoint: RunningEndpoint) -> None:
    with Client() as client:
        function = client.register_function(pow)
        task = client.run(2, 6, endpoint_id="ws", function_id=function)
        wait_until(lambda: not client.get_task(task)["pending"])
        assert client.get_result(task) == 64
        assert "ws" in {one["name"] for one in client.get_endpoints()}


def test_exceptions_come_as_themselves(executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError):
        executor.submit(divmod, 1, 0).result(PATIENCE)


def test_large_arguments_and_results(executor: Executor) -> None:
    for size in (100_000, 3_000_000):
        body = os.urandom(size)
        assert executor.submit(bytes.swapcase, body).result(PATIENCE) == body.swapcase()


def test_output_reaches_the_program(executor: Executor, capsys: pytest.CaptureFixture[str]) -> None:
    future = executor.submit(print, "from afar")
    future.result(PATIENCE)
    assert "from afar" in future.output()
    wait_until(lambda: "from afar" in capsys.readouterr().out)


def test_running_cancel_and_times(executor: Executor, gate: Gate) -> None:
    held = [executor.submit(gate.hold, str(number)) for number in range(2)]
    gate.wait_for("0")
    gate.wait_for("1")
    waiting = [executor.submit(gate.hold, f"more{number}") for number in range(20)]
    wait_until(lambda: all(future.running() for future in held))
    assert not held[0].cancel(), "it runs"
    assert all(future.cancel() for future in waiting)
    gate.open()
    assert [future.result(PATIENCE) for future in held] == ["0", "1"]
    assert not any(gate.has_begun(f"more{number}") for number in range(20))
    timings = held[0].timings
    assert timings.submitted is not None
    assert timings.began is not None
    assert abs(timings.began - timings.submitted) < PATIENCE


def test_a_task_that_runs_too_long_is_stopped(executor: Executor) -> None:
    with pytest.raises(TaskTimeout):
        executor.options(timeout=0.3).submit(time.sleep, 60).result(PATIENCE)


def test_a_worker_that_dies(executor: Executor, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with pytest.raises(WorkerLost, match="SIGKILL") as lost:
        executor.submit(work.kill_own_worker, str(trace), 1).result(PATIENCE)
    assert os.uname().nodename in str(lost.value)
    with pytest.raises(WorkerLost):
        executor.options(retries=2).submit(work.kill_own_worker, str(trace), 2).result(PATIENCE)
    assert work.runs(trace) == {1: 1, 2: 3}


def test_ten_thousand_short_tasks(executor: Executor) -> None:
    futures = [executor.submit(divmod, number, 7) for number in range(10_000)]
    done, pending = wait(futures, PATIENCE)
    assert not pending
    assert all(future.result() == divmod(number, 7) for number, future in enumerate(futures))
    assert len(done) == 10_000


def test_options_that_it_does_not_keep_are_refused(executor: Executor) -> None:
    with pytest.raises(InvalidRequest, match="container"):
        executor.options(container=str(uuid.uuid4())).submit(pow, 1, 1).result(PATIENCE)


def test_what_a_call_takes_is_kept_or_refused_with_both_figures(executor: Executor) -> None:
    cores = usable_cpus()
    assert executor.options(cores=cores, memory="1MB").submit(pow, 2, 3).result(PATIENCE) == 8
    refused: list[tuple[dict[str, Any], str]] = [
        ({"cores": cores + 1}, f"asks endpoint ws for cores={cores + 1}, and {cores} worker"),
        ({"gpus": 1}, "asks endpoint ws for gpus=1, and no devices"),
        ({"nodes": 2}, "asks endpoint ws for nodes=2, and a call runs on 1 machine"),
    ]
    for asked, told in refused:
        with pytest.raises(ResourcesNotOffered, match=told):
            executor.options(**asked).submit(pow, 1, 1).result(PATIENCE)


def test_a_name_that_is_none(endpoint: RunningEndpoint) -> None:
    with pytest.raises(NotFound, match=r"there are: .*ws"):
        Executor("nowhere")


def test_what_commands_show(endpoint: RunningEndpoint) -> None:
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["name"], listed["online"], listed["workers"], listed["runs_here"]) == ("ws", True, 2, True)
    shown = json.loads(run("status", "ws", "--json").stdout)
    (machine,) = shown["machines"]
    assert machine["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert machine["state"]["pid"] == endpoint.pid
    assert "connected" in run("logs", "ws").stdout
    assert "ExecStart=" in run("unit", "ws").stdout


def test_one_for_each_name_and_machine(endpoint: RunningEndpoint) -> None:
    second = run("start", "ws")
    assert second.returncode == 1
    assert f"process {endpoint.pid}" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start", "no/name"], "no name for an endpoint"),
        (["start", "other", "--engine", "magic"], "there is no engine 'magic'"),
        (["start", "other", "--variable", "X"], "NAME=VALUE"),
        (["start", "other", "--folder", "/nowhere/at/all"], "does not exist"),
        (["start", "other", "--url", "http://127.0.0.1:1"], "127.0.0.1:1"),
        (["start", "other", "--join", "--replace"], "exclude"),
        (["start", "other", "--join"], "there is no endpoint 'other'"),
        (["start", "other", "--url", "http://127.0.0.1:abc"], "127.0.0.1:abc"),
        (["start", "other", "--url", "https://127.0.0.1:1", "--certificate", "/none.pem"], "/none.pem"),
        (["start", "other", "--engine", "slurm", "--walltime", "soon"], "HH:MM:SS"),
        (["status", "nowhere"], "there is no endpoint"),
        (["logs", "nowhere"], "there is no endpoint"),
        (["delete", "nowhere"], "there is no endpoint"),
    ],
)
def test_wrong_input_is_one_line(
    endpoint: RunningEndpoint, state_home: Path, arguments: list[str], said: str
) -> None:
    del endpoint
    shutil.rmtree(state_home / "endpoints" / "other", ignore_errors=True)
    ended = run(*arguments, COMPUTE_EXECUTOR_TOKEN="x")
    assert ended.returncode in (1, 2)
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    by_engine = "--folder" in arguments  # it is asked last, and why it failed can be looked up in its log
    assert (state_home / "endpoints" / "other").exists() == by_engine


def test_daemon_drain_and_delete(endpoint: RunningEndpoint, gate: Gate) -> None:
    assert run("start", "daemon", "--workers", "1", "--detach").returncode == 0
    with Executor("daemon") as executor:
        held = executor.submit(gate.hold)
        gate.wait_for()
        queued = executor.submit(pow, 2, 2)
        assert run("stop", "daemon").returncode == 0
        with pytest.raises(WorkerLost):
            held.result(PATIENCE)
        assert run("restart", "daemon", "--detach").returncode == 0
        assert queued.result(PATIENCE) == 4
    assert run("restart", "daemon").returncode == 0, "in the background, as it was"
    assert run("delete", "daemon").returncode == 2, "it runs"
    assert run("stop", "daemon", "--drain").returncode == 0
    assert "Deleted" in run("delete", "daemon").stdout
    with pytest.raises(NotFound):
        Executor("daemon")


def test_ctrl_c_ends_it_in_order() -> None:
    endpoint = RunningEndpoint("brief", "--workers", "1")
    assert "is connected" in endpoint.said
    code, error = endpoint.end(signal.SIGINT)
    assert (code, error) == (0, "")


def test_more_of_ctrl_c_does_not_hinder_that() -> None:
    endpoint = RunningEndpoint("brief", "--workers", "1")
    with suppress(ProcessLookupError):
        for _ in range(40):
            endpoint.send(signal.SIGINT)
            time.sleep(0.01)
    assert endpoint.wait() == (0, "")


def test_a_service_that_is_away_is_told(endpoint: RunningEndpoint) -> None:
    """In the foreground, where nobody looks at the log."""
    del endpoint
    address = find_or_start()
    proxy = Proxy(
        lambda: (address.url.removeprefix("http://").split(":")[0], int(address.url.rpartition(":")[2]))
    )
    changes = {"COMPUTE_EXECUTOR_TOKEN": address.token}
    away = ["--url", f"http://127.0.0.1:{proxy.port}", "--workers", "1"]
    known = RunningEndpoint("lonely", *away, **changes)
    assert (known.end(), proxy.close()) == ((0, ""), None)
    lonely = subprocess.Popen(
        command("start", "lonely"), env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        assert lonely.stderr is not None
        assert "lonely is not connected, and tries again" in lonely.stderr.readline()
    finally:
        lonely.send_signal(signal.SIGINT)
        lonely.communicate(timeout=30)
