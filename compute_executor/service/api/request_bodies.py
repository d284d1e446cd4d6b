"""What came with a request: its type checked, JSON read strictly, messages read into their structures."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.plain import check_free_fields
from compute_executor.service.api.error_responses import refusal
from compute_executor.service.api.frame_sizes import SMALL, check_message

JSON = "application/json"
MSGPACK = "application/msgpack"

MOST_VALUES = 600_000
"""Values of one JSON body, some 50 ms of reading; 100,000 tasks of a legacy SDK have 500,000."""
HEAVIER = 4

T = TypeVar("T")


def content_type(request: Request) -> str:
    """JSON or MSGPACK. Anything else is answered 415; so a web page's simple POST (text/plain) is too."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if named not in (JSON, MSGPACK):
        raise refusal(415, f"the Content-Type must be {JSON} or {MSGPACK}, not {named[:100]!r}")
    return named


def wants_msgpack(request: Request) -> bool:
    """Return whether the client prefers msgpack in the answer."""
    return MSGPACK in request.headers.get("accept", "")


async def read_json(request: Request, kind: type[T]) -> T:
    """Return the JSON body as a ``kind``. Raises InvalidRequest, or the refusal of another content type."""
    if content_type(request) != JSON:
        raise refusal(415, f"this route takes {JSON} only")
    body = await request.body()
    value = parse_json(body, kind)
    if len(body) <= SMALL:
        check_once_more(body, value)
    else:  # others have a turn between the two readings, and while the second goes on in another thread
        await asyncio.sleep(0)
        await asyncio.to_thread(check_once_more, body, value)
    return value


def strict_json(body: bytes, kind: type[T]) -> T:
    """Return the JSON of a body that is here already, as `read_json` reads it. Raises InvalidRequest."""
    value = parse_json(body, kind)
    check_once_more(body, value)
    return value


def parse_json(body: bytes, kind: type[T]) -> T:
    """JSON as the standard has it, of the shape of ``kind``.

    msgspec refuses NaN, numbers out of range, byte order marks, lone surrogates and what is cut short. Raises
    InvalidRequest, also for so many values that others would have to wait while they are read.
    """
    _check_weight(body)
    with _named_errors():
        return msgspec.json.decode(body, type=kind)


def check_once_more(body: bytes, value: object) -> None:
    """Raise InvalidRequest for what msgspec does not see: a name that comes twice in an object. Whoever checks such a
    document in front of us may look at the other of the two."""
    with _named_errors():
        json.loads(body, object_pairs_hook=_without_doubles)
    check_free_fields(value)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise InvalidRequest("the JSON is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidRequest(f"the body is not the JSON that this route takes: {error}") from None


def _check_weight(body: bytes) -> None:
    """Reading an object or list takes as long as reading some texts."""
    if len(body) <= SMALL:
        return
    weight = body.count(b",") + HEAVIER * (body.count(b"{") + body.count(b"["))
    if weight > MOST_VALUES:
        raise InvalidRequest(
            f"the JSON has about {weight} values (an object or list counts as {HEAVIER}); the limit is "
            f"{MOST_VALUES}: send fewer at once"
        )


def read_msgpack(body: bytes, kind: type[T]) -> T:
    """Return the msgpack body as a ``kind``. Raises InvalidRequest."""
    try:
        check_message(body, kind)
        value = msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise InvalidRequest(f"the body is not the message that this route takes: {error}") from None
    check_free_fields(value)
    return value


def parse_uuid(text: str, what: str) -> uuid.UUID:
    """Return the id in its canonical form, or InvalidRequest. Python's UUID() would take braces and urn: too."""
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
