"""The blocks of an endpoint: asked for when there is work, looked after, ended when idle.

    demand (here, and waiting at the service) -> slots are started -> pilots connect -> idle -> drained -> ended

Which jobs there are is on the disk before their pilots can connect, so that the next start ends what a killed one has
left. Owner: the loop's thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compute_executor.endpoint.pilots.engine import PilotEngine
from compute_executor.endpoint.pilots.engine_process import EngineProcess
from compute_executor.endpoint.pilots.scaling import BlockLimits, may_go, to_start
from compute_executor.endpoint.pilots.slots import ENDED, PENDING, SlotState
from compute_executor.errors import ComputeError, InvalidRequest, ServiceUnavailable

log: logging.Logger = logging.getLogger(__name__)

STEP = 0.25
"""Seconds between two decisions."""

LOOK_EVERY = 3.0
"""Seconds between two questions to the engine how its slots are."""

MOST_FAILURES = 3
"""Failures in a row after which what waits ends: slots that end without a pilot, an engine that cannot be started."""

GIVEN_UP_AFTER = 300.0
"""Seconds since there last was a pilot for which failures are borne: a cluster that has worked may come back."""

AFTER_FAILURES = 60.0
"""Seconds until another try when what waited has ended, and at most between two tries before."""

ENGINE_AGAIN = 2.0
"""Seconds until an engine's process is started again, at least."""

NO_ROOM = "the engine has no slot at the moment: has its cluster workers?"

UNKNOWN = "the engine does not know it any more"
"""What is said of a slot that an engine has forgotten by itself."""

KEPT_REASONS = 1000
"""Ended slots whose reasons are remembered."""


class Blocks:
    """See the module. ``demand``: how many tasks run or wait; ``broken``: called with why no slot can be had."""

    def __init__(
        self,
        process: EngineProcess,
        pilots: PilotEngine,
        limits: BlockLimits,
        jobs: Path,
        *,
        demand: Callable[[], int],
        broken: Callable[[str], object],
    ) -> None:
        self._process = process
        self._pilots = pilots
        self._limits = limits
        self._jobs = jobs
        self._demand = demand
        self._broken = broken
        self._slots: dict[str, SlotState] = {}
        self._reasons: dict[str, str] = {}
        self._ending: set[str] = set()
        self._served: set[str] = set()  # slots that had a pilot
        self._failures = 0
        self._worked = -math.inf  # when there last was a pilot
        self._not_before = 0.0
        self._looked = 0.0
        self._engine_end = UNKNOWN
        self.trouble: str = ""

    def reason(self, slot: str) -> str | None:
        """Return why a slot has ended; None if it has not, or is none of ours."""
        return self._reasons.get(slot)

    def look_soon(self) -> None:
        """Note that something has ended: ask the engine at the next step."""
        self._looked = 0.0

    def job(self, slot: str) -> str:
        """Return what people call a slot: the job that it is."""
        state = self._slots.get(slot)
        return f"job {state.job}" if state is not None and state.job else ""

    def view(self) -> list[dict[str, Any]]:
        """Return the blocks, for people to look at."""
        return [
            {"slot": slot, "job": state.job, "state": state.state, "reason": state.reason}
            for slot, state in self._slots.items()
        ]

    async def run(self) -> None:
        """Keep as many blocks as are wanted, until cancelled."""
        while True:
            try:
                await self._step()
            except ServiceUnavailable as error:
                await self._engine_died(error)
            except ComputeError as error:
                self._failed(str(error))
            except Exception as error:  # whatever it is, blocks must go on being looked after
                log.exception("this must not happen")
                self._failed(f"{type(error).__name__}: {error}")
            await asyncio.sleep(STEP)

    async def _step(self) -> None:
        now = time.monotonic()
        self._process.check()
        if (self._slots or self._demand()) and now - self._looked > LOOK_EVERY:
            await self._look()
        self._see_pilots(now)
        limits = self._bounded()
        self._tell_room(limits)
        alive = [slot for slot in self._slots if slot not in self._ending]
        if now >= self._not_before:
            for _ in range(to_start(limits, self._demand(), len(alive))):
                await self._start()
        await self._end_idle(limits, alive, now)

    def _see_pilots(self, now: float) -> None:
        slots = {one.slot for one in self._pilots.pilots()}
        if slots:
            self._worked = now
        if slots - self._served:
            self._served |= slots
            self._failures, self.trouble = 0, ""

    def _tell_room(self, limits: BlockLimits) -> None:
        """Say so while an engine has no slot for anybody: a cluster whose workers are not there yet."""
        none = bool(self._demand()) and limits.most == 0
        if none and not self.trouble:
            self.trouble = NO_ROOM
        elif not none and self.trouble == NO_ROOM:
            self.trouble = ""

    def _bounded(self) -> BlockLimits:
        """Return the limits, with what the engine can give at this moment."""
        most = max(0, min(self._limits.most, self._process.most))
        return self._limits._replace(workers=max(1, self._process.workers), most=most)

    async def _start(self) -> None:
        slot = f"{secrets.token_hex(4)}"
        state = await self._process.start_slot(slot)
        log.info("block %s was asked for (job %s)", slot, state.job or "-")
        self._slots[slot] = state
        try:
            self._save()
        except OSError as error:
            del self._slots[slot]
            await self._process.end_slots([slot])
            raise InvalidRequest(f"a block was ended at once, for it cannot be recorded: {error}") from None

    async def _look(self) -> None:
        self._looked = time.monotonic()
        found = await self._process.look()
        for slot in list(self._slots):
            state = found.get(slot)
            if state is None:  # it went with the engine's process, whose failure is counted
                self._ending.add(slot)
                state = SlotState(ENDED, self._slots[slot].job, self._engine_end)
            if state.state == ENDED:
                self._ended(slot, state)
            else:
                self._slots[slot] = state

    def _ended(self, slot: str, state: SlotState) -> None:
        del self._slots[slot]
        expected = slot in self._ending
        self._ending.discard(slot)
        job = f"job {state.job}: " if state.job else ""
        self._reasons[slot] = f"{job}{state.reason or 'it has ended'}"
        while len(self._reasons) > KEPT_REASONS:
            del self._reasons[next(iter(self._reasons))]
        self._save()
        log.info("block %s has ended: %s", slot, self._reasons[slot])
        if slot in self._served:
            self._served.discard(slot)
        elif not expected:
            self._failed(f"a block ended before its workers had connected: {self._reasons[slot]}")

    def _failed(self, message: str) -> None:
        self._failures += 1
        self.trouble = message
        log.warning("%s", message)
        if self._failures < MOST_FAILURES:
            return
        now = time.monotonic()
        self._not_before = now + min(2.0**self._failures, AFTER_FAILURES)
        if now - self._worked > GIVEN_UP_AFTER:
            self._failures = 0
            self._not_before = now + AFTER_FAILURES
            self._broken(message)

    async def _end_idle(self, limits: BlockLimits, alive: list[str], now: float) -> None:
        """Drain the blocks that have had nothing to do for long; end those that are drained."""
        pilots = self._pilots.pilots()
        for slot in alive:
            its = [one for one in pilots if one.slot == slot]
            idle = min((now - one.busy for one in its if not one.leased), default=0.0)
            if (
                its
                and not any(one.leased for one in its)
                and may_go(limits, self._demand(), len(alive), idle)
            ):
                log.info("block %s has had nothing to do for %.0f s and ends", slot, idle)
                self._ending.add(slot)
                self._pilots.end_slot(slot)
                return
        if not self._demand() and limits.least == 0:
            await self._end_pending(alive)

    async def _end_pending(self, alive: list[str]) -> None:
        """Note that nobody needs those that still wait in the scheduler's queue."""
        waiting = [slot for slot in alive if self._slots[slot].state == PENDING and slot not in self._served]
        if waiting:
            self._ending.update(waiting)
            await self._process.end_slots(waiting)

    async def _engine_died(self, error: ServiceUnavailable) -> None:
        """Start its process again. Jobs of a batch system go on; tasks of an engine ended with it."""
        self._engine_end = str(error)
        self._failed(str(error))
        while True:
            await asyncio.sleep(max(ENGINE_AGAIN, self._not_before - time.monotonic()))
            try:
                await self._process.start()
                await self._process.adopt(self._slots)
            except ComputeError as failed:
                self._failed(f"the engine cannot be started again: {failed}")
            else:
                log.info("the engine was started again")
                self.look_soon()
                return

    # -- the jobs of an earlier start ---------------------------------------------------------------------

    def _save(self) -> None:
        temporary = self._jobs.with_suffix(".part")
        temporary.write_text(
            json.dumps({slot: list(state) for slot, state in self._slots.items()}), encoding="utf-8"
        )
        temporary.replace(self._jobs)

    async def end_orphans(self) -> None:
        """End the jobs that an earlier start has left. Returns when the engine says that they have ended."""
        try:
            left = {
                slot: SlotState(*state) for slot, state in json.loads(self._jobs.read_text("utf-8")).items()
            }
        except (OSError, ValueError, TypeError):
            return
        left = {slot: state for slot, state in left.items() if state.job}
        if not left:
            return
        log.info("ending %d jobs of an earlier start", len(left))
        try:
            await self._process.adopt(left)
            await self._process.end_slots(list(left))
            deadline = time.monotonic() + 60.0
            while time.monotonic() < deadline:
                found = await self._process.look()
                if all(found[slot].state == ENDED for slot in left if slot in found):
                    break
                await asyncio.sleep(0.5)
        except (InvalidRequest, ServiceUnavailable) as error:
            log.warning("jobs of an earlier start may be left: %s", error)
        self._jobs.unlink(missing_ok=True)
