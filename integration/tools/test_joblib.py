"""joblib: a registered backend of a dozen lines, as docs/coming-from.md shows it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from math import sqrt
from typing import Any

import pytest
from joblib import Parallel, delayed, parallel_config, register_parallel_backend
from joblib._parallel_backends import ParallelBackendBase


class ExecutorBackend(ParallelBackendBase):
    """joblib's calls go to an Executor."""

    supports_retrieve_callback = True

    def __init__(self, executor: Executor, **options: Any) -> None:
        super().__init__(**options)
        self.executor = executor

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        return n_jobs if n_jobs and n_jobs > 0 else self.executor._max_workers  # type: ignore[attr-defined]

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None) -> Future[Any]:
        future = self.executor.submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        return out.result()


@pytest.fixture
def backend(executor: Executor) -> None:
    register_parallel_backend("compute", lambda **options: ExecutorBackend(executor, **options))


@pytest.mark.usefixtures("backend")
def test_parallel_calls() -> None:
    with parallel_config(backend="compute", n_jobs=2):
        ours = Parallel()(delayed(sqrt)(n) for n in range(100))

    assert ours == [sqrt(n) for n in range(100)]


@pytest.mark.usefixtures("backend")
def test_an_exception_of_a_call_is_raised() -> None:
    with parallel_config(backend="compute", n_jobs=2), pytest.raises(ValueError, match=r"domain|nonnegative"):
        Parallel()(delayed(sqrt)(n) for n in (4, -1))
