"""The service itself: its version, how it is doing, its end."""

from __future__ import annotations

from email.utils import formatdate

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.service.access import SERVICE, check
from compute_executor.service.api import documents
from compute_executor.service.api.context import identity_of, json_answer, shell_of


async def version(request: Request) -> Response:
    """``GET /v2/version?service=all``: asked once by every stock Client(). It also tells the time here."""
    document = documents.version(shell_of(request).instance)
    return json_answer(document, {"Date": formatdate(usegmt=True)})


async def overview(request: Request) -> Response:
    """``GET /v3/overview``: tasks by state, workers, pools."""
    check(identity_of(request), "see service", SERVICE, "overview")
    return json_answer(shell_of(request).service.overview())


async def shutdown(request: Request) -> Response:
    """``POST /v3/shutdown``: the process ends after this answer. What is open stays stored."""
    check(identity_of(request), "stop service", SERVICE, "shutdown")
    shell = shell_of(request)
    shell.stop()
    return json_answer({"status": "ending", "instance": shell.instance})


ROUTES = [
    Route("/v2/version", version, methods=["GET"]),
    Route("/v3/overview", overview, methods=["GET"]),
    Route("/v3/shutdown", shutdown, methods=["POST"]),
]
