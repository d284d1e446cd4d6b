"""No body is longer than its route allows, whatever its headers say, and none is compressed."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from compute_executor.errors import PayloadTooLarge
from compute_executor.service.api.error_responses import Refusal, refusal
from compute_executor.service.limits import MAX_BLOB, MAX_BODY

BLOB_PATH = "/v3/blobs/"


class BodyLimit:
    """Answers 413 as soon as the length announced, or one byte more than the limit received, says so; 415 to any
    Content-Encoding: what unpacks to more than it weighs is not unpacked."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY, blob_limit: int = MAX_BLOB) -> None:
        self.app = app
        self.limit = limit
        self.blob_limit = blob_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.blob_limit if scope["path"].startswith(BLOB_PATH) else self.limit
        _check_headers(scope, limit)
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(received, limit)
            return message

        await self.app(scope, counted, send)


def _check_headers(scope: Scope, limit: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.lower() != b"identity":
            raise refusal(415, "compressed bodies are not accepted: send it without Content-Encoding")
        if name == b"content-length" and _length(value) > limit:
            raise _too_large(_length(value), limit)


def _length(value: bytes) -> int:
    """Return a Content-Length; the first 20 digits of it are too long for any limit."""
    if not value.isdigit():
        raise refusal(400, "the Content-Length is no number", {"Connection": "close"})
    return int(value[:20])


def _too_large(size: int, limit: int) -> Refusal:
    error = PayloadTooLarge(
        f"the request has {size} bytes or more, the limit is {limit}. Send fewer tasks at once, or large arguments "
        "as blobs"
    )
    return Refusal(error.http_status, error, {"Connection": "close"})
