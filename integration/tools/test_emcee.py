"""emcee: a pool is anything with `map`."""

from __future__ import annotations

from concurrent.futures import Executor

import emcee
import numpy as np


def log_probability(theta: np.ndarray, inverse_variance: np.ndarray) -> float:
    return float(-0.5 * np.sum(inverse_variance * theta**2))


def chain(pool: object) -> np.ndarray:
    random = np.random.RandomState(3)
    start = random.randn(16, 3)
    sampler = emcee.EnsembleSampler(16, 3, log_probability, args=[np.array([1.0, 2.0, 3.0])], pool=pool)
    sampler.random_state = random.get_state()
    sampler.run_mcmc(start, 20)
    return sampler.get_chain()


def test_an_ensemble(executor: Executor) -> None:
    assert (chain(executor) == chain(None)).all()
