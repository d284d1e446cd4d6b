"""nevergrad: `minimize` submits evaluations and looks at `done()`."""

from __future__ import annotations

from concurrent.futures import Executor

import nevergrad
import numpy as np


def sphere(x: np.ndarray, shift: float = 0.5) -> float:
    return float(np.sum((x - shift) ** 2))


def best(executor: Executor | None) -> np.ndarray:
    """Of a search that asks the same points in whatever order the answers come."""
    optimizer = nevergrad.optimizers.ScrHammersleySearch(parametrization=2, budget=40, num_workers=4)
    optimizer.parametrization.random_state.seed(11)
    return optimizer.minimize(sphere, executor=executor, batch_mode=True).value


def test_a_search(executor: Executor) -> None:
    assert (best(executor) == best(None)).all()
