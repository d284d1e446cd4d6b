"""How many threads libraries start."""

from __future__ import annotations

from compute_executor.thread_limits import THREAD_VARIABLES, limit_threads


def test_workers_times_threads_do_not_exceed_the_cpus_and_the_users_word_counts() -> None:
    environ = {"OMP_NUM_THREADS": "5"}
    limit_threads(environ, cpus=8, workers=3, threads=None)
    assert environ["OMP_NUM_THREADS"] == "5"
    assert {environ[name] for name in THREAD_VARIABLES[1:]} == {"2"}
    limit_threads(environ, cpus=8, workers=30, threads=None)
    limit_threads(environ, cpus=8, workers=3, threads=4)
    assert {environ[name] for name in THREAD_VARIABLES} == {"4"}
