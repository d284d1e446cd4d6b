"""more_executors: layers around an Executor that know only `submit`, callbacks and `shutdown`."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

from more_executors import Executors


def fails_twice(folder: Path) -> int:
    """Its third call succeeds; the calls are counted in files, because each may be in another process."""
    attempt = len(list(folder.iterdir()))
    (folder / str(attempt)).touch()
    if attempt < 2:
        raise ConnectionError("not yet")
    return attempt


def test_retry_map_and_throttle(executor: Executor, tmp_path: Path) -> None:
    layered = Executors.with_throttle(executor, count=2)
    retrying = Executors.with_map(
        Executors.with_retry(layered, max_attempts=3, sleep=0.0), fn=lambda attempt: attempt * 100
    )
    with retrying:
        futures = [retrying.submit(pow, 2, n) for n in range(10)]
        retried = retrying.submit(fails_twice, tmp_path)

        assert [future.result() for future in futures] == [2**n * 100 for n in range(10)]
        assert retried.result() == 200


def test_poll_and_flat_map(executor: Executor) -> None:
    flat = Executors.with_flat_map(executor, fn=lambda value: executor.submit(pow, value, 2))

    assert flat.submit(pow, 3, 2).result() == 81
    flat.shutdown()
