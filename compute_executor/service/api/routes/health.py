"""What monitoring asks: whether the service is there, and its figures for Prometheus."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor._version import __version__
from compute_executor.service.access import SERVICE, check
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.error_responses import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

HEALTH_PATH = "/health"


async def health(_: Request) -> Response:
    """``GET /health``, without a token: that it answers, and its version. Nothing else: strangers may ask."""
    return json_answer({"status": "ok", "version": __version__})


async def metrics(request: Request) -> Response:
    """``GET /metrics`` for Prometheus, in its text format; with the token of an operator, as a scrape
    configuration can send it (``authorization: {credentials_file: ...}``)."""
    check(identity_of(request), "see service", SERVICE, "metrics")
    try:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_LATEST
    except ImportError:
        raise refusal(501, "metrics need a package: pip install 'compute-executor[metrics]'") from None
    registry = CollectorRegistry()
    registry.register(_ServiceFigures(shell_of(request).service.overview()))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _ServiceFigures:
    """A collector for prometheus-client over one overview of the service."""

    def __init__(self, overview: dict[str, Any]) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        """Yield every metric. Counters begin at 0 with each start of the service."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        tasks = dict(self._overview["tasks"])
        ended = tasks.pop("ended_since_start")
        yield CounterMetricFamily(
            "compute_executor_tasks_ended", "Tasks whose outcome was stored", value=ended
        )
        by_state = GaugeMetricFamily("compute_executor_tasks", "Open tasks by state", labels=["state"])
        for state, number in tasks.items():
            if state != "done":
                by_state.add_metric([state], number)
        yield by_state
        workers = GaugeMetricFamily("compute_executor_workers", "Worker processes by state", labels=["state"])
        for state, number in sorted(Counter(one["state"] for one in self._overview["workers"]).items()):
            workers.add_metric([state], number)
        yield workers
        figures = {
            "pools": ("Worker pools", len(self._overview["pools"])),
            "connections": ("Connected clients", self._overview["connections"]),
            "uptime_seconds": ("Seconds since the start", self._overview["uptime"]),
            "storing": (
                "1 while outcomes can be stored, 0 while not",
                int(self._overview["storing"] == "ok"),
            ),
        }
        for name, (what, value) in figures.items():
            yield GaugeMetricFamily(f"compute_executor_{name}", what, value=value)


ROUTES = [
    Route(HEALTH_PATH, health, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
]
