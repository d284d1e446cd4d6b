"""pymoo: problems are evaluated by a runner; a starmap is one line away from an Executor's map."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any

import numpy as np
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize
from pymoo.parallelization.starmap import StarmapParallelization


class Sphere(ElementwiseProblem):
    def __init__(self, **options: Any) -> None:
        super().__init__(n_var=3, n_obj=1, xl=-1, xu=1, **options)

    def _evaluate(self, x: np.ndarray, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = float(np.sum((x - 0.25) ** 2))


def best(**options: Any) -> np.ndarray:
    return minimize(Sphere(**options), GA(pop_size=12), ("n_gen", 5), seed=4).X


def test_a_genetic_algorithm(executor: Executor) -> None:
    def starmap(function: Callable[..., Any], arguments: Iterable[list[Any]]) -> Iterable[Any]:
        return executor.map(function, *zip(*arguments, strict=True))

    assert (best(elementwise_runner=StarmapParallelization(starmap)) == best()).all()
