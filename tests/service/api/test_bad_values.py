"""Whatever value a message holds, it has an answer: no 500, no stream cut without a code, no traceback in the log,
and nothing that others notice, also after a restart. The messages are made of the types of all routes and frames.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from compute_executor.endpoint.environments.recipes import ImageDocument, RecipeDocument
from compute_executor.errors import InvalidRequest
from compute_executor.protocol import frames
from compute_executor.protocol.ids import TaskPositions, new_prefix
from compute_executor.service.api import documents
from compute_executor.service.api.app import AccessConfig, make_app
from compute_executor.service.api.context import AppContext
from compute_executor.service.api.routes.agents import AgentDocument, MachineDocument
from compute_executor.service.api.routes.lists import CancelOptions
from compute_executor.service.api.routes.service import CollectOptions
from compute_executor.service.auth.accounts.commands import AccountCommand
from compute_executor.service.endpoints.ids import BUILT_IN
from compute_executor.service.service import Service
from tests.protocol.bad_values import ODD_TEXTS, every_bad_message
from tests.service import every_route
from tests.service.api.test_stream import HELLO, Client
from tests.service.asgi import HOST, request
from tests.service.fixture import (
    ALICE,
    BOB,
    CODE,
    DIGEST,
    GROUP,
    POOL,
    ServiceFixture,
    live,
    register,
    serving,
)

KNOWN_ID = str(uuid.UUID(bytes=GROUP))
JSON, MSGPACK = "application/json", "application/msgpack"

BODIES: dict[str, list[tuple[str, Any]]] = {
    "/v3/functions": [(JSON, documents.FunctionDocument), (MSGPACK, frames.Register)],
    "/v2/functions": [(JSON, documents.FunctionDocument)],
    "/v2/endpoints": [(JSON, documents.EndpointDocument)],
    "/v3/endpoints": [(JSON, documents.EndpointDocument)],
    "/v3/endpoints/{id}": [(JSON, documents.EndpointDocument)],
    "/v3/endpoints/{id}/submit": [(JSON, documents.SubmitDocument), (MSGPACK, frames.Submit)],
    "/v2/submit": [(JSON, documents.LegacySubmitDocument)],
    "/v2/batch_status": [(JSON, documents.TaskIds), (MSGPACK, TaskPositions)],
    "/v3/tasks/cancel": [(JSON, documents.TaskIds), (MSGPACK, TaskPositions)],
    "/v3/tasks/{id}/cancel": [(JSON, CancelOptions)],
    "/v3/groups/{id}/cancel": [(JSON, CancelOptions)],
    "/v2/containers": [(JSON, ImageDocument)],
    "/v2/containers/build": [(JSON, RecipeDocument)],
    "/v3/pools": [(MSGPACK, frames.OpenPool)],
    "/v3/gc": [(JSON, CollectOptions)],
    "/v3/agents/{name}": [(JSON, AgentDocument)],
    "/v3/agents/{name}/end": [(JSON, MachineDocument)],
    "/v3/agents/{name}/forget": [(JSON, MachineDocument)],
    "/v3/admin/{command}": [(JSON, AccountCommand)],
}
"""What the routes that take a body take."""

WITHOUT_MESSAGE = {
    "/v3/blobs/{name}",
    "/v2/oauth2/token",
    "/v2/endpoints/{id}/lock",
    "/v3/endpoints/{id}/lock",
    "/v3/shutdown",
    "/v3/agents/{name}/revoke",
}
"""Their bodies are bytes, a form, or nothing."""


def right_values() -> dict[str, Any]:
    """Of fields for which a made-up value would be refused before the others are looked at."""
    return {
        "group": GROUP,
        "pool": None,
        "endpoint": BUILT_IN.bytes,
        "functions": [DIGEST],
        "digest": DIGEST,
        "code": CODE,
        "count": 1,
        "prefix": new_prefix(),
        "container": None,
        "container_uuid": None,
    }


@pytest.fixture
def fixture(tmp_path: Path) -> ServiceFixture:
    return ServiceFixture(tmp_path, echo=True)


def test_every_route_with_a_body_is_tried() -> None:
    taking = {path for method, path in every_route.HTTP if method in {"POST", "PUT"}}
    assert taking == BODIES.keys() | WITHOUT_MESSAGE


def traces(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage() for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR
    ]


def bodies(path: str, kind: Any, content_type: str) -> list[bytes]:
    fixed = right_values() if content_type == MSGPACK else {"group": None, "container_uuid": None}
    return every_bad_message(kind, as_json=content_type == JSON, **fixed)


@pytest.mark.parametrize(
    ("path", "content_type", "kind"),
    [(path, *one) for path, kinds in BODIES.items() for one in kinds],
)
@live
async def test_bodies(
    fixture: ServiceFixture, caplog: pytest.LogCaptureFixture, path: str, content_type: str, kind: Any
) -> None:
    async with serving(fixture) as service:
        await register(service)
        app = _app(service, fixture)
        method = "PUT" if ("PUT", path) in every_route.HTTP else "POST"
        place = path.replace("{id}", str(BUILT_IN) if "endpoints" in path else KNOWN_ID)
        for body in bodies(path, kind, content_type):
            answer = await request(app, method, place, body=body, headers={"content-type": content_type})
            assert answer.status != 500, (body[:200], answer.body)
        await _all_lists_are_there(app)
    assert traces(caplog) == []


@pytest.mark.parametrize("kind", get_args(frames.ToService), ids=lambda kind: kind.__name__)
@live
async def test_frames(fixture: ServiceFixture, caplog: pytest.LogCaptureFixture, kind: Any) -> None:
    async with serving(fixture) as service:
        await register(service)
        values = {**right_values(), **({"pool": POOL} if kind is not frames.Submit else {})}
        for frame in every_bad_message(kind, as_json=False, **values):
            client = Client(service)
            await client.hello()
            client.say(frame, frames.Cancel(77, []))
            while (message := await client.message())["type"] == "websocket.send":
                if msgspec.msgpack.decode(message["bytes"])[:2] == [6, 77]:
                    break  # it is served on
            else:
                assert message["code"] in {4400, 4404}, (frame[:200], message)
            await client.leave()
        await _all_lists_are_there(_app(service, fixture))
    async with serving(fixture) as service:  # what was stored does not hinder a start
        await _all_lists_are_there(_app(service, fixture))
    assert traces(caplog) == []


@live
async def test_first_frames(fixture: ServiceFixture, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(fixture) as service:
        for hello in every_bad_message(frames.Hello, as_json=True, compute_executor=frames.PROTOCOL):
            client = Client(service)
            client.say(hello.decode(errors="replace"))
            await _answered(client)
    assert traces(caplog) == []


@live
async def test_text_where_frames_are_binary(
    fixture: ServiceFixture, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(fixture) as service:
        for text in [HELLO, *ODD_TEXTS]:
            client = Client(service)
            await client.hello()
            client.say(text)
            code, reason = await client.closed()
            assert (code, reason) == (
                4400,
                "a frame cannot be read: after the first they are binary, this is text",
            )
    assert traces(caplog) == []


@live
async def test_metadata_that_no_list_could_show_is_refused_and_others_see_theirs(
    fixture: ServiceFixture,
) -> None:
    async with serving(fixture) as service:
        client = Client(service)
        await client.hello()
        odd = msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(5, b"x")})
        client.say(
            msgspec.msgpack.encode([3, DIGEST, "f", CODE, "", msgspec.Raw(odd), True, None]),
            frames.Register(DIGEST, "f", CODE, "", {"a": 1}, public=True),
        )
        refused, taken = await client.frame(), await client.frame()
        assert refused.error["code"] == InvalidRequest.code
        assert "metadata holds Ext" in refused.error["reason"]
        assert taken.error is None
        assert [row.metadata for row in service.find_functions(BOB)] == [{"a": 1}]
        await client.leave()


async def _answered(client: Client) -> None:
    first = await client.message()
    assert first["type"] == "websocket.accept"
    message = await client.message()
    if message["type"] == "websocket.close":
        assert message["code"] in {4400, 4404, 4426}
    await client.leave()


def _app(service: Service, fixture: ServiceFixture) -> Any:
    shell = AppContext(service, fixture.blobs, "instance-1", stop=lambda: None, accounts=service.accounts())
    return make_app(shell, AccessConfig(_Everybody(), [HOST]))


class _Everybody:
    async def identify(self, token: str) -> Any:
        return ALICE._replace(admin=True)


async def _all_lists_are_there(app: Any) -> None:
    for path in ("/v2/functions", "/v3/groups", "/v3/tasks", "/v2/endpoints", "/v3/overview"):
        assert (await request(app, "GET", path)).status == 200, path
