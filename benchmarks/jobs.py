"""What is measured. Each job checks its answers and returns its figures by name.

A job gets a peer and a count (so that a trial can be small). All but the two cold starts find the workers up
and the way there and back used before.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from benchmarks import work
from benchmarks.peers import WORKERS, Peer

MB = 1 << 20
SEED = 20_240_501


class Figure(NamedTuple):
    """One number of a job. ``more``: is more of it better? ``ratio``: does it mean anything beside another's?"""

    name: str
    label: str
    unit: str
    more: bool = False
    ratio: bool = True


class Job(NamedTuple):
    """``tasks``: how many, or how many inputs. ``limit``: seconds a client may take. ``alone``: ours, without the
    reference, which would take minutes. ``like``: the job of fewer tasks whose rate tells how long this one would
    take; ``chunks``: of peers that ignore the chunksize only."""

    name: str
    run: Callable[[Peer, int], dict[str, float]]
    tasks: int
    figures: tuple[Figure, ...]
    limit: float = 25.0
    rounds: int = 99
    like: str = ""
    chunks: bool = False
    alone: bool = False


# -- start --------------------------------------------------------------------------------------------------


def cold_start(peer: Peer, _: int) -> dict[str, float]:
    """From the import to the first result, with nothing running."""
    began = time.perf_counter()
    with peer.open() as executor:
        assert executor.submit(work.successor, 1).result() == 2
        return {"seconds": time.perf_counter() - began}


def warm_start(peer: Peer, _: int) -> dict[str, float]:
    """The same with the peer's service already up, if it has one."""
    if peer.service is None:
        return cold_start(peer, _)
    with peer.service() as address:
        began = time.perf_counter()
        with peer.connect(address) as executor:
            assert executor.submit(work.successor, 1).result() == 2
            return {"seconds": time.perf_counter() - began}


@contextmanager
def _warm(peer: Peer) -> Iterator[Any]:
    with peer.open() as executor:
        for _ in range(2):
            naps = [executor.submit(work.nap, 0.05) for _ in range(2 * WORKERS)]
            assert all(nap.result() == 0.05 for nap in naps)
        _check_numbers([executor.submit(work.successor, number) for number in range(50)])
        yield executor


def _check_numbers(futures: list[Any]) -> None:
    assert [future.result() for future in futures] == list(range(1, len(futures) + 1)), "wrong answers"


# -- small tasks --------------------------------------------------------------------------------------------


def latency(peer: Peer, count: int) -> dict[str, float]:
    """One task at a time, from submit to its result in hand."""
    times = []
    with _warm(peer) as executor:
        for number in range(count):
            began = time.perf_counter()
            assert executor.submit(work.successor, number).result() == number + 1
            times.append(1000 * (time.perf_counter() - began))
    return {"median": _quantile(times, 0.5), "p99": _quantile(times, 0.99)}


def burst(peer: Peer, count: int) -> dict[str, float]:
    """So many submits, then all their results; and the client's processor time for it, all threads."""
    with _warm(peer) as executor:
        cpu, began = time.process_time(), time.perf_counter()
        _check_numbers([executor.submit(work.successor, number) for number in range(count)])
        seconds = time.perf_counter() - began
        return {"rate": count / seconds, "cpu": 1e6 * (time.process_time() - cpu) / count}


def map_singly(peer: Peer, count: int) -> dict[str, float]:
    """``map`` with a chunksize of 1."""
    return _mapped(peer, count, 1)


def map_chunks(peer: Peer, count: int) -> dict[str, float]:
    """``map`` with a chunksize of 100."""
    return _mapped(peer, count, 100)


def _mapped(
    peer: Peer, count: int, chunksize: int, function: Callable[[int], int] = work.successor, step: int = 1
) -> dict[str, float]:
    with _warm(peer) as executor:
        began = time.perf_counter()
        chunks = {"chunksize": chunksize} if chunksize > 1 else {}  # 1 is the default; not all know the word
        answers = list(executor.map(function, range(count), **chunks))
        seconds = time.perf_counter() - began
    assert answers == list(range(step, count + step)), "wrong answers"
    return {"rate": count / seconds}


def map_first(peer: Peer, count: int) -> dict[str, float]:
    """``map`` with a chunksize of 100, of a function that was not called before."""
    return _mapped(peer, count, 100, work.predecessor, -1)


def million(peer: Peer, count: int) -> dict[str, float]:
    """A long input through a buffer of 1,000; growth of the client's memory over the last 90 % of it."""
    with _warm(peer) as executor:
        began = time.perf_counter()
        total = at_tenth = highest = 0
        for index, answer in enumerate(_buffered_map(executor, count, 1000)):
            total += answer
            if index == count // 10:
                at_tenth = resident()
            elif index % 10_000 == 0:
                highest = max(highest, resident())
        seconds = time.perf_counter() - began
    assert total == count * (count + 1) // 2, "wrong answers"
    return {"rate": count / seconds, "growth": max(0, highest - at_tenth) / MB}


def _buffered_map(executor: Any, count: int, size: int) -> Iterable[int]:
    from inspect import signature

    if "buffersize" in signature(executor.map).parameters:
        answers: Iterable[int] = executor.map(work.successor, range(count), buffersize=size)
        return answers
    return _sliding_window(executor, count, size)


def _sliding_window(executor: Any, count: int, size: int) -> Iterator[int]:
    """What a user writes where ``map`` has no buffersize (before Python 3.14)."""
    from collections import deque

    waiting: deque[Any] = deque()
    for number in range(count):
        waiting.append(executor.submit(work.successor, number))
        if len(waiting) >= size:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


# -- large bodies -------------------------------------------------------------------------------------------


def bodies_1mb(peer: Peer, count: int) -> dict[str, float]:
    """Bodies of 1 MB, all submitted at once, there and back."""
    return _bodies(peer, count, MB)


def bodies_64mb(peer: Peer, count: int) -> dict[str, float]:
    """Bodies of 64 MB, all submitted at once, there and back."""
    return _bodies(peer, count, 64 * MB)


def _bodies(peer: Peer, count: int, size: int) -> dict[str, float]:
    bodies = [os.urandom(size) for _ in range(count)]
    with _warm(peer) as executor:
        began = time.perf_counter()
        futures = [executor.submit(work.echo, body) for body in bodies]
        answers = [future.result() for future in futures]
        seconds = time.perf_counter() - began
    assert answers == bodies, "wrong answers"
    return {"rate": 2 * count * size / MB / seconds}


def shared_64mb(peer: Peer, count: int) -> dict[str, float]:
    """Calls that share one array of 64 MB, each by the way its peer has for that: a partial given to ``map``, dask's
    ``scatter``, Ray's ``put``, joblib's memmap. The way was used before, with another array."""
    import numpy

    tables = [numpy.random.default_rng(number).integers(0, 1 << 62, size=8 * MB) for number in range(2)]
    with peer.open() as executor:
        small = numpy.arange(100)
        assert peer.share(executor, work.item, small, list(range(2 * WORKERS))) == list(range(2 * WORKERS))
        assert peer.share(executor, work.item, tables[0], [0, 1]) == tables[0][:2].tolist()
        positions = [number * 1009 for number in range(count)]
        began = time.perf_counter()
        answers = peer.share(executor, work.item, tables[1], positions)
        seconds = time.perf_counter() - began
    assert answers == tables[1][positions].tolist(), "wrong answers"
    return {"seconds": seconds}


# -- work that takes time -----------------------------------------------------------------------------------


def sweep(peer: Peer, count: int) -> dict[str, float]:
    """Uneven CPU-bound tasks of 5-50 ms: processor time they use, over what the cores could have given."""
    durations = _uneven(count)
    with _warm(peer) as executor:
        began = time.perf_counter()
        futures = [executor.submit(work.burn, seconds) for seconds in durations]
        answers = [future.result() for future in futures]
        seconds = time.perf_counter() - began
    assert answers == durations, "wrong answers"
    return {"efficiency": sum(durations) / (WORKERS * seconds)}


def arrival_busy(peer: Peer, count: int) -> dict[str, float]:
    """From the end of a task to its future being set, while both cores work on uneven tasks."""
    arrivals: list[float] = []
    with _warm(peer) as executor:
        futures = [executor.submit(work.burn_and_stamp, seconds) for seconds in _uneven(count)]
        for future in futures:
            future.add_done_callback(lambda done: arrivals.append(1000 * (time.time() - done.result())))
        for future in futures:
            future.result()
    assert len(arrivals) >= count - 1, "a future was set whose callback did not run"
    return {"median": _quantile(arrivals, 0.5)}


def arrival_idle(peer: Peer, count: int) -> dict[str, float]:
    """The same, one short sleeping task at a time on an idle machine."""
    arrivals: list[float] = []
    with _warm(peer) as executor:
        for _ in range(count):
            future = executor.submit(work.nap_and_stamp, 0.005)
            future.add_done_callback(lambda done: arrivals.append(1000 * (time.time() - done.result())))
            future.result()
            time.sleep(0.002)
    return {"median": _quantile(arrivals, 0.5)}


def _uneven(count: int) -> list[float]:
    from random import Random

    random = Random(SEED)
    return [random.uniform(0.005, 0.050) for _ in range(count)]


# -- memory -------------------------------------------------------------------------------------------------


def open_futures(peer: Peer, count: int) -> dict[str, float]:
    """Growth of the client's memory per future, while the workers are held and none can end."""
    import tempfile

    with _warm(peer) as executor, tempfile.TemporaryDirectory() as folder:
        release = os.path.join(folder, "release")
        begun = [os.path.join(folder, f"begun-{index}") for index in range(WORKERS)]
        holds = [executor.submit(work.hold, path, release) for path in begun]
        try:
            _until(lambda: all(map(os.path.exists, begun)), "the workers have begun")
            before = _settled()
            futures = [executor.submit(work.successor, number) for number in range(count)]
            grown = _settled() - before
            assert not any(future.done() for future in futures), "tasks ended while all workers were held"
        finally:
            open(release, "w").close()
        assert all(hold.result() for hold in holds)
        _check_numbers(futures)
    return {"bytes": grown / count}


def resident() -> int:
    """Resident memory of this process in bytes."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _settled() -> int:
    """Resident memory once it has stopped changing, free memory given back to the system."""
    import ctypes

    last = 0
    for _ in range(20):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        now = resident()
        if abs(now - last) < 64 * 1024:
            return now
        last = now
        time.sleep(0.5)
    return last


def _until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"waited 10 s for this: {what}")


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


_RATE = Figure("rate", "tasks/s", "/s", more=True)
_CPU = Figure("cpu", "client CPU", "us/task")
_BANDWIDTH = Figure("rate", "there and back", "MB/s", more=True)
_SECONDS = Figure("seconds", "import to first result", "s")

JOBS = {
    job.name: job
    for job in (
        Job("cold start", cold_start, 1, (_SECONDS,)),
        Job("start, service up", warm_start, 1, (_SECONDS,)),
        Job(
            "latency",
            latency,
            500,
            (Figure("median", "median", "ms"), Figure("p99", "99th percentile", "ms")),
        ),
        Job("burst 1k", burst, 1_000, (_RATE, _CPU)),
        Job("burst 10k", burst, 10_000, (_RATE, _CPU)),
        Job("burst 100k", burst, 100_000, (_RATE, _CPU), like="burst 10k"),
        Job("map chunksize 1", map_singly, 10_000, (_RATE,)),
        Job("map chunksize 100", map_chunks, 100_000, (_RATE,), like="map chunksize 1", chunks=True),
        Job("map, first 10,000", map_first, 10_000, (_RATE,), like="map chunksize 1", chunks=True),
        Job("40 x 64 MB shared", shared_64mb, 40, (Figure("seconds", "time", "s"),), limit=60),
        Job("100 x 1 MB", bodies_1mb, 100, (_BANDWIDTH,)),
        Job("4 x 64 MB", bodies_64mb, 4, (_BANDWIDTH,)),
        Job("sweep 5-50 ms", sweep, 400, (Figure("efficiency", "efficiency", "of 1", more=True),)),
        Job("arrival, busy", arrival_busy, 200, (Figure("median", "end to future set", "ms"),)),
        Job("arrival, idle", arrival_idle, 200, (Figure("median", "end to future set", "ms"),)),
        Job("open futures", open_futures, 10_000, (Figure("bytes", "client memory", "B/future"),)),
        Job(
            "a million inputs",
            million,
            1_000_000,
            (_RATE._replace(ratio=False), Figure("growth", "memory growth", "MB", ratio=False)),
            limit=60,
            rounds=1,
            alone=True,
        ),
    )
}
