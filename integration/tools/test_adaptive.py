"""adaptive: a Runner samples where it is worth it. It asks only pools it knows for their size, hence `ntasks`."""

from __future__ import annotations

from concurrent.futures import Executor

import adaptive
from adaptive.runner import BlockingRunner, simple


def peak(x: float) -> float:
    a = 0.01
    return x + a**2 / (a**2 + x**2)


def learned(run: object) -> adaptive.Learner1D:
    learner = adaptive.Learner1D(peak, bounds=(-1, 1))
    run(learner)  # type: ignore[operator]
    return learner


def test_a_learner(executor: Executor) -> None:
    ours = learned(
        lambda learner: BlockingRunner(
            learner, goal=lambda learner: learner.npoints >= 60, executor=executor, ntasks=2
        )
    )
    serial = learned(lambda learner: simple(learner, goal=lambda learner: learner.npoints >= 60))

    assert all(value == peak(x) for x, value in ours.data.items())
    assert ours.npoints >= 60
    assert len(set(ours.data) & set(serial.data)) > 30
    assert min(abs(x) for x in ours.data) < 0.02
