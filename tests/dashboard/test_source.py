"""What the page knows of a service: asked, remembered, and what it says in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from compute_executor.dashboard.source import PERIOD, RESTING_PERIOD, Source
from compute_executor.errors import ComputeError, NotFound, ServiceUnavailable

GROUP = {
    "id": "a",
    "owner": "ann",
    "queued": 1,
    "running": 0,
    "succeeded": 2,
    "failed": 0,
    "lost": 0,
    "cancelled": 0,
}

COUNTS = {"queued": 1, "running": 0, "succeeded": 2, "failed": 0, "lost": 0, "cancelled": 0}


class Enough(Exception):
    """Ends what goes on for ever."""


class Service:
    """Answers by path; an error in place of an answer is raised."""

    url = "http://service"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, object]] = []
        self.answers: dict[str, Any] = {
            "/v3/groups": {"groups": [GROUP]},
            "/v3/figures": {"tasks": COUNTS, "functions": [], "rate": 1.0},
            "/v2/endpoints": [{"uuid": "e", "name": "here"}],
            "/v2/endpoints/e/status": {"status": "online"},
            "/v3/agents": NotFound("no route: an older service"),
            "/v3/overview": {"workers": [{}, {}]},
            "/v3/tasks": {"tasks": [{"error": "e", "short": "x.1"}]},
            "/v3/tasks/t": {"id": "t"},
            "/v3/groups/a/cancel": {"withdrawn": 1},
        }

    def ask(self, method: str, path: str, document: object = None) -> Any:
        self.asked.append((method, path, document))
        answer = self.answers[path.partition("?")[0]]
        if isinstance(answer, ComputeError):
            raise answer
        return answer if isinstance(answer, list) else dict(answer)


def test_a_look_at_the_service() -> None:
    source = Source(Service())
    asyncio.run(source.refresh())
    assert (source.groups, source.trouble) == ([GROUP], "")
    assert source.history.samples[-1].workers == 2


def test_a_look_asks_for_no_more_than_counts_groups_and_overview() -> None:
    service = Service()
    asyncio.run(Source(service).refresh())
    assert [path for _, path, _ in service.asked] == [
        "/v3/overview",
        "/v3/figures?only=tasks&everybody=true",
        "/v3/groups?limit=20&everybody=true",
    ]


def test_it_asks_less_often_while_no_page_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    waits: list[float] = []

    async def main() -> None:
        source = Source(service)
        seen = object()

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        async def wait_for(event: Coroutine[Any, Any, Any], seconds: float) -> None:
            watched = source._watched.is_set()
            event.close()
            waits.append(0.0 if watched else seconds)
            if len(waits) == 2:
                source.watch(seen)
            elif len(waits) == 4:
                source.unwatch(seen)
            elif len(waits) == 6:
                raise Enough
            if not watched:
                raise asyncio.TimeoutError

        monkeypatch.setattr(asyncio, "sleep", sleep)
        monkeypatch.setattr(asyncio, "wait_for", wait_for)
        with pytest.raises(Enough):
            await source.follow()

    asyncio.run(main())
    rest = RESTING_PERIOD - PERIOD
    assert waits == [PERIOD, rest, PERIOD, 0.0, PERIOD, rest]
    assert len(service.asked) == 3 * 3


def test_trouble_is_said_and_passes() -> None:
    service = Service()
    source = Source(service)
    good, service.answers["/v3/groups"] = service.answers["/v3/groups"], ServiceUnavailable("it is away")
    asyncio.run(source.refresh())
    assert source.trouble == "it is away"
    service.answers["/v3/groups"] = good
    asyncio.run(source.refresh())
    assert source.trouble == ""


def test_a_user_who_may_not_see_the_service_sees_the_groups() -> None:
    service = Service()
    service.answers["/v3/overview"] = NotFound("no")
    source = Source(service)
    asyncio.run(source.refresh())
    asyncio.run(source.refresh())
    assert (source.operator, source.groups) == (False, [GROUP])
    assert [path for _, path, _ in service.asked].count("/v3/overview") == 1


def test_tasks_failures_and_a_cancel() -> None:
    service = Service()
    source = Source(service)
    assert asyncio.run(source.tasks(state="failed", function="", limit=5)) == [{"error": "e", "short": "x.1"}]
    assert service.asked[-1][1] == "/v3/tasks?state=failed&limit=5"
    assert asyncio.run(source.failures())[0].example == "x.1"
    assert asyncio.run(source.functions()) == []
    assert service.asked[-1][1] == "/v3/figures?everybody=true"
    assert asyncio.run(source.task("t")) == {"id": "t"}
    assert asyncio.run(source.cancel("group", "a", running=True)) == {"withdrawn": 1}
    assert service.asked[-1] == ("POST", "/v3/groups/a/cancel", {"running": True})


def test_endpoints_and_users() -> None:
    service = Service()
    source = Source(service)
    assert asyncio.run(source.endpoints()) == [{"id": "e", "name": "here", "status": "online", "load": ""}]
    service.answers["/v2/endpoints/e/status"] = ServiceUnavailable("it is away")
    assert asyncio.run(source.endpoints())[0]["status"] == "it is away"
    agent = {"endpoint_id": "e", "engine": "slurm", "workers": 2, "running": 1, "open": 5, "machines": []}
    service.answers["/v3/agents"] = {"endpoints": [agent]}
    assert asyncio.run(source.endpoints())[0]["load"] == "slurm, 2 workers, 1 running, 5 open"
    assert asyncio.run(source.users())[0]["user"] == "ann"
    source.operator = False
    assert asyncio.run(source.users()) == []
