"""What our futures say beyond the standard's: the task, the endpoint, the times."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import Future

import pytest

import compute_executor
from compute_executor import ComputeFuture
from tests.contract import work
from tests.contract.work import PATIENCE, Gate, wait_until


def test_it_is_a_future_of_the_standard_library(ours: compute_executor.Executor) -> None:
    future = ours.submit(work.square, 2)

    assert isinstance(future, ComputeFuture)
    assert isinstance(future, Future)
    assert future.result(PATIENCE) == 4


def test_every_task_has_an_id_of_its_own(ours: compute_executor.Executor) -> None:
    futures = [ours.submit(work.square, n) for n in range(300)]
    ids = {future.task_id for future in futures}

    assert len(ids) == 300
    assert all(str(uuid.UUID(task_id)) == task_id for task_id in ids if task_id)
    assert [future.result(PATIENCE) for future in futures] == [n * n for n in range(300)]
    assert {future.task_id for future in futures} == ids


def test_the_times_of_a_task_are_in_order(ours: compute_executor.Executor, gate: Gate) -> None:
    before = time.time()
    future = ours.submit(gate.hold)
    gate.wait_for()
    wait_until(future.running)
    assert future.timings.began
    assert future.timings.ended == 0.0
    gate.open()
    future.result(PATIENCE)

    submitted, began, ended = future.timings
    assert before <= submitted <= began <= ended <= time.time()


def test_an_argument_that_cannot_travel_is_the_futures_error(ours: compute_executor.Executor) -> None:
    lock = __import__("threading").Lock()
    good = [ours.submit(work.square, n) for n in range(10)]
    bad = ours.submit(work.capture, lock)
    good += [ours.submit(work.square, n) for n in range(10, 20)]

    assert isinstance(bad.exception(PATIENCE), TypeError)
    assert bad.task_id is None
    assert [future.result(PATIENCE) for future in good] == [n * n for n in range(20)]


def test_its_repr_says_the_state(ours: compute_executor.Executor) -> None:
    future = ours.submit(work.square, 2)
    future.result(PATIENCE)

    assert "state=finished returned int" in repr(future)


def test_the_worker_is_another_process(ours: compute_executor.Executor) -> None:
    import os

    assert ours.submit(os.getpid).result(PATIENCE) != os.getpid()


def test_the_worker_sees_what_the_caller_sees(
    ours: compute_executor.Executor, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import sys

    assert ours.submit(os.getcwd).result(PATIENCE) == os.getcwd()
    assert ours.submit(lambda: __import__("sys").executable).result(PATIENCE) == sys.executable
    assert ours.submit(lambda: __import__("sys").version).result(PATIENCE) == sys.version
