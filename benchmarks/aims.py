"""What compute_executor wants to reach, as bounds on medians: of the ratio to ProcessPoolExecutor, or absolute."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from benchmarks.jobs import Figure, Job
from benchmarks.peers import OURS
from benchmarks.runner import Findings


class Aim(NamedTuple):
    """``least`` or ``most`` of a figure's ``ratio`` (to the reference beside it) or of its own value."""

    job: str
    figure: str
    bound: float
    most: bool
    ratio: bool = True

    def reached(self, value: float) -> bool:
        """Is that good enough?"""
        return value <= self.bound if self.most else value >= self.bound

    def missed_by(self, value: float) -> float:
        """How far that is from the bound, as a part of it."""
        return abs(value - self.bound) / self.bound

    def value(self, findings: Findings) -> float | None:
        """The median over the rounds; None if it was not measured."""
        pairs = findings.of(self.job, OURS)
        values = [pair.ratio(self.figure) if self.ratio else pair.figures[self.figure] for pair in pairs]
        return statistics.median(values) if values else None


def least(job: str, figure: str, bound: float) -> Aim:
    """At least so many times the reference's figure."""
    return Aim(job, figure, bound, most=False)


def most(job: str, figure: str, bound: float) -> Aim:
    """At most so many times the reference's figure."""
    return Aim(job, figure, bound, most=True)


AIMS = (
    least("burst 10k", "rate", 7),
    least("map chunksize 1", "rate", 7),
    least("map chunksize 100", "rate", 1.5),
    most("latency", "median", 2),
    most("latency", "p99", 2.5),
    least("map, first 10,000", "rate", 1.5),
    most("40 x 64 MB shared", "seconds", 0.05),
    least("100 x 1 MB", "rate", 3),
    least("4 x 64 MB", "rate", 3),
    least("sweep 5-50 ms", "efficiency", 1),
    most("arrival, busy", "median", 1.5),
    Aim("cold start", "seconds", 0.6, most=True, ratio=False),
    Aim("start, service up", "seconds", 0.15, most=True, ratio=False),
    Aim("open futures", "bytes", 2500, most=True, ratio=False),
    Aim("a million inputs", "growth", 1, most=True, ratio=False),
)
SCALE_AIM = 0.9
"""Least rate of 100,000 tasks at once, over that of 1,000 at once."""


SHARING_AIM = 0.2
"""Most time that calls which share a value take, of that of a peer with a way of its own for it."""
SHARING_JOB, SHARING_PEERS = "40 x 64 MB shared", ("dask.distributed", "Ray", "joblib")


def beside_sharing(findings: Findings, peer: str) -> float | None:
    """Our time over that peer's, each beside the reference."""
    ours, theirs = (
        [pair.ratio("seconds") for pair in findings.of(SHARING_JOB, name)] for name in (OURS, peer)
    )
    return statistics.median(ours) / statistics.median(theirs) if ours and theirs else None


DISTRIBUTED = ("dask.distributed", "Parsl HTEX", "ipyparallel")
"""Peers that we want to be ahead of in every figure."""


def behind(findings: Findings, job: Job, figure: Figure, peer: str) -> bool:
    """Whether a peer's median ratio is better than ours, where both were measured."""
    if not figure.ratio:
        return False
    theirs = [pair.ratio(figure.name) for pair in findings.of(job.name, peer)]
    ours = [pair.ratio(figure.name) for pair in findings.of(job.name, OURS)]
    if not theirs or not ours:
        return False
    lead = statistics.median(ours) - statistics.median(theirs)
    return (lead < 0) if figure.more else (lead > 0)


def scale(findings: Findings) -> float | None:
    """Our rate of 100,000 tasks at once over that of 1,000, in the median of the rounds."""
    large, small = (
        [pair.figures["rate"] for pair in findings.of(job, OURS)] for job in ("burst 100k", "burst 1k")
    )
    return statistics.median(large) / statistics.median(small) if large and small else None
