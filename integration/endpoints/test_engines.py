"""What holds on every engine: calls, ten thousand of them, and what becomes of tasks when something dies."""

from __future__ import annotations

import json
import operator
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from compute_executor import Executor, MPIFunction
from compute_executor.errors import ResourcesNotOffered, TaskTimeout, WorkerLost
from integration.endpoints.account import PATIENCE, WORKERS, ends_well
from integration.endpoints.contract import contract_holds
from integration.endpoints.engines import Place, engine_of
from tests.contract.work import Gate, wait_until
from tests.endpoint.agent.running import environment, run
from tests.faults import work

pytestmark = pytest.mark.timeout(240)


def test_calls(engine: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with Executor(engine.name) as executor:
        assert executor.submit(pow, 2, 10).result(PATIENCE) == 1024
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result(PATIENCE)
        body = os.urandom(3_000_000)
        assert executor.submit(bytes.swapcase, body).result(PATIENCE) == body.swapcase()
        executor.submit(print, "from afar").result(PATIENCE)
        with pytest.raises(TaskTimeout):
            executor.options(timeout=0.5).submit(time.sleep, 60).result(PATIENCE)
    assert "from afar" in capsys.readouterr().out


IN_JSON = Path(__file__).parents[1] / "stock" / "scripts" / "ours_in_json.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_contract_of_an_executor(engine: Place) -> None:
    contract_holds(engine.name)


def test_nothing_is_unpickled_with_json(engine: Place) -> None:
    """In a program where nothing can be."""
    done = subprocess.run(
        [sys.executable, IN_JSON, engine.name], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["echoed"], found["mapped"], found["by_client"]) == (
        [True, True],
        True,
        [["by the Client"], {}],
    )
    assert (found["failed"], found["no_json"]) == (["TaskExecutionFailed", True], "TaskExecutionFailed")


def test_what_calls_take_is_kept_or_refused_with_both_figures(engine: Place) -> None:
    """A place for workers has two of them on Slurm and Parsl, and one elsewhere."""
    workers = 2 if engine.kind in ("slurm", "parsl") else 1
    with Executor(engine.name) as executor:
        wide = executor.options(cores=workers, memory="1MB")
        assert [wide.submit(pow, 2, n).result(PATIENCE) for n in range(3)] == [1, 2, 4]
        wait_until(lambda: state(engine).get("offer"))
        refused: list[tuple[dict[str, Any], str]] = [
            ({"cores": 9}, f"asks endpoint {engine.name} for cores=9, and {workers} worker"),
            ({"memory": "900TB"}, "memory=.* and .* are there"),
            ({"gpus": 2}, "gpus=2, and (no devices|1 device) for each worker"),
            ({"nodes": 2}, "nodes=2, and a call runs on 1 machine there"),
        ]
        for asked, told in refused:
            with pytest.raises(ResourcesNotOffered, match=told):
                executor.options(**asked).submit(pow, 1, 1).result(PATIENCE)


def test_values_that_calls_share(engine: Place) -> None:
    data = bytearray(2_000_000)
    with Executor(engine.name) as executor:
        assert list(executor.map(partial(operator.getitem, data), range(30))) == [0] * 30
        ref = executor.put(data)
        data[5] = 1
        assert list(executor.map(len, [ref] * 10)) == [2_000_000] * 10
        assert executor.submit(sum, ref).result(PATIENCE) == 0


def seen(count: int, folder: Path) -> str | None:
    """The devices of a worker, after so many have come here."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < count:
        time.sleep(0.01)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_each_worker_of_a_node_sees_a_device_of_its_own(engine: Place, tmp_path: Path) -> None:
    if engine.kind != "slurm":
        pytest.skip("its endpoint has no --gpus")
    with Executor(engine.name) as executor:
        futures = [executor.options(gpus=1).submit(seen, 2, tmp_path) for _ in range(2)]
        assert sorted(str(future.result(PATIENCE)) for future in futures) == ["0", "1"]


def test_ranks_run_on_the_machine_of_the_call_or_are_refused(engine: Place) -> None:
    command = MPIFunction("echo rank")
    several = engine.kind in ("slurm", "parsl") and shutil.which("mpiexec") is not None
    with Executor(engine.name) as executor:
        executor.submit(pow, 2, 2).result(PATIENCE)
        wait_until(lambda: state(engine).get("offer"))
        future = executor.options(ranks=2).submit(command)
        if several:
            assert future.result(PATIENCE).stdout == "rank\nrank\n"
        else:
            with pytest.raises(ResourcesNotOffered, match="ranks"):
                future.result(PATIENCE)


def test_cancel_and_running(engine: Place, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    with Executor(engine.name) as executor:
        executor.submit(pow, 2, 2).result(PATIENCE)
        held = [executor.submit(gate.hold, str(number)) for number in range(WORKERS)]
        wait_until(lambda: any(future.running() for future in held))
        waiting = [executor.submit(gate.hold, f"more{number}") for number in range(20)]
        cancelled = [future for future in waiting if future.cancel()]
        gate.open()
        wait(held, PATIENCE)
        assert len(cancelled) >= 15
        assert not any(
            gate.has_begun(f"more{number}") for number in range(20) if waiting[number] in cancelled
        )


def test_ten_thousand(engine: Place) -> None:
    with Executor(engine.name) as executor:
        futures = [executor.submit(divmod, number, 7) for number in range(10_000)]
        _, pending = wait(futures, PATIENCE)
        assert not pending
        assert all(future.result() == divmod(number, 7) for number, future in enumerate(futures))


def test_a_worker_that_dies(engine: Place, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with Executor(engine.name) as executor:
        with pytest.raises(WorkerLost, match="SIGKILL") as lost:
            executor.submit(work.kill_own_worker, str(trace), 1).result(PATIENCE)
        assert os.uname().nodename in str(lost.value)
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
    assert work.runs(trace) == {1: 1}


def test_what_the_engine_gave_is_taken_away(engine: Place, tmp_path: Path) -> None:
    """A block is cancelled, a slot's processes are killed: what ran is lost with a reason, the rest runs."""
    trace = tmp_path / "trace"
    with Executor(engine.name) as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(300)]
        wait_until(lambda: len(work.runs(trace)) >= 30)
        begun = time.monotonic()
        engine.hurt()
        wait_until(lambda: any(future.done() and future.exception() for future in futures))
        assert time.monotonic() - begun < 30
        lost = ends_well(futures, trace)
    assert 1 <= len(lost) <= WORKERS * 4
    assert os.uname().nodename in str(lost[0])
    if engine.kind == "slurm":
        assert "CANCELLED" in str(lost[0])
        assert "job " in str(lost[0])


def test_the_endpoint_is_killed_with_a_thousand_open(engine: Place, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with Executor(engine.name) as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(1000)]
        wait_until(lambda: len(work.runs(trace)) >= 30)
        engine.endpoint.kill()
        engine.start_again()
        lost = ends_well(futures, trace)
    assert len(lost) <= WORKERS * 6


def test_the_process_of_the_engine_is_killed(engine: Place, tmp_path: Path) -> None:
    """It is started again. Jobs of a batch system go on; what an engine itself ran has ended with it."""
    trace = tmp_path / "trace"
    with Executor(engine.name) as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(300)]
        wait_until(lambda: len(work.runs(trace)) >= 30)
        os.kill(engine_of(engine.endpoint), signal.SIGKILL)
        lost = ends_well(futures, trace)
    assert len(lost) <= (0 if engine.kind == "slurm" else WORKERS * 4)
    assert all(os.uname().nodename in str(one) for one in lost)


def test_blocks_go_when_idle_and_are_shown(engine: Place) -> None:
    with Executor(engine.name) as executor:
        executor.submit(pow, 2, 2).result(PATIENCE)
        wait_until(lambda: state(engine)["pilots"])
        assert {block["state"] for block in state(engine)["blocks"]} <= {"running", "pending"}


def state(engine: Place) -> Any:
    shown = json.loads(run("status", engine.name, "--json").stdout)
    return shown["machines"][0]["state"]
