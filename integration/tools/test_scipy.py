"""scipy: `workers=` takes any function that maps."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
from scipy.integrate import quad_vec
from scipy.optimize import differential_evolution, rosen


def waves(x: float) -> np.ndarray:
    return np.array([np.sin(k * x) / (1.1 + np.cos(x)) for k in range(1, 6)])


def test_differential_evolution(executor: Executor) -> None:
    def minimum(workers: object) -> np.ndarray:
        found = differential_evolution(
            rosen,
            [(-2, 2)] * 3,
            workers=workers,
            updating="deferred",
            maxiter=10,
            popsize=5,
            rng=7,
            polish=False,
        )
        return found.x

    assert (minimum(executor.map) == minimum(map)).all()


def test_quad_vec(executor: Executor) -> None:
    value, _ = quad_vec(waves, 0, 3, workers=executor.map)
    serial, _ = quad_vec(waves, 0, 3)

    np.testing.assert_allclose(value, serial, rtol=1e-12)
