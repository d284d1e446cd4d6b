"""The service itself: its version, how it is doing, its end."""

from __future__ import annotations

import math
from email.utils import formatdate

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import InvalidRequest
from compute_executor.service.access import SERVICE, check
from compute_executor.service.api import documents
from compute_executor.service.api.context import identity_of, is_ours, json_answer, shell_of
from compute_executor.service.api.request_bodies import read_json


async def version(request: Request) -> Response:
    """``GET /v2/version?service=all``: asked once by every stock Client(). It also tells the time here. Others
    than our own clients get the API's version alone, as text, unless they ask for ``all``."""
    document = documents.version(shell_of(request).instance)
    whole = request.query_params.get("service") == "all" or is_ours(request)
    return json_answer(document if whole else document["api"], {"Date": formatdate(usegmt=True)})


async def overview(request: Request) -> Response:
    """``GET /v3/overview``: tasks by state, workers, pools."""
    check(identity_of(request), "see service", SERVICE, "overview")
    return json_answer(shell_of(request).service.overview())


async def shutdown(request: Request) -> Response:
    """``POST /v3/shutdown?discard=true``: the process ends after this answer. What is open stays stored, or is
    cancelled before."""
    check(identity_of(request), "stop service", SERVICE, "shutdown")
    shell = shell_of(request)
    answer: dict[str, object] = {"status": "ending", "instance": shell.instance}
    if request.query_params.get("discard") == "true":
        answer.update((await shell.service.discard())._asdict())
    shell.stop()
    return json_answer(answer)


class CollectOptions(msgspec.Struct):
    """What to delete. ``older``: also what ended so many seconds ago, acknowledged or not."""

    older: float | None = None


async def collect(request: Request) -> Response:
    """``POST /v3/gc``: delete what need not be kept any more; how much that was."""
    check(identity_of(request), "stop service", SERVICE, "gc")
    options = await read_json(request, CollectOptions)
    if options.older is not None and not 0 <= options.older < math.inf:
        raise InvalidRequest(f"older is a number of seconds, not {options.older}")
    return json_answer(await shell_of(request).service.collect(options.older))


ROUTES = [
    Route("/v2/version", version, methods=["GET"]),
    Route("/v3/overview", overview, methods=["GET"]),
    Route("/v3/shutdown", shutdown, methods=["POST"]),
    Route("/v3/gc", collect, methods=["POST"]),
]
