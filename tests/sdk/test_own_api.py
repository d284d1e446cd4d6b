"""The HTTP API of an own service: what is asked, and how answers are read."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import msgspec
import pytest

from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    ResultDecodeError,
    ResultGone,
    ServiceUnavailable,
)
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, task_uuid
from compute_executor.sdk.http.direct import ServerAddress
from compute_executor.sdk.login_manager.environments import TUTORIAL_ENDPOINT
from compute_executor.sdk.own_api import OwnApi
from tests.login import api_at, api_of
from tests.sdk.conftest import Reply, ScriptedService

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode
ENDPOINT, GROUP = uuid.UUID(int=1, version=4), uuid.UUID(int=2, version=4)
NAME = "0" * 32


@pytest.fixture
def api(service: ScriptedService) -> Iterator[OwnApi]:
    api = api_at(service.url, "token")
    yield api
    api.close()


def submit(endpoint: bytes) -> frames.Submit:
    return frames.Submit(new_prefix(), GROUP.bytes, endpoint, None, [b"d" * 32], msgspec.Raw(b"\x90"), 0)


def packed(message: object) -> Reply:
    return Reply(200, body=encode(message))


def test_a_large_body_is_put_and_fetched(service: ScriptedService, api: OwnApi) -> None:
    service.on(f"PUT /v3/blobs/{NAME}", Reply())
    service.on(f"GET /v3/blobs/{NAME}", Reply(200, body=b"content"))
    api.put_blob(NAME, b"content")
    assert api.get_blob(frames.Blob(NAME, 7)) == b"content"
    assert (service.seen[0].body, service.seen[0].headers["authorization"]) == (b"content", "Bearer token")
    with pytest.raises(ResultDecodeError, match="has 9 bytes, 7 came"):
        api.get_blob(frames.Blob(NAME, 9))


def test_a_result_whose_file_was_deleted_says_so(service: ScriptedService, api: OwnApi) -> None:
    service.on(f"GET /v3/blobs/{NAME}", Reply(404, NotFound("there is no blob").document()))
    with pytest.raises(ResultGone, match=r"result of 7 bytes .* was taken by its client before"):
        api.get_blob(frames.Blob(NAME, 7))


@pytest.mark.parametrize("name", ["../functions", "", "0" * 31, "x" * 32])
def test_what_is_no_blob_name_is_not_asked_for(service: ScriptedService, api: OwnApi, name: str) -> None:
    with pytest.raises(ResultDecodeError, match="no blob name"):
        api.get_blob(frames.Blob(name, 7))
    assert service.seen == []


def test_a_function_has_its_id_or_its_error(service: ScriptedService, api: OwnApi) -> None:
    register = frames.Register(b"d" * 32, "f", b"code")
    refused = InvalidRequest("not this one").document()
    service.on(
        "POST /v3/functions",
        packed(frames.Registered(b"d" * 32, GROUP.bytes)),
        packed(frames.Registered(b"d" * 32, b"", refused)),
    )
    assert api.register(register) == str(GROUP)
    assert decode(service.seen[0].body, type=frames.Register) == register
    with pytest.raises(InvalidRequest, match="not this one"):
        api.register(register)


def test_a_submit_goes_to_its_endpoint_or_the_services_own(service: ScriptedService, api: OwnApi) -> None:
    for endpoint in (ENDPOINT, TUTORIAL_ENDPOINT):
        service.on(f"POST /v3/endpoints/{endpoint}/submit", packed(frames.Accepted(new_prefix())))
    api.submit(submit(ENDPOINT.bytes))
    api.submit(submit(b""))
    assert [seen.path.split("/")[3] for seen in service.seen] == [str(ENDPOINT), TUTORIAL_ENDPOINT]


def test_a_pool_is_opened(service: ScriptedService, api: OwnApi) -> None:
    service.on("POST /v3/pools", Reply())
    pool = frames.OpenPool(b"p" * 16, frames.PoolSpec(2, "python", [], "/", {}))
    api.open_pool(pool)
    assert decode(service.seen[0].body, type=frames.OpenPool) == pool


def test_cancelling_says_which_will_not_run(service: ScriptedService, api: OwnApi) -> None:
    prefix = new_prefix()
    service.on("POST /v3/tasks/cancel", packed([(prefix, [1])]))
    assert api.cancel([(prefix, [0, 1])]) == [(prefix, [1])]
    assert decode(service.seen[0].body) == [[prefix, [0, 1]]]


def test_a_groups_batches_are_counted_in_their_order(service: ScriptedService, api: OwnApi) -> None:
    first, second = new_prefix(), new_prefix()
    ids = [(first, 0), (first, 1), (second, 0), (first, 2)]
    service.on(f"GET /v2/taskgroup/{GROUP}", Reply(200, {"tasks": [{"id": task_uuid(*one)} for one in ids]}))
    assert list(api.group_tasks(GROUP).items()) == [(first, 3), (second, 1)]
    with pytest.raises(NotFound):
        api.group_tasks(uuid.uuid4())


NONSENSE = [
    b"",
    b"<html>",
    b"\xc1",
    b"\x91\xa1\xff",
    b"\x91" * 5000,
    encode(5),
    encode([[1, 2, 3]]),
    encode({"a": 1}),
]


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize(
    ("route", "ask"),
    [
        ("POST /v2/batch_status", lambda api: api.poll([(new_prefix(), [0])])),
        ("POST /v3/tasks/cancel", lambda api: api.cancel([(new_prefix(), [0])])),
        ("POST /v3/functions", lambda api: api.register(frames.Register(b"d" * 32, "f", b"code"))),
        (f"GET /v2/taskgroup/{GROUP}", lambda api: api.group_tasks(GROUP)),
    ],
)
def test_an_answer_that_cannot_be_read_is_a_compute_error(
    service: ScriptedService, api: OwnApi, route: str, ask: Callable[[OwnApi], object], nonsense: bytes
) -> None:
    service.on(route, Reply(200, body=nonsense))
    with pytest.raises(ComputeError):
        ask(api)


def test_ids_that_are_none_are_compute_errors(service: ScriptedService, api: OwnApi) -> None:
    service.on("POST /v3/functions", packed(frames.Registered(b"d" * 32, b"short")))
    service.on(f"GET /v2/taskgroup/{GROUP}", Reply(200, {"tasks": [{"id": "none"}]}))
    with pytest.raises(ComputeError, match="no id"):
        api.register(frames.Register(b"d" * 32, "f", b"code"))
    with pytest.raises(ComputeError, match="no id"):
        api.group_tasks(GROUP)


# -- connecting by it -----------------------------------------------------------------------------------------


class Logins:
    """Tokens that are had one after the other."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.renewals = 0
        self.api = api_of(lambda: ServerAddress("http://127.0.0.1:1", self.tokens[0]), self._renew)

    def _renew(self) -> None:
        self.renewals += 1
        if len(self.tokens) > 1:
            del self.tokens[0]


def good(*tokens: str) -> Callable[[str, str], str]:
    """A connection that is open to these tokens."""

    def connection(_: str, authorization: str) -> str:
        if authorization.removeprefix("Bearer ") not in tokens:
            raise NotAuthorized("who are you?")
        return authorization

    return connection


def test_a_good_login_is_not_renewed() -> None:
    logins = Logins("one", "two")
    assert logins.api.connect(good("one")) == "Bearer one"
    assert logins.renewals == 0


def test_a_refused_login_is_renewed_and_kept() -> None:
    logins = Logins("one", "two", "three")
    assert [logins.api.connect(good("two")), logins.api.connect(good("two"))] == ["Bearer two"] * 2
    assert logins.renewals == 1


def test_a_second_refusal_is_the_answer() -> None:
    logins = Logins("one", "two", "three")
    with pytest.raises(NotAuthorized, match="who are you"):
        logins.api.connect(good("three"))
    assert logins.renewals == 1


def test_without_another_login_the_refusal_is_the_answer() -> None:
    with pytest.raises(NotAuthorized, match="who are you"):
        Logins("one").api.connect(good("two"))


@pytest.mark.parametrize("error", [NotFound("no such thing"), ServiceUnavailable("gone"), OSError("cut")])
def test_other_errors_are_no_matter_of_the_login(error: Exception) -> None:
    logins = Logins("one", "two")

    def connection(*_: str) -> None:
        raise error

    with pytest.raises(type(error)):
        logins.api.connect(connection)
    assert logins.renewals == 0
