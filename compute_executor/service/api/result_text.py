"""The documents of ended tasks as bytes: small ones at once, and large results from their files piece by piece.

A result of 400 MB is 550 MB as the text that stock SDKs read. It is never whole in memory: its file is read, encoded
and sent a piece at a time, each made in a helper thread, and the next when the client has taken the one before.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from compute_executor.protocol import frames
from compute_executor.serialization import packing
from compute_executor.service.api import documents
from compute_executor.service.api.request_bodies import JSON
from compute_executor.service.api.turns import in_thread, load_streaming
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.tasks.status import TaskView

LINE = 57
"""Bytes in a line of base64, as `base64.encodebytes` writes it."""
PIECE = LINE * 8192
"""Bytes of a result that are read and encoded at a time."""
LONGEST_EXCEPTION = 16 * 1024 * 1024
"""Bytes of an encoded exception that is told as text: its text has to be looked for in it as a whole."""

Part = bytes | frames.Blob
"""Of an answer: as it is, or the text of the result in this file."""


def task_parts(task_id: str, view: TaskView, blobs: BlobFolder, details: dict[str, Any] | None) -> list[Part]:
    """Return the document of a task, open or ended. Files of exceptions are read: call it in a helper thread for
    those."""
    outcome = view.outcome
    if outcome is None:
        return [msgspec.json.encode(documents.open_task(task_id, view.status))]
    blob = outcome.body
    if isinstance(blob, frames.Blob) and outcome.status == frames.VALUE and blobs.holds(blob):
        head = msgspec.json.encode(documents.large_task(task_id, outcome, details))
        return [head[:-1] + b',"result":"', blob, b'"}']

    def read(body: frames.Body) -> bytes:
        return blobs.read(body, LONGEST_EXCEPTION)

    return [msgspec.json.encode(documents.ended_task(task_id, outcome, read, details))]


def needs_thread(view: TaskView) -> bool:
    """Return whether making its document reads a file."""
    return view.outcome is not None and isinstance(view.outcome.body, frames.Blob)


def answer_of(parts: list[Part], blobs: BlobFolder) -> Response:
    """200 with these parts, one after the other."""
    if all(isinstance(part, bytes) for part in parts):
        return Response(b"".join(part for part in parts if isinstance(part, bytes)), media_type=JSON)
    return PiecesResponse(_written(parts, blobs), media_type=JSON)


class PiecesResponse(StreamingResponse):
    """An answer in pieces that are made while it is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See starlette."""
        await load_streaming()
        await super().__call__(scope, receive, send)


async def _written(parts: list[Part], blobs: BlobFolder) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        async for piece in in_thread(result_pieces(blobs.path(part.name))):
            yield piece


def result_pieces(path: Path) -> Iterator[bytes]:
    """Yield the buffer of a stock SDK for the result in this file, as it stands between the quotes of a JSON text."""
    with path.open("rb") as file:
        if packing.is_text(file.peek(8)[:8]):
            yield from _text_pieces(file)
            return
        yield _escaped(f"{packing.DATA}\n")
        while piece := file.read(PIECE):
            yield base64.encodebytes(piece).replace(b"\n", b"\\n")


def _text_pieces(file: BinaryIO) -> Iterator[bytes]:
    """Of a packed text: its first buffer, which is as long as the line before it says, in characters."""
    left = int(file.readline(20))
    decode = codecs.getincrementaldecoder("utf-8")().decode
    while left and (piece := file.read(PIECE)):
        text = decode(piece)[:left]
        left -= len(text)
        yield _escaped(text)


def _escaped(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


async def parts_of(
    task_id: str, view: TaskView, blobs: BlobFolder, details: dict[str, Any] | None
) -> list[Part]:
    """Return the same as `task_parts`, in a helper thread where that reads a file."""
    if needs_thread(view):
        return await asyncio.to_thread(task_parts, task_id, view, blobs, details)
    return task_parts(task_id, view, blobs, details)
