from __future__ import annotations

import base64
import hashlib
import json
import pickle
import uuid
from typing import Any

import msgspec
import pytest

from compute_executor.errors import PayloadTooLarge
from compute_executor.protocol import frames
from compute_executor.serialization import packing
from tests.service.asgi import Answer, ask
from tests.service.conftest import World

STREAM = pickle.dumps(len)
PACKED = packing.pack([f"01\n{base64.encodebytes(STREAM).decode()}"])
DOCUMENT = {
    "function_name": "measure",
    "function_code": PACKED,
    "serialized": True,
    "meta": {"python_version": "3.11.0"},
    "description": "how long",
    "public": True,
    "group": str(uuid.UUID(int=5)),
}


def post(world: World, document: Any, url: str = "/v3/functions") -> Answer:
    return ask(
        world.app,
        "POST",
        url,
        body=json.dumps(document).encode(),
        headers={"content-type": "application/json"},
    )


def test_a_function_is_known_by_what_was_said_of_it(world: World) -> None:
    function_id = post(world, DOCUMENT).json()["function_uuid"]
    row, code = world.service.functions[uuid.UUID(function_id).bytes]
    assert code == STREAM
    assert row.digest == hashlib.sha256(STREAM).digest()
    assert (row.name, row.description, row.public, row.group) == (
        "measure",
        "how long",
        True,
        DOCUMENT["group"],
    )
    document = ask(world.app, "GET", f"/v2/functions/{function_id}").json()
    assert document == {
        "function_uuid": function_id,
        "function_name": "measure",
        "function_code": PACKED,
        "description": "how long",
        "metadata": {"python_version": "3.11.0"},
        "public": True,
        "group": DOCUMENT["group"],
        "ha_endpoint_id": None,
    }


def test_a_function_for_a_single_endpoint_says_so(world: World) -> None:
    endpoint = str(uuid.UUID(int=9))
    confined = {**DOCUMENT, "public": False, "group": None, "ha_endpoint_id": endpoint}
    function_id = post(world, confined).json()["function_uuid"]
    assert ask(world.app, "GET", f"/v2/functions/{function_id}").json()["ha_endpoint_id"] == endpoint
    wrong = post(world, {**confined, "ha_endpoint_id": "somewhere"})
    assert (wrong.status, "somewhere" in wrong.json()["reason"]) == (400, True)


def test_a_function_of_the_guides_time(world: World) -> None:
    document = {
        "function_name": "",
        "function_code": PACKED,
        "function_source": "",
        "entry_point": "measure",
        "container_uuid": str(uuid.UUID(int=7)),
        "description": None,
        "public": False,
        "group": None,
        "searchable": True,
    }
    function_id = uuid.UUID(post(world, document, "/v2/functions").json()["function_uuid"])
    row, _ = world.service.functions[function_id.bytes]
    assert (row.name, row.container) == ("measure", uuid.UUID(int=7).bytes)


def test_bare_source_is_wrapped(world: World) -> None:
    source = "def f():\n    return 1\n"
    document = {"function_name": "f", "function_code": source, "serialized": False}
    function_id = uuid.UUID(post(world, document).json()["function_uuid"])
    assert world.service.functions[function_id.bytes][1] == packing.function_from_source("f", source)


def test_our_own_frame(world: World) -> None:
    digest = hashlib.sha256(STREAM).digest()
    frame = frames.Register(digest, "measure", STREAM, "how long", {"a": 1})
    headers = {"content-type": "application/msgpack"}
    answer = ask(world.app, "POST", "/v3/functions", body=msgspec.msgpack.encode(frame), headers=headers)
    registered = msgspec.msgpack.decode(answer.body, type=frames.Registered)
    assert (registered.digest, registered.error) == (digest, None)
    assert world.service.functions[registered.function][0].description == "how long"
    world.service.raises = PayloadTooLarge("too long")
    answer = ask(world.app, "POST", "/v3/functions", body=msgspec.msgpack.encode(frame), headers=headers)
    refused = msgspec.msgpack.decode(answer.body, type=frames.Registered)
    assert refused.error is not None
    assert refused.error["reason"] == "too long"


@pytest.mark.parametrize(
    "change",
    [
        {"function_code": "x"},
        {"function_code": 5},
        {"container_uuid": "x"},
        {"meta": []},
        {"function_code": PACKED * 2},
        {"function_code": ""},
        {"function_code": " \n", "serialized": False},
        {"function_name": ""},
        {"function_name": " ", "serialized": False},
    ],
)
def test_what_is_no_function(world: World, change: dict[str, Any]) -> None:
    assert post(world, {**DOCUMENT, **change}).status == 400
    assert world.service.functions == {}


def test_a_deleted_function_is_gone(world: World) -> None:
    function_id = post(world, DOCUMENT).json()["function_uuid"]
    assert ask(world.app, "DELETE", f"/v2/functions/{function_id}").status == 200
    for method in ("GET", "DELETE"):
        assert ask(world.app, method, f"/v2/functions/{function_id}").status == 404
        assert ask(world.app, method, "/v2/functions/x").status == 400
