"""What stock peers ask Globus Auth for, as far as they need it: a token, who they are, who somebody is.

They come here with ``GLOBUS_SDK_SERVICE_URL_AUTH`` and client credentials (observed of globus-sdk 4.9).
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import InvalidRequest
from compute_executor.service.access import Identity, subject
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.error_responses import refusal, unauthenticated
from compute_executor.service.auth.clients import Issued

TOKEN_PATH = "/v2/oauth2/token"
COMPUTE = "funcx_service"
COMPUTE_SCOPE = "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all"
AUTH = "auth.globus.org"
FORM = "application/x-www-form-urlencoded"


async def token(request: Request) -> Response:
    """``POST /v2/oauth2/token``: client credentials, HTTP Basic. The one route that needs no token."""
    clients, credentials = shell_of(request).clients, _credentials(request)
    who = await clients.check_client(*credentials) if clients and credentials else None
    if clients is None or who is None:
        raise unauthenticated()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise refusal(415, f"this route takes {FORM} only")
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    if form.get("grant_type") != ["client_credentials"]:
        raise InvalidRequest("the one grant_type here is client_credentials")
    scopes = " ".join(form.get("scope", [COMPUTE_SCOPE])).split()
    return json_answer(_documents(await clients.issue_token(who), scopes), {"Cache-Control": "no-store"})


def _credentials(request: Request) -> tuple[str, str] | None:
    """Id and secret of the Authorization header."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    client_id, colon, secret = decoded.partition(":")
    return (unquote(client_id), unquote(secret)) if scheme.lower() == "basic" and colon else None


def _documents(issued: Issued, scopes: list[str]) -> dict[str, Any]:
    """Return one document a resource server, the first with the others in it."""
    by_server: dict[str, list[str]] = {}
    for scope in scopes:
        by_server.setdefault(COMPUTE if scope == COMPUTE_SCOPE else AUTH, []).append(scope)
    documents = [
        {
            "access_token": issued.token,
            "scope": " ".join(its),
            "expires_in": int(issued.expires - time.time()),
            "token_type": "Bearer",
            "resource_server": server,
        }
        for server, its in by_server.items()
    ]
    if not documents:
        raise InvalidRequest("a token is for at least one scope")
    return {**documents[0], "other_tokens": documents[1:]}


async def userinfo(request: Request) -> Response:
    """``GET /v2/oauth2/userinfo``"""
    who = _person(identity_of(request))
    sub = who.pop("id")
    document = {"sub": sub, "preferred_username": who["username"], **who}
    return json_answer({**document, "identity_set": [{"sub": sub, **who}]})


async def identities(request: Request) -> Response:
    """``GET /v2/api/identities?ids=``: only about oneself."""
    who = _person(identity_of(request))
    asked = request.query_params.get("ids", "").split(",")
    return json_answer({"identities": [who] if who["id"] in asked else []})


def _person(who: Identity) -> dict[str, Any]:
    name = who.name if "@" in who.name else f"{who.name}@compute-executor"
    return {
        "id": subject(who.id),
        "username": name,
        "name": who.name,
        "email": name,
        "organization": "",
        "identity_provider": "",
        "identity_provider_display_name": "compute-executor",
        "status": "used",
    }


async def result_address(request: Request) -> Response:
    """``GET /v2/get_amqp_result_connection_url``: asked at every connect of a listener; with ``?trouble=true`` also
    why the broker takes no messages, if it takes none."""
    globus_compute = shell_of(request).service.globus_compute
    document = await globus_compute.result_address(identity_of(request))
    asked = request.query_params.get("trouble") == "true"
    if asked and (trouble := await globus_compute.broker_trouble()):
        document["trouble"] = trouble
    return json_answer(document)


ROUTES = [
    Route(TOKEN_PATH, token, methods=["POST"]),
    Route("/v2/oauth2/userinfo", userinfo, methods=["GET"]),
    Route("/v2/api/identities", identities, methods=["GET"]),
    Route("/v2/get_amqp_result_connection_url", result_address, methods=["GET"]),
]
