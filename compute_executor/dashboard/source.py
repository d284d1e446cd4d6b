"""What the page knows of the service. It is asked in threads, never on the loop that serves the page."""

from __future__ import annotations

import asyncio
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
        """The answer to one request. Raises ComputeError."""
        ...


class Source:
    """The newest answers of a service. ``trouble``: why there are none at the moment. ``operator``: whether the user
    may see the service as a whole. Owner: the loop thread."""

    def __init__(self, service: AskedService) -> None:
        self._service = service
        self.url = service.url
        self.history = History()
        self.groups: list[dict[str, Any]] = []
        self.figures: dict[str, Any] = {"tasks": dict.fromkeys(STATES, 0), "functions": [], "rate": 0.0}
        self.overview: dict[str, Any] = {}
        self.rates: dict[str, float] = {}
        self.operator = True
        self.trouble = ""
        self._time = 0.0

    async def refresh(self) -> None:
        """Ask for figures, groups and overview; of everybody for an operator."""
        try:
            await self._look_over()
            everybody = f"everybody={'true' if self.operator else 'false'}"
            figures = await self._ask("GET", f"/v3/figures?{everybody}")
            groups = (await self._ask("GET", f"/v3/groups?limit={GROUPS}&{everybody}"))["groups"]
        except ComputeError as error:
            self.trouble = str(error)
            return
        now = time.time()
        self.rates = rates(self.groups, groups, now - self._time if self._time else 0.0)
        self.groups, self.figures, self._time, self.trouble = groups, figures, now, ""
        self.history.add(self.counts(), len(self.overview.get("workers", ())), now)

    def counts(self) -> dict[str, int]:
        """All tasks that are kept, by state."""
        return dict(self.figures["tasks"])

    async def _look_over(self) -> None:
        if not self.operator:
            return
        try:
            self.overview = await self._ask("GET", "/v3/overview")
        except NotFound:
            self.operator = False

    async def endpoints(self) -> list[dict[str, Any]]:
        """The endpoints that the user may see, each with what it last said of itself. Raises ComputeError."""
        found = await self._ask_list("/v2/endpoints")
        agents = await self._agents()
        return [
            endpoint_row(one, await self._state_of(one["uuid"]), agents.get(one["uuid"]))
            for one in found[:ENDPOINTS]
        ]

    async def _agents(self) -> dict[str, dict[str, Any]]:
        """The endpoints of this package, by id; of an older service none."""
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
        """Tasks, newest first. Raises ComputeError."""
        query = urlencode({name: value for name, value in wanted.items() if value})
        found = (await self._ask("GET", f"/v3/tasks?{query}"))["tasks"]
        return list(found)

    async def task(self, task_id: str) -> dict[str, Any]:
        """Everything about one task. Raises ComputeError."""
        return await self._ask("GET", f"/v3/tasks/{task_id}")

    async def failures(self) -> list[Failure]:
        """The newest failed tasks by their error. Raises ComputeError."""
        return failures(await self.tasks(state="failed", limit=FAILED))

    async def cancel(self, kind: str, thing: str, *, running: bool) -> dict[str, Any]:
        """Cancel a task or a group. Raises ComputeError."""
        return await self._ask("POST", f"/v3/{kind}s/{thing}/cancel", {"running": running})

    async def _ask(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        return await asyncio.to_thread(self._service.ask, method, path, document)

    async def _ask_list(self, path: str) -> list[dict[str, Any]]:
        found: Any = await self._ask("GET", path)
        return list(found)
