"""Blobs over HTTP, for clients on other machines. On this one they read and write the folder themselves."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from compute_executor.protocol.frames import Blob
from compute_executor.service.access import absent
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.turns import load_streaming

OCTETS = "application/octet-stream"


class BlobResponse(FileResponse):
    """The file in few, large parts: each is read in a helper thread, which costs a turn of the loop."""

    chunk_size = 1024 * 1024

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See starlette."""
        await load_streaming()
        await super().__call__(scope, receive, send)


async def put(request: Request) -> Response:
    """``PUT /v3/blobs/{name}``: keep the body. The name is drawn by the client, so a repetition does no harm."""
    name, who = request.path_params["name"], identity_of(request)
    blobs, service = shell_of(request).blobs, shell_of(request).service
    blobs.path(name)
    announced = request.headers.get("content-length", "0")
    upload = service.begin_upload(who, int(announced) if announced.isdecimal() else 0)
    received: Blob | None = None
    try:
        service.blob_rights.put(who, name)
        file = received = Blob(name, await blobs.receive(name, request.stream()))
    finally:
        service.end_upload(upload, received)
    return json_answer({"name": name, "size": file.size})


async def get(request: Request) -> Response:
    """``GET /v3/blobs/{name}``: for whoever may read what it belongs to."""
    name = request.path_params["name"]
    blobs = shell_of(request).blobs
    path = blobs.path(name)
    shell_of(request).service.blob_rights.check_read(identity_of(request), name)
    try:
        blobs.size(name)
    except OSError:
        raise absent(f"blob {name}") from None
    return BlobResponse(path, media_type=OCTETS)


ROUTES = [
    Route("/v3/blobs/{name}", put, methods=["PUT"]),
    Route("/v3/blobs/{name}", get, methods=["GET"]),
]
