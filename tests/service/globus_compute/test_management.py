"""Users and rights at the broker, over a management interface that records what it is asked."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import ServiceUnavailable
from compute_executor.service.globus_compute import names
from compute_executor.service.globus_compute.management import (
    BrokerCredentials,
    BrokerRights,
    endpoint_rights,
    listener_rights,
    user_endpoint_rights,
)
from tests.service.fixture import live

RIGHTS = BrokerRights("^w$", "^r$", {"results": "^k$"})
ONE, OTHER = uuid.uuid4(), uuid.uuid4()


class Management:
    """The interface. ``status``: what it answers with."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any, str]] = []
        self.status = 200
        self.answer = b""
        management = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                login = self.headers["Authorization"]
                management.asked.append((self.command, self.path, json.loads(body) if body else None, login))
                self.send_response(management.status)
                self.send_header("Content-Length", str(len(management.answer)))
                self.end_headers()
                self.wfile.write(management.answer)

            do_GET = do_PUT = do_DELETE = _answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def management() -> Iterator[Management]:
    management = Management()
    thread = threading.Thread(target=management.server.serve_forever, args=(0.01,))
    thread.start()
    yield management
    management.server.shutdown()
    thread.join()
    management.server.server_close()


def credentials(management: Management, url: str = "amqp://me:p%2Fw@broker:5673/v") -> BrokerCredentials:
    return BrokerCredentials(url, b"secret", public=None, management=management.url)


@live
async def test_each_name_gets_a_user_with_its_rights_once(management: Management) -> None:
    found = credentials(management)
    await found.probe()
    assert found.separate
    url = await found.url("a/b", RIGHTS)
    assert await found.url("a/b", RIGHTS) == url
    password = urlsplit(url).password
    assert management.asked[1:] == [
        ("PUT", "/api/users/a%2Fb", {"password": password, "tags": ""}, "Basic bWU6cC93"),
        (
            "PUT",
            "/api/permissions/v/a%2Fb",
            {"configure": "^$", "write": "^w$", "read": "^r$"},
            "Basic bWU6cC93",
        ),
        (
            "PUT",
            "/api/topic-permissions/v/a%2Fb",
            {"exchange": "results", "write": "^k$", "read": "^$"},
            "Basic bWU6cC93",
        ),
    ]
    assert unquote(urlsplit(url).username or "") == "a/b"
    assert url.endswith("@broker:5673/v")


@live
async def test_alarms_are_told_as_the_broker_tells_them(management: Management) -> None:
    one = credentials(management)
    assert await one.alarms() == ""  # it was not found yet
    await one.probe()
    assert await one.alarms() == ""
    management.status, management.answer = 503, b'{"alarms":[{"resource":"memory"}]}'
    assert '"resource":"memory"' in await one.alarms()
    assert management.asked[-1][:2] == ("GET", "/api/health/checks/alarms")


@live
async def test_passwords_stay_the_same_and_differ_by_name_and_service(management: Management) -> None:
    async def password(secret: bytes, name: str) -> str | None:
        one = BrokerCredentials("amqp://broker", secret, public=None, management=management.url)
        await one.probe()
        return urlsplit(await one.url(name, RIGHTS)).password

    first = await password(b"s", "a")
    assert first == await password(b"s", "a")
    assert first != await password(b"s", "b")
    assert first != await password(b"t", "a")


@pytest.mark.parametrize("status", [401, 403, 404, 500])
@live
async def test_without_the_interface_all_share_and_it_is_said(
    management: Management, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    management.status = status
    found = credentials(management)
    await found.probe()
    assert not found.separate
    assert "share the credentials" in caplog.text
    assert "p/w" not in caplog.text
    assert await found.url("name", RIGHTS) == "amqp://me:p%2Fw@broker:5673/v"
    await found.drop("name")
    assert len(management.asked) == 1


@live
async def test_nobody_listens_there(unused_address: str) -> None:
    found = BrokerCredentials("amqp://broker", b"", public=None, management=unused_address)
    await found.probe()
    assert not found.separate
    assert await found.url("name", RIGHTS) == "amqp://guest:guest@broker/%2F"


@pytest.fixture
def unused_address() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}"


@live
async def test_a_user_that_could_not_be_made_is_made_the_next_time(management: Management) -> None:
    found = credentials(management)
    await found.probe()
    management.status = 500
    with pytest.raises(ServiceUnavailable, match="management interface"):
        await found.url("name", RIGHTS)
    management.status = 201
    await found.url("name", RIGHTS)
    assert [path for _, path, *_ in management.asked].count("/api/users/name") == 2


@live
async def test_a_dropped_user_is_made_anew_when_it_is_wanted(
    management: Management, caplog: pytest.LogCaptureFixture
) -> None:
    found = credentials(management)
    await found.probe()
    await found.url("a/b", RIGHTS)
    await found.drop("a/b")
    assert management.asked[-1][:2] == ("DELETE", "/api/users/a%2Fb")
    await found.url("a/b", RIGHTS)
    assert [method for method, *_ in management.asked].count("PUT") == 6
    management.status = 500
    await found.drop("a/b")
    assert "a/b stays" in caplog.text


@pytest.mark.parametrize(
    ("own", "public", "given"),
    [
        ("amqp://u:p@in:1/v", "amqps://out:2/w", "amqps://u:p@out:2/w"),
        ("amqp://u:p@in", "amqps://[2001:db8::1]:5671", "amqps://u:p@[2001:db8::1]:5671/%2F"),
        ("amqp://u:p@in/v?heartbeat=9", None, "amqp://u:p@in/v?heartbeat=9"),
        ("amqp://a%40b:c%3Ad@in/v", None, "amqp://a%40b:c%3Ad@in/v"),
    ],
)
@live
async def test_others_get_the_address_that_they_can_reach(own: str, public: str | None, given: str) -> None:
    found = BrokerCredentials(own, b"", public=public, management=None)
    assert await found.url("name", RIGHTS) == given


def allowed(pattern: str, name: str) -> bool:
    return re.search(pattern, name) is not None


def test_an_endpoint_reads_its_own_commands_and_speaks_for_itself() -> None:
    rights = endpoint_rights(ONE)
    assert allowed(rights.read, names.command_queue(ONE))
    assert not allowed(rights.read, names.command_queue(OTHER))
    assert not allowed(rights.read, names.command_queue(ONE).replace(".", "-"))  # a dot is a dot
    assert not allowed(rights.read, names.task_queue(ONE))
    assert not allowed(rights.write, names.RESULTS)
    assert allowed(rights.topics[names.HEARTBEATS], names.routing_key(ONE, names.HEARTBEATS))
    assert not allowed(rights.topics[names.HEARTBEATS], names.routing_key(OTHER, names.HEARTBEATS))
    assert not allowed(rights.topics[names.RESULTS], names.routing_key(ONE, names.RESULTS))


def test_a_user_endpoint_reads_its_own_tasks_and_speaks_for_itself() -> None:
    rights = user_endpoint_rights(ONE)
    assert allowed(rights.read, names.task_queue(ONE))
    assert not allowed(rights.read, names.task_queue(OTHER))
    assert not allowed(rights.read, names.log_queue(ONE))
    assert not allowed(rights.write, names.TASKS)
    for exchange in (names.RESULTS, names.HEARTBEATS):
        assert allowed(rights.write, exchange)
        assert allowed(rights.topics[exchange], names.routing_key(ONE, exchange))
        assert not allowed(rights.topics[exchange], names.routing_key(OTHER, exchange))


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_listener_reads_the_queues_of_one_user(owner: str, other: str) -> None:
    rights, group = listener_rights(owner), ONE.bytes
    assert allowed(rights.read, names.result_queue(owner, group))
    assert allowed(rights.read, names.result_queue(other, group)) == (owner == other)
    assert not allowed(rights.write, names.RESULTS)
    assert not allowed(rights.write, names.result_queue(owner, group))
