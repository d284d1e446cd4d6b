"""A service that answers what a test tells it to, over real sockets."""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import pytest

from compute_executor.sdk.login_manager.environments import SCOPE

CREDENTIALS = (
    "GLOBUS_COMPUTE_CLIENT_ID",
    "GLOBUS_COMPUTE_CLIENT_SECRET",
    "FUNCX_SDK_CLIENT_ID",
    "FUNCX_SDK_CLIENT_SECRET",
    "GLOBUS_SDK_ENVIRONMENT",
    "FUNCX_SDK_ENVIRONMENT",
)


class Seen(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Reply(NamedTuple):
    """What is answered; ``hang_up``: nothing, the connection is closed after the request was read."""

    status: int = 200
    document: Any = None
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    hang_up: bool = False


Answering = Callable[[Seen], Reply]


def reprs(*things: object) -> list[str]:
    """What the things show of themselves and of their attributes, and those of the package's own classes below."""
    shown, seen, left = list[str](), set[int](), list(things)
    while left:
        thing = left.pop()
        if id(thing) not in seen:
            seen.add(id(thing))
            attributes = getattr(thing, "__dict__", {})
            shown += [repr(thing), repr(attributes)]
            left += [
                one for one in attributes.values() if type(one).__module__.startswith("compute_executor")
            ]
    return shown


class ScriptedService:
    """Answers by ``"METHOD /path"``: with one Reply for ever, with one after the other, or with what a function
    makes of the request. Anything else is a 404."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answers: dict[str, Answering] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                service.handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False
        self.server.block_on_close = False
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def on(self, route: str, *replies: Reply | Answering) -> None:
        """The last reply stays."""
        queue = deque(replies)

        def answer(seen: Seen) -> Reply:
            reply = queue.popleft() if len(queue) > 1 else queue[0]
            return reply if isinstance(reply, Reply) else reply(seen)

        self.answers[route] = answer

    def requests(self, route: str) -> list[Seen]:
        method, _, path = route.partition(" ")
        return [seen for seen in self.seen if seen.method == method and seen.path == path]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in handler.headers.items()}
        seen = Seen(handler.command, handler.path, headers, body)
        self.seen.append(seen)
        answer = self.answers.get(f"{seen.method} {seen.path.partition('?')[0]}")
        reply = answer(seen) if answer else Reply(404, {"reason": f"no such route: {seen.path}"})
        if reply.hang_up:
            handler.close_connection = True
            return
        payload = reply.body if reply.body is not None else json.dumps(reply.document).encode()
        handler.send_response(reply.status)
        for key, value in {"Content-Type": "application/json", **reply.headers}.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(payload)))
        handler.end_headers()
        handler.wfile.write(payload)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    """A service of nobody in particular."""
    scripted = ScriptedService()
    yield scripted
    scripted.close()


@pytest.fixture(autouse=True)
def nobody_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of whoever runs the tests."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between attempts are noted, not made; the clock of the requests goes on by them."""
    pauses: list[float] = []
    monkeypatch.setattr("compute_executor.sdk.http.requests.sleep", pauses.append)
    monkeypatch.setattr("compute_executor.sdk.http.requests.monotonic", lambda: monotonic() + sum(pauses))
    return pauses


CLIENT_ID = "b0500dab-ebd4-430f-b962-0c85bd43bdbb"
NATIVE_CLIENT_ID = "4cf29807-cf21-49ec-9443-ff9a3fb9f81c"
PERSON = "11111111-2222-4333-8444-555555555555"
CODE = "the-code-that-the-browser-shows"
CANARY = "canary-7b1f-access-token"
SECRET = "canary-7b1f-client-secret"


class ScriptedAuth(ScriptedService):
    """Globus Auth, as far as globus_sdk looks at it: clients with credentials, and one person with a browser."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        super().__init__()
        basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self._expected = f"Basic {basic}"
        self.issued = 0
        self._key: Any = None
        self.revoked: list[str] = []
        self.on("POST /v2/oauth2/token", self.token)
        self.on("POST /v2/oauth2/token/revoke", self.revoke)
        self.on(
            "GET /v2/oauth2/userinfo", Reply(200, {"sub": PERSON, "preferred_username": "ada@example.org"})
        )
        configuration = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwk.json",
            "id_token_signing_alg_values_supported": ["RS512"],
        }
        self.on("GET /.well-known/openid-configuration", Reply(200, configuration))

    def token(self, seen: Seen) -> Reply:
        form = {key: values[0] for key, values in parse_qs(seen.body.decode()).items()}
        if form["grant_type"] == "client_credentials":
            if seen.headers.get("authorization") != self._expected:
                return Reply(401, {"error": "invalid_client"})
            return Reply(200, self._tokens(form["scope"].split()))
        if form["grant_type"] == "refresh_token":
            return Reply(200, self._tokens([SCOPE], refresh=True))
        if form["code"] != CODE:
            return Reply(401, {"error": "invalid_grant"})
        return Reply(
            200,
            {
                **self._tokens(["openid", "email", "profile", SCOPE], refresh=True),
                "id_token": self._id_token(),
            },
        )

    def revoke(self, seen: Seen) -> Reply:
        self.revoked.append(parse_qs(seen.body.decode())["token"][0])
        return Reply(200, {"active": False})

    def _tokens(self, scopes: list[str], *, refresh: bool = False) -> dict[str, Any]:
        by_server = {"funcx_service": [one for one in scopes if one == SCOPE]}
        by_server["auth.globus.org"] = [one for one in scopes if one != SCOPE]
        first, *others = [self._document(name, some, refresh) for name, some in by_server.items() if some]
        return {**first, "other_tokens": others}

    def _document(self, resource_server: str, scopes: list[str], refresh: bool) -> dict[str, Any]:
        self.issued += 1
        document = {
            "access_token": f"{CANARY}-{self.issued}",
            "scope": " ".join(scopes),
            "expires_in": 172800,
            "token_type": "Bearer",
            "resource_server": resource_server,
        }
        return {**document, "refresh_token": f"{CANARY}-refresh"} if refresh else document

    def _id_token(self) -> str:
        """Signed with a key that is published at the first login."""
        import jwt
        from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

        if self._key is None:
            self._key = generate_private_key(65537, 2048)
            published = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
            self.on("GET /jwk.json", Reply(200, {"keys": [published]}))
        claims = {"sub": PERSON, "aud": NATIVE_CLIENT_ID, "iss": self.url, "exp": 4102444800}
        return jwt.encode(claims, self._key, algorithm="RS512")


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedAuth]:
    """Globus Auth, where client credentials are known; the process environment leads there."""
    scripted = ScriptedAuth(CLIENT_ID, SECRET)
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{scripted.url}/")
    yield scripted
    scripted.close()


@pytest.fixture
def client_credentials(auth: ScriptedAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client credentials in the process environment."""
    monkeypatch.setenv("FUNCX_SDK_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("FUNCX_SDK_CLIENT_SECRET", SECRET)


@pytest.fixture
def hosted(service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> ScriptedService:
    """A service that stands for Globus Compute's production."""
    from compute_executor.sdk.login_manager import environments

    monkeypatch.setitem(environments.URLS, "production", service.url)
    monkeypatch.setattr(environments, "_HOSTED_DOMAINS", ("127.0.0.1",))
    return service
