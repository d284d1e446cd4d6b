"""Who gets what waits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from compute_executor.protocol.resources import Resources
from tests.endpoint.conftest import Lab, Script
from tests.endpoint.tasks import POOL, wait_for


def test_an_idle_worker_takes_over_what_another_has_not_received(lab: Lab, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")

    def open_gate(path: Any) -> Any:

        open(path, "w").close()
        return os.getpid()

    async def scenario(script: Script) -> None:
        first = script.submit(wait_for, gate)
        second = script.submit(open_gate, gate)
        script.wake()  # both to the only worker there is; another is started, and takes the second
        assert await script.result(first) != await script.result(second)

    lab(scenario, max_workers=2)


def test_withdrawn_tasks_do_not_run(lab: Lab, tmp_path: Path) -> None:
    gate, trace = str(tmp_path / "gate"), tmp_path / "trace"

    def note(path: Any, text: Any) -> None:
        with open(path, "a") as file:
            file.write(text)

    async def scenario(script: Script) -> None:
        long = script.submit(wait_for, gate)
        script.wake()
        await script.until(lambda: long in script.begun)
        notes = [script.submit(note, str(trace), str(index)) for index in range(4)]
        script.wake()
        key = (script.batch, notes[0])
        gone = script.engine.withdraw(POOL, [key, (script.batch, long), (99, 99)])
        assert gone <= {key}
        kept = notes[1:] if gone else notes
        open(gate, "w").close()
        await script.until(lambda: set(kept) <= set(script.ends))
        assert gone == ({key} if notes[0] not in script.ends else set())
        assert trace.read_text() == ("123" if gone else "0123")
        assert script.engine.withdraw(b"unknown", [key]) == set()

    lab(scenario)


def test_a_task_queued_behind_a_running_one_can_be_withdrawn(lab: Lab, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")

    async def scenario(script: Script) -> None:
        long, behind = script.submit(wait_for, gate), script.submit(wait_for, gate)
        script.wake()
        await script.until(lambda: long in script.begun)
        key = (script.batch, behind)
        assert script.engine.withdraw(POOL, [key]) == {key}
        open(gate, "w").close()
        await script.result(long)
        assert behind not in script.ends

    lab(scenario)


def test_more_arguments_than_a_task_channel_holds(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        await script.run(len, b"")
        positions = [script.submit(len, bytes(60_000)) for _ in range(300)]
        script.wake()
        await script.until(lambda: len(script.ends) == 301)
        assert script.order[1:] == positions

    lab(scenario)


def test_a_task_of_many_cores_runs_alone_and_in_its_turn(lab: Lab, tmp_path: Path) -> None:
    gates = [str(tmp_path / f"gate{number}") for number in range(4)]

    async def scenario(script: Script) -> None:
        small = script.submit(wait_for, gates[0])
        wide = script.submit(wait_for, gates[1], needs=Resources(cores=3))
        behind = script.submit(wait_for, gates[2])
        script.wake()
        await script.until(lambda: small in script.begun)
        assert wide not in script.begun
        open(gates[0], "w").close()
        await script.until(lambda: wide in script.begun)
        assert behind not in script.begun
        open(gates[1], "w").close()
        await script.until(lambda: behind in script.begun)
        open(gates[2], "w").close()
        await script.until(lambda: len(script.ends) == 3)
        assert script.order == [small, wide, behind]

    lab(scenario, max_workers=3)


def test_cores_of_a_worker_count(lab: Lab, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")

    async def scenario(script: Script) -> None:
        both = [script.submit(wait_for, gate, needs=Resources(cores=4)) for _ in range(2)]
        script.wake()
        await script.until(lambda: set(both) <= set(script.begun))
        open(gate, "w").close()
        await script.until(lambda: len(script.ends) == 2)

    lab(scenario, max_workers=2, threads=4)


def test_what_a_dead_worker_had_taken_is_free_again(lab: Lab, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")

    async def scenario(script: Script) -> None:
        first, second = (script.submit(wait_for, gate, needs=Resources(cores=2)) for _ in range(2))
        script.wake()
        await script.until(lambda: first in script.begun)
        assert script.engine.stop_tasks(POOL, [(script.batch, first)]) == {(script.batch, first)}
        await script.until(lambda: second in script.begun)
        assert first in script.losses
        open(gate, "w").close()
        await script.result(second)

    lab(scenario, max_workers=2)


def test_what_can_never_begin_ends_by_name_and_keeps_nobody(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        lost = script.submit(len, "", needs=Resources(cores=3))
        run = script.submit(len, "ab")
        script.wake()
        assert await script.result(run) == 2
        assert script.losses[lost].message == (
            "it asks for cores=3, and 2 workers are there, on the machine that it was given to"
        )
        assert not script.losses[lost].began

    lab(scenario, max_workers=2)
