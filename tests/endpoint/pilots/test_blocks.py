"""When blocks are asked for, ended and given up, on an engine that is made up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from compute_executor.endpoint.pilots import blocks as subject
from compute_executor.endpoint.pilots.blocks import Blocks
from compute_executor.endpoint.pilots.engine import PilotEngine
from compute_executor.endpoint.pilots.engine_process import EngineProcess
from compute_executor.endpoint.pilots.scaling import BlockLimits
from compute_executor.endpoint.pilots.slots import ENDED, PENDING, RUNNING, SlotState
from compute_executor.errors import InvalidRequest, ServiceUnavailable

PATIENCE = 10.0


class MadeUpEngine:
    """An engine's process: slots as they are told, and errors to order."""

    def __init__(self) -> None:
        self.workers, self.most, self.room = 2, 10, 10
        self.slots: dict[str, SlotState] = {}
        self.ended: list[str] = []
        self.starts = 0
        self.dead = ""
        self.refuses = ""
        self.cannot_start = ""

    def check(self) -> None:
        if self.dead:
            raise ServiceUnavailable(self.dead)

    async def start(self) -> None:
        self.starts += 1
        if self.cannot_start:
            raise InvalidRequest(self.cannot_start)
        self.dead, self.slots = "", {}

    async def start_slot(self, slot: str) -> SlotState:
        if self.refuses:
            raise InvalidRequest(self.refuses)
        self.slots[slot] = SlotState(PENDING, f"j{len(self.slots)}", "Priority")
        return self.slots[slot]

    async def look(self) -> dict[str, SlotState]:
        self.most = self.room
        return dict(self.slots)

    async def end_slots(self, slots: list[str]) -> None:
        self.ended += slots
        self.slots.update({slot: SlotState(ENDED, "", "cancelled") for slot in slots})

    async def adopt(self, slots: dict[str, SlotState]) -> None:
        """Tasks of an engine end with its process."""


class MadeUpPilots:
    """Pilots that are connected."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self.told: list[str] = []
        self.error: Exception | None = None

    def pilots(self) -> list[Any]:
        if self.error is not None:
            raise self.error
        return self.found

    def end_slot(self, slot: str) -> None:
        self.told.append(slot)

    def connect(self, slot: str, *, busy: float = 0.0, leased: int = 0) -> None:
        self.found.append(SimpleNamespace(slot=slot, busy=busy, leased=[0] * leased))


class Stage:
    """Blocks with all that is around them."""

    def __init__(self, folder: Path, limits: BlockLimits) -> None:
        self.engine, self.pilots = MadeUpEngine(), MadeUpPilots()
        self.demand = 0
        self.broken: list[str] = []
        self.jobs = folder / "jobs.json"
        self.blocks = Blocks(
            cast(EngineProcess, self.engine),
            cast(PilotEngine, self.pilots),
            limits,
            self.jobs,
            demand=lambda: self.demand,
            broken=self.broken.append,
        )

    async def until(self, holds: Callable[[], object]) -> None:
        """Return when this is so."""

        async def look() -> None:
            while not holds():
                await asyncio.sleep(0.001)

        await asyncio.wait_for(look(), PATIENCE)

    def slots(self) -> list[str]:
        return [block["slot"] for block in self.blocks.view()]


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps without pauses."""
    monkeypatch.setattr(subject, "STEP", 0.001)
    monkeypatch.setattr(subject, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(subject, "ENGINE_AGAIN", 0.001)
    monkeypatch.setattr(subject, "AFTER_FAILURES", 0.005)


Play = Callable[[Stage], Coroutine[Any, Any, None]]


def play(folder: Path, scene: Play, **limits: Any) -> Stage:
    """A scene, while blocks are looked after."""

    async def run() -> Stage:
        stage = Stage(folder, BlockLimits(2, **{"most": 4, "idle": 60.0, **limits}))
        looked_after = asyncio.ensure_future(stage.blocks.run())
        try:
            await scene(stage)
        finally:
            looked_after.cancel()
            await asyncio.gather(looked_after, return_exceptions=True)
        return stage

    return asyncio.run(run())


def test_as_many_as_are_wanted_and_may_be(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.demand = 5
        await stage.until(lambda: len(stage.slots()) == 3)
        assert sorted(json.loads(stage.jobs.read_text())) == sorted(stage.slots()), "known to the next start"
        stage.demand = 1000
        await stage.until(lambda: len(stage.slots()) == 4)
        assert {block["reason"] for block in stage.blocks.view()} == {"Priority"}

    play(tmp_path, scene)


def test_an_engine_without_room_is_asked_for_nothing(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.engine.most = stage.engine.room = 0
        stage.demand = 1000
        await stage.until(lambda: "no slot at the moment" in stage.blocks.trouble)
        assert stage.slots() == []
        stage.engine.room = 1
        await stage.until(lambda: len(stage.slots()) == 1)
        assert stage.blocks.trouble == ""

    play(tmp_path, scene)


def test_what_waits_in_a_queue_is_cancelled_when_nobody_needs_it(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.demand = 1
        await stage.until(stage.slots)
        stage.demand = 0
        await stage.until(lambda: stage.engine.ended and not stage.slots())
        assert stage.broken == []

    play(tmp_path, scene)


def test_an_idle_block_is_drained_and_one_with_tasks_is_not(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.demand = 3
        await stage.until(lambda: len(stage.slots()) == 2)
        idle, busy = stage.slots()
        stage.engine.slots.update({slot: SlotState(RUNNING, "1") for slot in (idle, busy)})
        stage.pilots.connect(idle)
        stage.pilots.connect(busy, leased=1)
        await stage.until(lambda: {block["state"] for block in stage.blocks.view()} == {RUNNING})
        stage.demand = 1
        await stage.until(lambda: stage.pilots.told)
        assert stage.pilots.told == [idle]

    play(tmp_path, scene, idle=0.001)


def test_blocks_that_end_without_a_pilot_are_told_and_what_waits_ends(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.demand = 1
        while not stage.broken:
            for slot in stage.slots():
                stage.engine.slots[slot] = SlotState(ENDED, "7", "FAILED; module: command not found")
            await asyncio.sleep(0.001)
        assert "job 7: FAILED; module: command not found" in stage.broken[0]
        assert stage.blocks.trouble == stage.broken[0]

    play(tmp_path, scene, most=1)


def test_what_a_scheduler_does_not_take_is_told_in_its_words(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.engine.refuses = "invalid account"
        stage.demand = 1
        await stage.until(lambda: stage.broken)
        assert stage.broken[0] == "invalid account"

    play(tmp_path, scene)


def test_a_dead_engine_is_started_again_and_its_slots_say_why_they_ended(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.demand = 1
        await stage.until(stage.slots)
        (slot,) = stage.slots()
        stage.pilots.connect(slot)
        await stage.until(lambda: stage.engine.slots)
        stage.engine.dead = "the engine's process was ended by SIGKILL"
        await stage.until(lambda: stage.engine.starts == 1 and slot not in stage.slots())
        assert stage.blocks.reason(slot) == "job j0: the engine's process was ended by SIGKILL"
        await stage.until(stage.slots)
        assert stage.broken == []

    play(tmp_path, scene)


@pytest.mark.parametrize("worked", [True, False])
def test_a_cluster_that_has_worked_may_come_back(tmp_path: Path, worked: bool) -> None:
    """What waits ends when there never was a pilot, or none for long."""

    async def scene(stage: Stage) -> None:
        stage.demand = 1
        await stage.until(stage.slots)
        if worked:
            stage.pilots.connect(*stage.slots())
            await asyncio.sleep(0.02)
        stage.pilots.found.clear()
        stage.engine.cannot_start = "no scheduler answers"
        stage.engine.dead = "the scheduler does not answer any more"
        await stage.until(lambda: stage.engine.starts > 8)
        assert bool(stage.broken) is not worked
        assert "no scheduler answers" in stage.blocks.trouble
        stage.engine.cannot_start = ""
        await stage.until(stage.slots)

    play(tmp_path, scene)


def test_a_block_that_cannot_be_recorded_is_ended_at_once(tmp_path: Path) -> None:
    """Else the next start would not know it."""

    async def scene(stage: Stage) -> None:
        stage.jobs.with_suffix(".part").mkdir()
        stage.demand = 1
        await stage.until(lambda: stage.engine.ended)
        assert stage.slots() == []
        assert "cannot be recorded" in stage.blocks.trouble
        stage.jobs.with_suffix(".part").rmdir()
        await stage.until(stage.slots)

    play(tmp_path, scene)


def test_whatever_happens_they_go_on_being_looked_after(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.pilots.error = KeyError("nobody thought of this")
        stage.demand = 1
        await stage.until(lambda: "nobody thought of this" in stage.blocks.trouble)
        stage.pilots.error = None
        await stage.until(stage.slots)

    play(tmp_path, scene)


def test_jobs_of_an_earlier_start_are_ended(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.jobs.write_text(json.dumps({"old": [RUNNING, "17", ""], "none": [RUNNING, "", ""]}))
        await stage.blocks.end_orphans()
        assert stage.engine.ended == ["old"]
        assert not stage.jobs.exists()

    play(tmp_path, scene)
