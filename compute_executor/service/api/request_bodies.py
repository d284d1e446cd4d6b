"""What came with a request: its type checked, JSON read strictly, messages read into their structures."""

from __future__ import annotations

import json
import uuid
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.plain import check_free_fields
from compute_executor.service.api.error_responses import refusal

JSON = "application/json"
MSGPACK = "application/msgpack"

T = TypeVar("T")


def content_type(request: Request) -> str:
    """JSON or MSGPACK. Anything else is answered 415; so a web page's simple POST (text/plain) is too."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if named not in (JSON, MSGPACK):
        raise refusal(415, f"the Content-Type must be {JSON} or {MSGPACK}, not {named[:100]!r}")
    return named


def wants_msgpack(request: Request) -> bool:
    """Whether the client prefers msgpack in the answer."""
    return MSGPACK in request.headers.get("accept", "")


async def read_json(request: Request, kind: type[T]) -> T:
    """The JSON body as a ``kind``. Raises InvalidRequest, or the refusal of another content type."""
    if content_type(request) != JSON:
        raise refusal(415, f"this route takes {JSON} only")
    return strict_json(await request.body(), kind)


def strict_json(body: bytes, kind: type[T]) -> T:
    """JSON as the standard has it, of the shape of ``kind``.

    msgspec refuses NaN, numbers out of range, byte order marks, lone surrogates and what is cut short; it does not
    see a name that comes twice in an object, so the standard library reads it once more for that. Whoever checks
    such a document in front of us may look at the other of the two.
    """
    try:
        value = msgspec.json.decode(body, type=kind)
        json.loads(body, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise InvalidRequest("the JSON is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidRequest(f"the body is not the JSON that this route takes: {error}") from None
    check_free_fields(value)
    return value


def read_msgpack(body: bytes, kind: type[T]) -> T:
    """The msgpack body as a ``kind``. Raises InvalidRequest."""
    try:
        value = msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise InvalidRequest(f"the body is not the message that this route takes: {error}") from None
    check_free_fields(value)
    return value


def parse_uuid(text: str, what: str) -> uuid.UUID:
    """The id in its canonical form, or InvalidRequest. Python's UUID() would take braces and urn: too."""
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        parsed = None
    if parsed is None or str(parsed) != text.lower():
        raise InvalidRequest(f"{text[:100]!r} is no {what} id (a UUID is needed)")
    return parsed


def _without_doubles(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name comes twice in an object")
