"""Results as text from their files, piece by piece: the same as at once."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from compute_executor.protocol import frames
from compute_executor.serialization import packing
from compute_executor.service.api import result_text
from compute_executor.service.api.result_text import LINE, PIECE, answer_of, parts_of, result_pieces
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.tasks.status import TaskView

PREFIX = bytes.fromhex("0123456789ab8def8123beef")
TASK = str(uuid.UUID(bytes=PREFIX + bytes(4)))


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path)


def keep(blobs: BlobFolder, data: bytes) -> frames.Blob:
    name = "a" * 32
    (blobs.folder / name).write_bytes(data)
    return frames.Blob(name, len(data))


@pytest.mark.parametrize("size", [0, 1, LINE, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
def test_a_result_in_pieces_is_the_result(blobs: BlobFolder, size: int) -> None:
    body = b"\x80\x04" + bytes(index % 256 for index in range(size))
    pieces = list(result_pieces(blobs.path(keep(blobs, body).name)))
    assert json.loads(b'"' + b"".join(pieces) + b'"') == packing.result_to_text(body)
    assert max(map(len, pieces)) < 2 * PIECE


@pytest.mark.parametrize("text", ["", "x", 'quote " and \\ and \n', "grüße \U0001f600" * 1000, "é" * PIECE])
def test_a_result_that_is_text_already(blobs: BlobFolder, text: str) -> None:
    buffer = "11\n" + text
    body = packing.pack([buffer, "11\nanother"]).encode()
    pieces = result_pieces(blobs.path(keep(blobs, body).name))
    assert json.loads(b'"' + b"".join(pieces) + b'"') == buffer == packing.result_to_text(body)


def answered(blobs: BlobFolder, status: int, body: frames.Body) -> dict[str, Any]:
    async def scenario() -> bytes:
        outcome = frames.Result(1, PREFIX, 0, status, body, 1.0, 2.5)
        view = TaskView(PREFIX, 0, "success", outcome, b"g" * 16)
        response = answer_of(await parts_of(TASK, view, blobs, {"pid": 5}), blobs)
        sent: list[bytes] = []

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        async def receive() -> Any:
            await asyncio.Event().wait()

        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
        assert max(map(len, sent)) < 2 * PIECE
        return b"".join(sent)

    document: dict[str, Any] = json.loads(asyncio.run(scenario()))
    return document


def test_the_document_of_a_task_with_a_large_result(blobs: BlobFolder) -> None:
    body = b"\x80\x04" + b"x" * 2_000_000
    document = answered(blobs, frames.VALUE, keep(blobs, body))
    at_once = answered(blobs, frames.VALUE, b"\x80\x04x")
    assert document.pop("result") == packing.result_to_text(body)
    assert at_once.pop("result")
    assert (
        document
        == at_once
        == {"task_id": TASK, "status": "success", "completion_t": "2.5", "details": {"pid": 5}}
    )


def test_a_result_whose_file_is_gone_is_a_failed_task(blobs: BlobFolder) -> None:
    document = answered(blobs, frames.VALUE, frames.Blob("b" * 32, 70_000))
    assert document["status"] == "failed"
    assert "cannot be told as text" in document["exception"]


def test_an_exception_that_is_too_large_to_be_text(
    blobs: BlobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_text, "LONGEST_EXCEPTION", 100_000)
    body = packing.exception_from_text("ValueError", "x", "y" * 200_000)
    document = answered(blobs, frames.EXCEPTION, keep(blobs, body))
    assert document["status"] == "failed"
    assert f"{len(body)} bytes" in document["exception"]
