"""A program that type checkers have nothing to say about."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from uuid import UUID

from typing_extensions import assert_type

from compute_executor import ComputeFuture, Executor, progress


def scale(value: float, factor: float = 1.0, *, label: str = "") -> str:
    return f"{label}{value * factor}"


def twice(number: int) -> int:
    return 2 * number


def add(one: int, two: int) -> int:
    return one + two


with Executor(max_workers=2) as ex:
    future = ex.submit(scale, 2.0, factor=3.0, label="x")
    assert_type(future, ComputeFuture[str])
    assert_type(future.result(), str)
    assert_type(future.timings.began, float)
    assert_type(future.output("stdout"), str)
    standard: Future[str] = future
    assert_type(ex.map(twice, [1, 2]), Iterator[int])
    assert_type(list(ex.map(add, [1, 2], (3, 4), chunksize=2)), list[int])
    assert_type(list(ex.map(scale, [1.0], [2.0], progress=True, timeout=5)), list[str])
    assert_type(list(ex.map(lambda a, b, c: f"{a}{b}{c}", [1], "x", [None])), list[str])
    for done in as_completed([ex.submit(twice, 1)]):
        assert_type(done.result(), int)
    for shown in progress([ex.submit(twice, 1)]):
        assert_type(shown.result(), int)
    assert_type(ex.options(retries=2, timeout=1.5), Executor)
    table = ex.put({"a": 1})
    assert_type(ex.submit(len, table), ComputeFuture[int])
    assert_type(ex.task_group_id, UUID)
    assert_type(ex.label, str)
