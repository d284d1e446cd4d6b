"""Globus Auth and Groups on loopback: fauxbus, which real globus_sdk clients are pointed at."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from compute_executor.service.auth.globus_auth.registration import AppRegistration

OURS = AppRegistration(
    "5e7b1c1e-0000-4000-8000-00000000c0de",
    "canary-7b1f-service-secret",
    "https://auth.globus.org/scopes/5e7b1c1e-0000-4000-8000-00000000c0de/all",
)
ALICE, BOB = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
TEAM, FORMER = "77777777-0000-4000-8000-000000000001", "77777777-0000-4000-8000-000000000002"
SWEEPER, SWEEPER_SECRET = "cccccccc-0000-4000-8000-000000000003", "canary-7b1f-sweeper-secret"
ALICES, BOBS = "canary-7b1f-alice", "canary-7b1f-bob"
DEPENDENT = "urn:globus:auth:grant_type:dependent_token"


class Fauxbus:
    """A running fauxbus and its world. ``asked``: the paths of requests, control plane apart."""

    def __init__(self) -> None:
        from fauxbus.server import make_server

        self.server = make_server(port=0, require_issued_tokens=True)
        self.world = self.server.world
        self.world.load(_seed())
        self.asked: list[str] = []
        self.consents = True
        self._add_dependent_tokens()
        self._count_requests()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def fail(self, path: str, status: int, **more: Any) -> None:
        """Answer this path with a failure until it is told otherwise."""
        self.server.arm_failure({"path": path, "status": status, **more})

    def recover(self) -> None:
        self.server.failures.clear()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def _count_requests(self) -> None:
        answer = self.server.consume_failure

        def counted(method: str, path: str) -> Any:
            self.asked.append(path)
            return answer(method, path)

        self.server.consume_failure = counted

    def _add_dependent_tokens(self) -> None:
        """fauxbus 0.4 has not built the dependent token grant (it answers 501). This stands in for it: a token for
        the scope that is asked for, acting as the holder of the token that is shown; 403 without consent. The shape
        of the answer, a bare list, is that of globus_sdk.testing's recording."""
        from fauxbus import auth_api
        from fauxbus.server import Route

        own = next(route for route in self.server.routes if route.pattern.match(auth_api.TOKEN_PATH))

        def token(context: Any) -> Any:
            form = context.body
            if form.get("grant_type") != DEPENDENT:
                return own.handler(context)
            client = auth_api._authenticate_client(context, form)
            if not self.consents:
                return 403, {"error": "consent_required"}
            holder = self.world.active_token(form["token"])
            (server,) = self.world.scopes_by_resource_server([form["scope"]])
            issued = self.world.issue_token(
                client, resource_server=server, scopes=[form["scope"]], grant_type=DEPENDENT
            )
            issued.identity_id, issued.username = holder.identity_id, holder.username
            return 200, [_document(self.world, issued)]

        self.server.routes.insert(0, Route("POST", own.pattern, token, False))


def _document(world: Any, issued: Any) -> dict[str, Any]:
    document: dict[str, Any] = world.token_response(issued, [])
    document.pop("other_tokens")
    return document


def _seed() -> dict[str, Any]:
    now = int(time.time())

    def token(identity: str, name: str, **other: Any) -> dict[str, Any]:
        return {
            "client_id": "4cf29807-cf21-49ec-9443-ff9a3fb9f81c",
            "identity_id": identity,
            "username": f"{name}@example.org",
            "resource_server": OURS.client_id,
            "scopes": [OURS.scope],
            "expires_at": now + 3600,
            **other,
        }

    def group(name: str, **members: str) -> dict[str, Any]:
        return {
            "name": name,
            "memberships": {
                identity: {"role": "member", "status": status}
                for identity, status in zip((ALICE, BOB), (members["alice"], members["bob"]), strict=True)
            },
        }

    return {
        "clock": now,
        "clients": {
            OURS.client_id: {"secret": OURS.client_secret},
            SWEEPER: {"secret": SWEEPER_SECRET},
        },
        "tokens": {
            ALICES: token(ALICE, "alice"),
            BOBS: token(BOB, "bob"),
            "canary-old": token(ALICE, "alice", expires_at=now - 1),
            "canary-revoked": token(ALICE, "alice", revoked=True),
            "canary-elsewhere": token(ALICE, "alice", resource_server="transfer.api.globus.org"),
            "canary-narrow": token(ALICE, "alice", scopes=[f"{OURS.scope[:-3]}look"]),
        },
        "groups": {
            TEAM: group("team", alice="active", bob="invited"),
            FORMER: group("former", alice="removed", bob="active"),
        },
    }


@pytest.fixture
def fauxbus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fauxbus]:
    """Globus Auth and Groups; globus_sdk is led there."""
    pytest.importorskip("fauxbus", reason="fauxbus is for Python 3.11 and later")
    running = Fauxbus()
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", running.url)
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_GROUPS", running.url)
    for name in ("GLOBUS_SDK_ENVIRONMENT", "FUNCX_SDK_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    yield running
    running.close()
