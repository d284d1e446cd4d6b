"""The HTTP API of a service of this package, in its own frames: one method for each route that the client uses.

Used by the Client (`wires.native_wire`), by an Executor's side requests (functions, task groups, large bodies), and
in place of its stream while that is down. Retries, renewal of the login and errors: `http.requests`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from compute_executor.errors import ComputeError, NotAuthorized, NotFound, ResultDecodeError, from_document
from compute_executor.protocol import frames
from compute_executor.protocol.ids import TaskPositions, by_batch, split_task_id
from compute_executor.sdk.http.requests import ApiClient
from compute_executor.sdk.http.transport import BYTES, MSGPACK, Request
from compute_executor.sdk.login_manager.environments import TUTORIAL_ENDPOINT

MAX_POLL = 10_000
"""Tasks in one question: a tenth of what the service allows, so that an answer stays below some MB."""

T = TypeVar("T")


class _GroupTask(msgspec.Struct):
    id: str


class FoundEndpoint(msgspec.Struct):
    """An endpoint of this package. ``pythons``: the versions that its machines have, as far as they have told."""

    endpoint_id: uuid.UUID
    name: str
    pythons: list[str] = []

    @property
    def python(self) -> str:
        """The version of all of them; empty if they differ, or none has told."""
        return self.pythons[0] if len(self.pythons) == 1 else ""


class _Group(msgspec.Struct):
    tasks: list[_GroupTask]


class _Groups(msgspec.Struct):
    groups: list[_GroupTask]


class OwnApi:
    """Requests to one service. ``patient``: whether a service that is away is waited for (see `http.requests`).

    Every method raises ComputeError; what cannot be read as an answer is one, too. Any thread.
    """

    def __init__(self, requests: ApiClient, *, patient: bool = True) -> None:
        self._requests = requests
        self._patient = patient

    def impatient(self) -> OwnApi:
        """Return the same service under the same login, with each request made once: for callers who retry
        themselves."""
        return OwnApi(self._requests, patient=False)

    # -- where the service is, and as whom it is asked -----------------------------------------------------------

    def locate(self) -> str:
        """Return the service's URL, looked up anew; an embedded service is started if there is none."""
        self._requests.transport.relocate()
        return self._requests.transport.address()

    def connect(self, connection: Callable[[str, str], T]) -> T:
        """``connection(url, authorization)``, and once more under a renewed login if this one is refused.

        Raises what ``connection`` raises; NotAuthorized if there is no other login, or that one is refused too.
        """
        transport = self._requests.transport
        refused = transport.authorization() or ""
        try:
            found = connection(transport.address(), refused)
        except NotAuthorized:
            renewed = self._renewed(refused)
            if renewed is None:
                raise
            found = connection(transport.address(), renewed)
        self._requests.reached = True
        return found

    def _renewed(self, refused: str) -> str | None:
        """Return another value of the Authorization header than the ``refused`` one, if one can be had.

        Asked by a request, because a globus_sdk login is renewed by the refusal of one.
        """
        transport = self._requests.transport
        transport.renew()
        found = transport.authorization() or ""
        if found == refused:
            with suppress(ComputeError):
                self._call(Request("GET", "/v2/version", query={"service": "all"}))
            found = transport.authorization() or ""
        return None if found == refused else found

    def close(self) -> None:
        """Close the connections that wait for another request; one that comes later opens a new one."""
        self._requests.transport.close()

    # -- large bodies --------------------------------------------------------------------------------------------

    def put_blob(self, name: str, content: bytes) -> None:
        """Upload a body under ``name``, 32 hexadecimal digits."""
        self._call(Request("PUT", f"/v3/blobs/{name}", body=content, content_type=BYTES))

    def get_blob(self, blob: frames.Blob) -> bytes:
        """Download the body of a result. Raises ResultGone if it was deleted, ResultDecodeError if bytes are missing,
        or if its name is none."""
        name = frames.blob_name(blob)
        try:
            found = self._call(Request("GET", f"/v3/blobs/{name}", accept=BYTES))
        except NotFound:
            raise frames.gone(blob) from None
        if len(found) != blob.size:
            raise ResultDecodeError(f"blob {name} has {blob.size} bytes, {len(found)} came")
        return found

    # -- pools, functions, batches -------------------------------------------------------------------------------

    def open_pool(self, frame: frames.OpenPool) -> None:
        """Declare a pool; again with the same id: nothing happens."""
        self._post("/v3/pools", frame)

    def register(self, frame: frames.Register) -> str:
        """Register a function by its content; its id as text. Raises the service's refusal."""
        answer = self._ask("/v3/functions", frame, frames.Registered)
        if answer.error is not None:
            raise from_document(answer.error)
        if len(answer.function) != 16:
            raise ComputeError(
                f"the service registered {frame.name} under what is no id: {answer.function!r:.100}"
            )
        return str(uuid.UUID(bytes=answer.function))

    def submit(self, frame: frames.Submit) -> None:
        """Submit a batch: on return the service has confirmed it. Again with the same prefix: nothing runs twice."""
        endpoint_id = uuid.UUID(bytes=frame.endpoint) if frame.endpoint else TUTORIAL_ENDPOINT
        self._post(f"/v3/endpoints/{endpoint_id}/submit", frame, {"Idempotency-Key": frame.prefix.hex()})

    # -- endpoints -----------------------------------------------------------------------------------------------

    def endpoint_named(self, name: str) -> bytes:
        """Return the id, 16 bytes, of the endpoint of this package with this name or id. Raises NotFound,
        InvalidRequest."""
        return self.find_endpoint(name).endpoint_id.bytes

    def find_endpoint(self, name: str) -> FoundEndpoint:
        """Return the same with what its workers have. Raises NotFound, InvalidRequest."""
        path = f"/v3/agents/{quote(name, safe='')}"
        return self._requests.call(Request("GET", path), patient=self._patient).read(FoundEndpoint)

    def look_at_endpoint(self, name: str) -> dict[str, Any]:
        """Return all that the service tells of it. Raises NotFound, InvalidRequest."""
        path = f"/v3/agents/{quote(name, safe='')}"
        return self._requests.call(Request("GET", path), patient=self._patient).read(dict[str, Any])

    # -- tasks ---------------------------------------------------------------------------------------------------

    def poll(self, tasks: TaskPositions) -> list[frames.Result]:
        """Return the results of those of at most MAX_POLL tasks that have ended. A task that the service does not
        know counts as lost, so only tasks that it has confirmed may be asked about."""
        return self._ask("/v2/batch_status", tasks, list[frames.Result])

    def cancel(self, tasks: TaskPositions) -> TaskPositions:
        """Withdraw tasks that have not begun; returns those that surely will not run."""
        return self._ask("/v3/tasks/cancel", tasks, TaskPositions)

    def find_group(self, name: str) -> str | None:
        """Return the id of the newest task group with this label; None if there is none."""
        query = {"label": name, "limit": "1"}
        request = Request("GET", "/v3/groups", query=query)
        found = self._requests.call(request, patient=self._patient).read(_Groups).groups
        return found[0].id if found else None

    def group_tasks(self, group: uuid.UUID) -> dict[bytes, int]:
        """Return the batches of a task group in the order of their submission: prefix and number of tasks.

        Raises NotFound.
        """
        found = self._requests.call(Request("GET", f"/v2/taskgroup/{group}"), patient=self._patient).read(
            _Group
        )
        try:
            batches = by_batch(split_task_id(task.id) for task in found.tasks)
        except ValueError as error:
            raise ComputeError(
                f"the service named a task of group {group} by what is no id: {error}"
            ) from error
        return {prefix: max(positions) + 1 for prefix, positions in batches}

    # -- requests ------------------------------------------------------------------------------------------------

    def _call(self, request: Request) -> bytes:
        return self._requests.call(request, patient=self._patient).body

    def _post(self, path: str, message: Any, headers: dict[str, str] | None = None) -> bytes:
        body = msgspec.msgpack.encode(message)
        return self._call(
            Request("POST", path, body=body, content_type=MSGPACK, accept=MSGPACK, headers=headers or {})
        )

    def _ask(self, path: str, message: Any, kind: type[T]) -> T:
        answer = self._post(path, message)
        try:
            return msgspec.msgpack.decode(answer, type=kind)
        except (ValueError, RecursionError) as error:
            raise ComputeError(
                f"the service answered POST {path} with {len(answer)} bytes that cannot be read: {error}. Is it a "
                "service of this package, and of a version that fits?"
            ) from error
