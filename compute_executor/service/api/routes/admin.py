"""What administrators ask for: users, clients, groups and tokens (`service.auth.accounts`)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import NotFound
from compute_executor.service.access import SERVICE, check
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.request_bodies import read_json
from compute_executor.service.auth.accounts.commands import AccountCommand, perform


async def command(request: Request) -> Response:
    """``POST /v3/admin/{command}``: one of `accounts.commands`. What it answers may hold a secret: never cached."""
    check(identity_of(request), "manage accounts", SERVICE, f"route {request.url.path}")
    asked = await read_json(request, AccountCommand)
    accounts = shell_of(request).accounts
    if accounts is None:
        raise NotFound("this service keeps no accounts: it was started with another --auth than token")
    done = await perform(accounts, request.path_params["command"], asked)
    return json_answer(done, {"Cache-Control": "no-store"})


ROUTES = [Route("/v3/admin/{command}", command, methods=["POST"])]
