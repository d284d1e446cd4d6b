"""Batches: what travels together, known by prefix and position."""

from __future__ import annotations

from typing import Any

from compute_executor.batch import Call, CallBatch, Function, Target, seal
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import Blob, Options
from compute_executor.protocol.ids import split_task_id
from tests.test_future import Owner

LANE = Target(b"", None, Options())
FUNCTION = Function(b"d" * 32, "f", b"code")


def sealed(count: int) -> tuple[CallBatch, list[ComputeFuture[Any]]]:
    futures: list[ComputeFuture[Any]] = [ComputeFuture(Owner()) for _ in range(count)]
    return seal(LANE, [Call(future, FUNCTION, b"args", LANE) for future in futures]), futures


def test_sealing_gives_every_call_its_id() -> None:
    batch, futures = sealed(3)

    assert [split_task_id(future.task_id or "") for future in futures] == [
        (batch.prefix, n) for n in range(3)
    ]
    assert batch.open == 3


def test_a_future_is_taken_out_once() -> None:
    batch, futures = sealed(2)

    assert batch.pop(1) is futures[1]
    assert batch.pop(1) is None
    assert batch.pop(7) is None
    assert batch.open == 1


def test_a_blob_weighs_nothing_in_a_frame() -> None:
    assert Call(ComputeFuture(Owner()), FUNCTION, Blob("0" * 32, 10**9), LANE).size == 0


def test_a_function_shows_its_name() -> None:
    assert repr(FUNCTION) == "<Function f 646464646464>"
