"""The session's results: bounded by count and bytes, the least asked for goes first."""

from __future__ import annotations

from compute_executor.protocol import frames
from compute_executor.sdk.outcome import Outcome, pending
from compute_executor.sdk.result_cache import ResultCache


def ended(task_id: str, size: int = 1) -> Outcome:
    return Outcome(task_id, "success", frames.VALUE, b"x" * size)


def test_what_was_put_is_found() -> None:
    cache = ResultCache()
    cache.put(ended("a"))
    assert cache.get("a") == ended("a")
    assert cache.get("b") is None


def test_the_least_recently_asked_for_goes_first() -> None:
    cache = ResultCache(max_entries=2)
    cache.put(ended("a"))
    cache.put(ended("b"))
    cache.get("a")
    cache.put(ended("c"))
    assert [cache.get(name) is not None for name in "abc"] == [True, False, True]


def test_bytes_are_bounded() -> None:
    cache = ResultCache(max_bytes=10)
    cache.put(ended("a", 6))
    cache.put(ended("b", 6))
    assert cache.get("a") is None
    cache.put(ended("b", 3))
    cache.put(ended("c", 7))
    assert len(cache) == 2


def test_what_is_pending_or_too_large_is_not_kept() -> None:
    cache = ResultCache(max_bytes=10)
    cache.put(pending("a", "running"))
    cache.put(ended("b", 11))
    assert len(cache) == 0
