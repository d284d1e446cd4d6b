"""dynesty: a pool is anything with `map`; how many calls it gets at a time is `queue_size`."""

from __future__ import annotations

from concurrent.futures import Executor

import dynesty
import numpy as np


def log_likelihood(x: np.ndarray) -> float:
    return float(-0.5 * np.sum((x / 0.3) ** 2))


def prior(u: np.ndarray) -> np.ndarray:
    return 4 * u - 2


class Serial:
    """The same queue, worked off in this process."""

    map = staticmethod(map)


def evidence(pool: object) -> tuple[float, int]:
    sampler = dynesty.NestedSampler(
        log_likelihood, prior, ndim=2, nlive=40, pool=pool, queue_size=4, rstate=np.random.default_rng(5)
    )
    sampler.run_nested(dlogz=2.0, print_progress=False)
    return float(sampler.results.logz[-1]), int(np.sum(sampler.results.ncall))


def test_nested_sampling(executor: Executor) -> None:
    assert evidence(executor) == evidence(Serial())
