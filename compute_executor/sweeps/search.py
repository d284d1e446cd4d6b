"""Designs that are found on the way: towards the least (greatest) result by differential evolution (Storn and Price,
1997; scipy) or covariance matrix adaptation (CMA-ES, Hansen and Ostermeier, 2001; nevergrad), and points where a
result changes most (adaptive). Points come in batches that do not depend on how fast calls are, so the same seed
gives the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.best import number
from compute_executor.sweeps.book import CallEnd
from compute_executor.sweeps.columns import as_result
from compute_executor.sweeps.design import Design, Row
from compute_executor.sweeps.documents import optional
from compute_executor.sweeps.samples import Range
from compute_executor.sweeps.study import Study

METHODS = ("evolution", "nevergrad")
LARGEST_POPULATION = 15
"""Points of a generation for each parameter, as scipy has it."""
AT_ONCE = 16
"""Points that nevergrad is asked for before it is told of any: a number of its own, so that the rows do not depend on
the machine."""


class SearchOptions(Protocol):
    """What a search was asked for."""

    @property
    def minimize(self) -> str | None:
        """The column to make least."""

    @property
    def maximize(self) -> str | None:
        """The column to make greatest."""

    @property
    def adaptive(self) -> str | None:
        """The column to follow."""

    @property
    def evaluations(self) -> int | None:
        """How many calls may be made."""

    @property
    def method(self) -> str | None:
        """How the least or greatest is sought."""

    @property
    def seed(self) -> int | None:
        """What makes it repeatable."""


class Search:
    """``column`` of a function over the box of ``ranges``, with ``constants`` beside, in at most ``evaluations``
    calls. ``kind``: minimize, maximize or adaptive; ``method``: evolution or nevergrad, for the first two."""

    def __init__(
        self,
        kind: str,
        column: str,
        ranges: Sequence[Range],
        constants: Row,
        *,
        evaluations: int,
        seed: int,
        method: str = METHODS[0],
    ) -> None:
        self._kind, self._column, self._seed, self._method = kind, column, seed, method
        self._ranges, self._constants, self._left = list(ranges), constants, evaluations
        self._error: Exception | None = None
        if kind == "adaptive":
            optional("adaptive", "adaptive", "--adaptive")
            if len(ranges) > 2:
                raise InvalidRequest(f"--adaptive is for one or two parameters, these are {len(ranges)}")
        elif method not in METHODS:
            raise InvalidRequest(
                f"--method {method}: that of a search with --evaluations must be one of {', '.join(METHODS)}"
            )
        elif method == "nevergrad":
            optional("nevergrad", "nevergrad", "--method nevergrad")
        else:
            optional("scipy.optimize", "search", "a search with --evaluations")

    @classmethod
    def asked(cls, request: SearchOptions, design: Design) -> Search:
        """Return the search that the options ask for. Raises InvalidRequest."""
        kind = "adaptive" if request.adaptive else "minimize" if request.minimize else "maximize"
        column = request.adaptive or request.minimize or request.maximize or ""
        assert design.sample is not None, "a search has ranges"
        constants = {axis.name: axis.values[0] for axis in design.axes}
        return cls(
            kind,
            column,
            design.sample.ranges,
            constants,
            evaluations=request.evaluations or 1,
            seed=request.seed or 0,
            method=request.method or METHODS[0],
        )

    def run(self, study: Study, executor: Executor, changed: Callable[[], None]) -> None:
        """Make the calls, on ``executor``; their rows are those of ``study``."""

        def evaluate(points: Sequence[Sequence[float]]) -> list[float]:
            points = points[: self._left]
            self._left -= len(points)
            try:
                ends = study.evaluate(self._rows(points), executor, changed)
                if study.ended_early:
                    self._left = 0
                return [self._result(end) for end in ends]
            except Exception as error:  # which the library that asks would replace by one of its own
                self._error, self._left = error, 0
                return []

        if self._kind == "adaptive":
            self._follow(evaluate, 2 * (getattr(executor, "_max_workers", None) or 4))
        elif self._method == "nevergrad":
            self._adapt(evaluate)
        else:
            self._evolve(evaluate)
        if self._error is not None:
            raise self._error

    def _rows(self, points: Sequence[Sequence[float]]) -> Iterator[Row]:
        for point in points:
            drawn = {one.name: one.at(float(part)) for one, part in zip(self._ranges, point, strict=True)}
            yield {**self._constants, **drawn}

    def _result(self, end: CallEnd | None) -> float:
        """Return the number that a call returned in the column; NaN where it failed. Raises InvalidRequest if there
        is no such column."""
        if end is None or end.error or end.value is None:
            return math.nan
        import pickle  # the book's own form

        found = as_result(pickle.loads(end.value))
        if self._column not in found:
            raise InvalidRequest(f"no result is called {self._column!r}; the results are: {', '.join(found)}")
        return number(found[self._column])

    def _evolve(self, evaluate: Callable[[Sequence[Sequence[float]]], list[float]]) -> None:
        optimize: Any = optional("scipy.optimize", "search", "a search with --evaluations")
        size = len(self._ranges)

        def energies(_: Any, points: Any) -> list[float]:
            values = self._losses(evaluate([list(point) for point in points]))
            return values + [math.inf] * (len(points) - len(values))

        optimize.differential_evolution(
            len,  # `energies` takes its place
            [(0.0, 1.0)] * size,
            popsize=max(1, min(LARGEST_POPULATION, self._left // (8 * size))),
            maxiter=self._left,
            updating="deferred",
            workers=energies,
            polish=False,
            tol=1e-6,
            callback=lambda *_, **__: self._left <= 0,
            **_seeding(optimize, self._seed),
        )

    def _losses(self, values: Sequence[float]) -> list[float]:
        """Return what is to become least. Infinity for a call that failed."""
        sign = -1.0 if self._kind == "maximize" else 1.0
        return [math.inf if math.isnan(value) else sign * value for value in values]

    def _adapt(self, evaluate: Callable[[Sequence[Sequence[float]]], list[float]]) -> None:
        import warnings  # only this search needs it

        nevergrad: Any = optional("nevergrad", "nevergrad", "--method nevergrad")
        numpy: Any = optional("numpy", "nevergrad", "--method nevergrad")
        box = nevergrad.p.Array(init=numpy.full(len(self._ranges), 0.5), lower=0.0, upper=1.0)
        box.random_state = numpy.random.RandomState(self._seed)
        optimizer = nevergrad.optimizers.CMA(box, budget=self._left, num_workers=min(AT_ONCE, self._left))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that infinity is a very high loss
            while self._left > 0:
                asked = [optimizer.ask() for _ in range(min(AT_ONCE, self._left))]
                losses = self._losses(evaluate([one.value.tolist() for one in asked]))
                for one, loss in zip(asked, losses, strict=False):
                    optimizer.tell(one, loss)

    def _follow(self, evaluate: Callable[[Sequence[Sequence[float]]], list[float]], batch: int) -> None:
        adaptive: Any = optional("adaptive", "adaptive", "--adaptive")
        one = len(self._ranges) == 1
        learner = adaptive.Learner1D(len, (0, 1)) if one else adaptive.Learner2D(len, [(0, 1), (0, 1)])
        while self._left > 0:
            points, _ = learner.ask(min(batch, self._left))
            values = evaluate([[point] if one else list(point) for point in points])
            for point, value in zip(points, values, strict=False):
                if not math.isnan(value):
                    learner.tell(point, value)


def _seeding(optimize: Any, seed: int) -> dict[str, Any]:
    """Return the keyword for the generator: ``rng`` since scipy 1.15, ``seed`` before."""
    import inspect  # only searches need it

    known = inspect.signature(optimize.differential_evolution).parameters
    return {"rng" if "rng" in known else "seed": seed}
