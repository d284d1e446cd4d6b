"""What the page knows of the service. It is asked in threads, never on the loop that serves the page."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Protocol
from urllib.parse import urlencode

from compute_executor.dashboard.figures import (
    STATES,
    Failure,
    History,
    endpoint_row,
    failures,
    rates,
    user_rows,
)
from compute_executor.errors import ComputeError, NotFound

PERIOD = 1.0
"""Seconds between two looks at the service while a page is seen."""
RESTING_PERIOD = 5.0
"""The same while none is: for the line over time."""
GROUPS = 20
USERS_GROUPS = 1_000
"""Groups that are added up for the list of users, the newest."""
ENDPOINTS = 50
FAILED = 500
"""Failed tasks that are grouped by their error."""


class AskedService(Protocol):
    """A service that can be asked."""

    @property
    def url(self) -> str:
        """Its address."""
        ...

    def ask(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        """Return the answer to one request. Raises ComputeError."""
        ...


class Source:
    """The newest answers of a service. ``trouble``: why there are none at the moment. ``operator``: whether the user
    may see the service as a whole. It asks less often while nobody looks at it: ``watchers`` are the pages that
    are seen. Owner: the loop thread."""

    def __init__(self, service: AskedService) -> None:
        self._service = service
        self.url: str = service.url
        self.history: History = History()
        self.groups: list[dict[str, Any]] = []
        self.counts: dict[str, int] = dict.fromkeys(STATES, 0)
        self.overview: dict[str, Any] = {}
        self.rates: dict[str, float] = {}
        self.operator: bool = True
        self.trouble: str = ""
        self._time = 0.0
        self._watchers: set[object] = set()
        self._watched = asyncio.Event()

    def watch(self, page: object) -> None:
        """``page`` is seen from now on."""
        self._watchers.add(page)
        self._watched.set()

    def unwatch(self, page: object) -> None:
        """``page`` is hidden, or gone."""
        self._watchers.discard(page)
        if not self._watchers:
            self._watched.clear()

    async def follow(self) -> None:
        """Ask for ever: every PERIOD while a page is seen, every RESTING_PERIOD else."""
        while True:
            await self.refresh()
            await asyncio.sleep(PERIOD)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._watched.wait(), RESTING_PERIOD - PERIOD)

    async def refresh(self) -> None:
        """Ask for counts, groups and overview; of everybody for an operator."""
        try:
            await self._look_over()
            figures = await self._ask("GET", f"/v3/figures?only=tasks&{self._everybody()}")
            groups = (await self._ask("GET", f"/v3/groups?limit={GROUPS}&{self._everybody()}"))["groups"]
        except ComputeError as error:
            self.trouble = str(error)
            return
        now = time.time()
        self.rates = rates(self.groups, groups, now - self._time if self._time else 0.0)
        self.groups, self.counts, self._time, self.trouble = groups, figures["tasks"], now, ""
        self.history.add(self.counts, len(self.overview.get("workers", ())), now)

    def _everybody(self) -> str:
        return f"everybody={'true' if self.operator else 'false'}"

    async def functions(self) -> list[dict[str, Any]]:
        """Return the functions with most tasks, how these ended and how long they took. Raises ComputeError."""
        return list((await self._ask("GET", f"/v3/figures?{self._everybody()}"))["functions"])

    async def _look_over(self) -> None:
        if not self.operator:
            return
        try:
            self.overview = await self._ask("GET", "/v3/overview")
        except NotFound:
            self.operator = False

    async def endpoints(self) -> list[dict[str, Any]]:
        """Return the endpoints that the user may see, each with what it last said of itself. Raises ComputeError."""
        found = await self._ask_list("/v2/endpoints")
        agents = await self._agents()
        return [
            endpoint_row(one, await self._state_of(one["uuid"]), agents.get(one["uuid"]))
            for one in found[:ENDPOINTS]
        ]

    async def _agents(self) -> dict[str, dict[str, Any]]:
        """Return the endpoints of this package, by id; of an older service none."""
        try:
            found = (await self._ask("GET", "/v3/agents"))["endpoints"]
        except ComputeError:
            return {}
        return {one["endpoint_id"]: one for one in found}

    async def _state_of(self, endpoint_id: str) -> dict[str, Any]:
        try:
            return await self._ask("GET", f"/v2/endpoints/{endpoint_id}/status")
        except ComputeError as error:
            return {"status": str(error)}

    async def users(self) -> list[dict[str, Any]]:
        """For an operator: the users whose work is kept, with their tasks by state. Raises ComputeError."""
        if not self.operator:
            return []
        groups = (await self._ask("GET", f"/v3/groups?limit={USERS_GROUPS}&everybody=true"))["groups"]
        return user_rows(groups)

    async def tasks(self, **wanted: object) -> list[dict[str, Any]]:
        """Return tasks, newest first. Raises ComputeError."""
        query = urlencode({name: value for name, value in wanted.items() if value})
        found = (await self._ask("GET", f"/v3/tasks?{query}"))["tasks"]
        return list(found)

    async def task(self, task_id: str) -> dict[str, Any]:
        """Return everything about one task. Raises ComputeError."""
        return await self._ask("GET", f"/v3/tasks/{task_id}")

    async def failures(self) -> list[Failure]:
        """Return the newest failed tasks by their error. Raises ComputeError."""
        return failures(await self.tasks(state="failed", limit=FAILED))

    async def cancel(self, kind: str, thing: str, *, running: bool) -> dict[str, Any]:
        """Cancel a task or a group. Raises ComputeError."""
        return await self._ask("POST", f"/v3/{kind}s/{thing}/cancel", {"running": running})

    async def _ask(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        return await asyncio.to_thread(self._service.ask, method, path, document)

    async def _ask_list(self, path: str) -> list[dict[str, Any]]:
        found: Any = await self._ask("GET", path)
        return list(found)
