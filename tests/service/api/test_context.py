"""What routes answer with, and find in a request."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from compute_executor.service.access import Identity
from compute_executor.service.api.context import (
    AppContext,
    identity_of,
    json_answer,
    msgpack_answer,
    shell_of,
)


def test_answers_say_what_they_are() -> None:
    answer = json_answer({"a": 1}, {"X-More": "b"})
    assert (answer.status_code, json.loads(bytes(answer.body))) == (200, {"a": 1})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-more"] == "b"
    packed = msgpack_answer([1, b"2"])
    assert msgspec.msgpack.decode(bytes(packed.body)) == [1, b"2"]
    assert packed.headers["content-type"] == "application/msgpack"


def test_a_request_knows_its_shell_and_who_asks() -> None:
    shell = AppContext(cast(Any, None), cast(Any, None), "one", stop=lambda: None)
    who = Identity("ann", "Ann")
    app = SimpleNamespace(state=SimpleNamespace(shell=shell))
    request = cast(Any, SimpleNamespace(app=app, scope={"identity": who}))
    assert shell_of(request) is shell
    assert identity_of(request) is who
    assert shell.keys is not AppContext(cast(Any, None), cast(Any, None), "two", stop=lambda: None).keys
