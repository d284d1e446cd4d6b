"""Batches: what travels together, known by prefix and position."""

from __future__ import annotations

from typing import Any

import pytest

from compute_executor.batch import Call, CallBatch, Function, Target, with_ids
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import Blob, Options
from compute_executor.protocol.ids import split_task_id
from tests.test_future import Owner

TARGET = Target(b"", None, Options())
FUNCTION = Function(b"d" * 32, "f", b"code")


def batch_of(count: int) -> tuple[CallBatch, list[ComputeFuture[Any]]]:
    futures: list[ComputeFuture[Any]] = [ComputeFuture(owner=Owner()) for _ in range(count)]
    return with_ids(TARGET, [Call(future, FUNCTION, b"args", TARGET) for future in futures]), futures


def test_sealing_gives_every_call_its_id() -> None:
    batch, futures = batch_of(3)

    assert [split_task_id(future.task_id or "") for future in futures] == [
        (batch.prefix, n) for n in range(3)
    ]
    assert batch.open == 3


def test_a_future_is_taken_out_once() -> None:
    batch, futures = batch_of(2)

    assert batch.pop(1) is futures[1]
    assert batch.pop(1) is None
    assert batch.pop(7) is None
    assert batch.open == 1


def test_a_blob_weighs_nothing_in_a_frame() -> None:
    assert Call(ComputeFuture(owner=Owner()), FUNCTION, Blob("0" * 32, 10**9), TARGET).size == 0


def test_a_function_shows_its_name() -> None:
    assert repr(FUNCTION) == "<Function f 646464646464>"


def test_targets_that_say_the_same_are_equal() -> None:
    one = Target(b"e" * 16, None, Options(retries=1, resource_specification={"nodes": 1}))
    same = Target(b"e" * 16, None, Options(retries=1, resource_specification={"nodes": 1}))

    assert one == same
    assert hash(one) == hash(same)
    assert one != Target(b"e" * 16, None, Options(retries=2, resource_specification={"nodes": 1}))
    assert one != Target(b"e" * 16, b"p" * 16, Options(retries=1, resource_specification={"nodes": 1}))
    assert one != "another thing"


def test_a_target_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        TARGET.options = Options(retries=1)  # type: ignore[misc]
