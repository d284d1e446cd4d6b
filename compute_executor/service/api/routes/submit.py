"""Submitting a batch: as our frame, as the current SDK's JSON, and as that of legacy SDKs.

A JSON batch becomes a frames.Submit like any other: its payloads lose their base64, large ones become blobs, and
the service draws the prefix that makes the task ids. With an ``Idempotency-Key`` header the prefix is found again
when the same request comes twice (key and body; another body is answered 422).
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import ComputeError, InvalidRequest
from compute_executor.protocol import frames
from compute_executor.protocol.ids import MAX_BATCH, new_prefix, task_uuid
from compute_executor.protocol.submit import build_submit, endpoint_options
from compute_executor.serialization import packing
from compute_executor.service.api import documents
from compute_executor.service.api.context import identity_of, json_answer, msgpack_answer, shell_of
from compute_executor.service.api.error_responses import Refusal, refusal
from compute_executor.service.api.request_bodies import (
    MSGPACK,
    content_type,
    parse_uuid,
    read_json,
    read_msgpack,
)
from compute_executor.service.api.turns import in_turns
from compute_executor.service.endpoints.ids import BUILT_IN, is_built_in
from compute_executor.service.limits import MAX_IDEMPOTENCY_KEY
from compute_executor.service.store.rows import KnownSubmit

Call = tuple[str, str]
"""Function id and packed arguments, as they came."""


class IdempotencyKey(NamedTuple):
    """An Idempotency-Key, and the digest of the body it came with."""

    text: str
    digest: bytes


class SubmitTarget(NamedTuple):
    """Where tasks are to run, and where their results are to go: into which task group (None: a new one), and also
    into a queue of the broker."""

    endpoint: uuid.UUID
    group: str | None
    create_queue: bool


async def submit(request: Request) -> Response:
    """``POST /v3/endpoints/{id}/submit``"""
    endpoint = _endpoint(request, request.path_params["id"])
    if content_type(request) == MSGPACK:
        frame = read_msgpack(await request.body(), frames.Submit)
        await shell_of(request).service.submit(identity_of(request), frame)
        return msgpack_answer(frames.Accepted(frame.prefix))
    document = await read_json(request, documents.SubmitDocument)
    calls = [(name, payload) for name, payloads in document.tasks.items() for payload in payloads]
    where = SubmitTarget(endpoint, document.task_group_id, document.create_queue)
    options = endpoint_options(
        resource_specification=document.resource_specification,
        user_endpoint_config=document.user_endpoint_config,
        result_serializers=document.result_serializers,
        user_runtime=document.user_runtime,
    )
    prefix, group, replayed = await _accept(request, calls, where, options)
    counts = {name: len(payloads) for name, payloads in document.tasks.items()}
    ids = [task_uuid(prefix, position) async for position in in_turns(range(len(calls)))]
    answer = documents.submitted(_request_id(prefix), endpoint, group, ids, counts)
    return json_answer(answer, _replayed_header(replayed))


async def legacy_submit(request: Request) -> Response:
    """``POST /v2/submit``: a batch that may be for several endpoints. Each endpoint's part is accepted or refused by
    itself, and every task says which; nothing accepted is an error as a whole."""
    document = await read_json(request, documents.LegacySubmitDocument)
    if not document.tasks:
        raise InvalidRequest("a batch has at least one task, this has none")
    parts = await _by_endpoint(request, document)
    group, replayed = document.task_group_id or str(uuid.uuid4()), False
    results: list[dict[str, Any]] = [{}] * len(document.tasks)
    refused: list[ComputeError] = []
    for endpoint, positions in parts.items():
        calls = [(document.tasks[position][0], document.tasks[position][2]) for position in positions]
        part = str(endpoint) if len(parts) > 1 else None
        try:
            prefix, used, again = await _accept_part(request, calls, endpoint, group, part)
        except ComputeError as error:
            refused.append(error)
            answers = [documents.refused_task(error)] * len(positions)
        else:
            group, replayed = str(uuid.UUID(bytes=used)), replayed or again
            ids = [task_uuid(prefix, number) async for number in in_turns(range(len(positions)))]
            answers = [documents.accepted_task(task_id) for task_id in ids]
        for position, answer in zip(positions, answers, strict=True):
            results[position] = answer
    if len(refused) == len(parts):
        raise refused[0]
    return json_answer(
        documents.legacy_submitted(group, results, whole=not refused), _replayed_header(replayed)
    )


async def _by_endpoint(
    request: Request, document: documents.LegacySubmitDocument
) -> dict[uuid.UUID | ComputeError, list[int]]:
    """Return the positions of a batch's tasks by their endpoint, or by why that cannot be used."""
    names = {name for _, name, _ in document.tasks}
    found = {name: _found(request, name) async for name in in_turns(names)}
    parts: dict[uuid.UUID | ComputeError, list[int]] = {}
    async for position, (_, name, _) in in_turns(enumerate(document.tasks)):
        parts.setdefault(found[name], []).append(position)
    return parts


async def _accept_part(
    request: Request, calls: list[Call], endpoint: uuid.UUID | ComputeError, group: str, part: str | None
) -> tuple[bytes, bytes, bool]:
    """As `_accept`, for the tasks of one endpoint. Raises the error that stands for it."""
    if isinstance(endpoint, ComputeError):
        raise endpoint
    where = SubmitTarget(endpoint, group, create_queue=False)
    return await _accept(request, calls, where, frames.Options(), part)


def _found(request: Request, name: str) -> uuid.UUID | ComputeError:
    """Return the endpoint of this name, or why it cannot be used."""
    try:
        return _endpoint(request, name)
    except ComputeError as error:
        return error


def _endpoint(request: Request, text: str) -> uuid.UUID:
    """Return the endpoint that is meant. Raises NotFound."""
    endpoint = parse_uuid(text, "endpoint")
    if is_built_in(endpoint):
        return BUILT_IN
    return shell_of(request).service.endpoints.row(identity_of(request), endpoint).id


async def _accept(
    request: Request, calls: list[Call], where: SubmitTarget, options: frames.Options, part: str | None = None
) -> tuple[bytes, bytes, bool]:
    """Prefix and group under which the calls are stored, and whether they had been before. ``part``: which of the
    request's parts they are, if it has several: each is stored under a key of its own."""
    key = await _key(request)
    if key is not None and part is not None:
        key = key._replace(text=f"{key.text}/{part}")
    known = _known(request, key)
    if known is not None:
        return known.prefix, known.group, True
    group = parse_uuid(where.group, "task group").bytes if where.group else uuid.uuid4().bytes
    shell, who = shell_of(request), identity_of(request)
    with _under_way(shell.keys, (who.id, key.text) if key else None):
        batch = await _batch(request, calls, where.endpoint, group, options)
        await asyncio.sleep(0)
        queue = (
            shell.service.globus_compute.queues.wanted(who, group) if where.create_queue else nullcontext()
        )
        async with queue:
            await shell.service.submit(who, batch, key)
    return batch.prefix, group, False


@contextmanager
def _under_way(keys: set[tuple[str, str]], key: tuple[str, str] | None) -> Iterator[None]:
    """Hold a key while its batch is on its way into the store; the same key meanwhile is told to come back (as
    draft-ietf-httpapi-idempotency-key-header-07 has it)."""
    if key is None:
        yield
        return
    if key in keys:
        raise refusal(
            409, "the first request with this Idempotency-Key is being worked on", {"Retry-After": "1"}
        )
    keys.add(key)
    try:
        yield
    finally:
        keys.discard(key)


def _known(request: Request, key: IdempotencyKey | None) -> KnownSubmit | None:
    """Return what was submitted with this key before; a refusal (422) if that was another request."""
    if key is None:
        return None
    try:
        return shell_of(request).service.known_submit(identity_of(request), key)
    except InvalidRequest as error:
        raise Refusal(422, error) from None


async def _key(request: Request) -> IdempotencyKey | None:
    """Return the request's Idempotency-Key with the digest of what it must come with again."""
    text = request.headers.get("idempotency-key")
    if text is None:
        return None
    if not 0 < len(text) <= MAX_IDEMPOTENCY_KEY:
        raise InvalidRequest(
            f"an Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY} characters, this has {len(text)}"
        )
    digest = hashlib.sha256(request.url.path.encode() + b"\0" + await request.body()).digest()
    return IdempotencyKey(text, digest)


async def _batch(
    request: Request, calls: list[Call], endpoint: uuid.UUID, group: bytes, options: frames.Options
) -> frames.Submit:
    if not 0 < len(calls) <= MAX_BATCH:
        raise InvalidRequest(f"a batch has 1 to {MAX_BATCH} tasks, this has {len(calls)}")
    ids = {name: parse_uuid(name, "function").bytes for name in {name for name, _ in calls}}
    blobs = shell_of(request).blobs
    tasks = [
        (ids[name], await blobs.keep(packing.call_from_text(payload)))
        async for name, payload in in_turns(calls)
    ]
    return build_submit(
        tasks, prefix=new_prefix(), group=group, endpoint=endpoint.bytes, pool=None, options=options, parts=[]
    )


def _request_id(prefix: bytes) -> uuid.UUID:
    """Return the same for the same batch, and no task's id: no batch has that many tasks."""
    return uuid.UUID(bytes=prefix + b"\xff\xff\xff\xff")


def _replayed_header(replayed: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if replayed else {}


ROUTES = [
    Route("/v3/endpoints/{id}/submit", submit, methods=["POST"]),
    Route("/v2/submit", legacy_submit, methods=["POST"]),
]
