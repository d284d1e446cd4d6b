"""A service as Globus Compute's own is seen from outside, on loopback: JSON, ids of its own, no idempotency key.

It runs what is submitted when :meth:`run` is called (or at once, ``prompt``), as a stock worker does: text in, text
out. A test says how it misbehaves: ``answers`` are given first, in order, to requests whose path matches.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from compute_executor.serialization import packing, strategies


class Scripted(NamedTuple):
    """An answer in place of the right one; ``status`` 0: the connection is cut. ``done``: the right thing is done."""

    path: str
    status: int
    document: Mapping[str, Any] | Sequence[Any] = {}
    headers: Mapping[str, str] = {}
    done: bool = False


Publish = Callable[[str, bytes, dict[str, Any]], None]
"""Gets a task group, the body of a result message, and its headers."""


class HostedService:
    """See the module. ``publish``: where results go besides; ``queues``: the document about result queues."""

    def __init__(self, publish: Publish | None = None, queues: dict[str, str] | None = None) -> None:
        self.publish = publish
        self.queues = queues
        self.prompt = True
        self.details: dict[str, Any] | None = None
        self.headers: dict[str, Any] = {}
        self.answers: list[Scripted] = []
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.tokens: list[str] = []
        self.accepts: Callable[[str], bool] = lambda token: True
        self.refuses: Callable[[str], bool] = lambda payload: False
        self.functions: dict[str, str] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, list[str]] = {}
        self.waiting: list[tuple[str, str, str, str]] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, path: str) -> int:
        """How many requests had this in their path."""
        return sum(path in one for _, one, _ in self.requests)

    # -- what it does ----------------------------------------------------------------------------------------

    def version(self) -> dict[str, Any]:
        return {"api": "1.0", "min_sdk_version": "0.0.1", "min_ep_version": "0.0.1"}

    def register(self, document: dict[str, Any]) -> dict[str, Any]:
        function_id = str(uuid.uuid4())
        self.functions[function_id] = document["function_code"]
        return {"function_uuid": function_id}

    def submit(self, endpoint_id: str, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if any(self.refuses(payload) for some in document["tasks"].values() for payload in some):
            return 400, {"reason": "a payload is not liked", "code": 17}
        if not set(document["tasks"]) <= set(self.functions):
            return 404, {"reason": "no such function", "code": 3}
        group = document.get("task_group_id") or str(uuid.uuid4())
        answer: dict[str, list[str]] = {}
        with self._lock:
            for function_id, payloads in document["tasks"].items():
                for payload in payloads:
                    task_id = str(uuid.uuid4())
                    answer.setdefault(function_id, []).append(task_id)
                    self.groups.setdefault(group, []).append(task_id)
                    self.tasks[task_id] = {"task_id": task_id, "status": "waiting-for-ep"}
                    self.waiting.append((task_id, group, function_id, payload))
        if self.prompt:
            self.run()
        return 200, {
            "request_id": str(uuid.uuid4()),
            "task_group_id": group,
            "endpoint_id": endpoint_id,
            "tasks": answer,
        }

    def run(self) -> None:
        """Run what waits."""
        with self._lock:
            waiting, self.waiting = self.waiting, []
        for task_id, group, function_id, payload in waiting:
            self._run(task_id, group, self.functions[function_id] + payload)

    def _run(self, task_id: str, group: str, task: str) -> None:
        document: dict[str, Any] = {
            "task_id": task_id,
            "completion_t": str(time.time()),
            "details": self.details,
        }
        data: dict[str, Any] = {"task_id": task_id, "details": self.details}
        try:
            function, args, kwargs = (strategies.loads(one) for one in packing.unpack(task))
            value = function(*args, **kwargs)
            data["data"] = strategies.dumps(value, "00")
            document.update(status="success", result=data["data"])
        except Exception:
            text = traceback.format_exc()
            data.update(
                data=text, error_details={"code": "RemoteExecutionError", "user_message": "it raised"}
            )
            document.update(status="failed", exception=text)
        self.tasks[task_id] = document
        if self.publish is not None:
            message = {"message_type": "result", "data": data}
            self.publish(group, b"\x01" + json.dumps(message).encode(), self.headers)

    def answer(self, method: str, path: str, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        parts = path.strip("/").split("/")
        if path.startswith("/v2/version"):
            return 200, self.version()
        if path == "/v3/functions":
            return 200, self.register(document)
        if path.endswith("/submit"):
            return self.submit(parts[2], document)
        if path == "/v2/batch_status":
            found = {one: self.tasks[one] for one in document["task_ids"] if one in self.tasks}
            return 200, {"response": "batch", "results": found}
        if path.startswith("/v2/taskgroup/") and parts[2] in self.groups:
            return 200, {"taskgroup_id": parts[2], "tasks": [{"id": one} for one in self.groups[parts[2]]]}
        if path == "/v2/get_amqp_result_connection_url" and self.queues is not None:
            return 200, dict(self.queues)
        if path == "/v2/oauth2/token":
            return 200, self.login()
        return 404, {"reason": f"no route {path}"}

    def login(self) -> dict[str, Any]:
        """A token document as Globus Auth's."""
        token = f"token-{len(self.tokens)}"
        self.tokens.append(token)
        scope = "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all"
        one = {
            "access_token": token,
            "scope": scope,
            "expires_in": 172800,
            "token_type": "Bearer",
            "resource_server": "funcx_service",
        }
        openid = {
            **one,
            "access_token": f"{token}-auth",
            "scope": "openid email profile urn:globus:auth:scope:auth.globus.org:view_identity_set",
            "resource_server": "auth.globus.org",
        }
        return {**one, "other_tokens": [openid]}

    def next_answer(self, path: str) -> Scripted | None:
        with self._lock:
            for scripted in self.answers:
                if scripted.path in path:
                    self.answers.remove(scripted)
                    return scripted
        return None


class _Handler(BaseHTTPRequestHandler):
    service: HostedService
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            document = json.loads(body) if body else {}
        except ValueError:
            document = {}
        service, path = self.service, self.path.split("?")[0]
        service.requests.append((self.command, path, document))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        scripted = service.next_answer(path)
        if scripted is None and not path.startswith("/v2/oauth2") and not service.accepts(token):
            scripted = Scripted(path, 401, {"reason": "this token is not known"})
        if scripted is None or scripted.done:
            status, answer = service.answer(self.command, path, document)
        if scripted is not None:
            status, answer = scripted.status, scripted.document  # type: ignore[assignment]
        if status == 0:
            self.close_connection = True
            return
        self._send(status, answer, scripted.headers if scripted else {})

    def _send(self, status: int, answer: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
