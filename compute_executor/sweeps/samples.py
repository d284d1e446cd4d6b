"""``--sample``: points that fill a box, drawn by scipy.stats.qmc: Latin hypercube, Sobol, Halton; or at random."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.annotations import Conversion, Parameters
from compute_executor.sweeps.documents import optional
from compute_executor.sweeps.values import Value, cell, typed

METHODS = ("lhs", "sobol", "halton", "random")
AT_ONCE = 4096
"""Points drawn at a time. A power of 2, as Sobol sequences want."""
MOST_LHS = 2_000_000
"""Points of a Latin hypercube: it can only be drawn as a whole, in memory."""


class Range(NamedTuple):
    """A parameter between two bounds. ``logarithmic``: its logarithm is spread evenly. ``whole``: ints only, both
    bounds included."""

    name: str
    low: float
    high: float
    logarithmic: bool = False
    whole: bool = False

    def at(self, part: float) -> Value:
        """Return the value at ``part`` of the way, 0 to 1."""
        low, high = (self.low, self.high + 1) if self.whole else (self.low, self.high)
        if self.logarithmic:
            value = math.exp(math.log(low) + part * (math.log(high) - math.log(low)))
            value = min(max(value, low), high)
        else:
            value = low + part * (high - low)
        return min(int(value), int(self.high)) if self.whole else value


def parse_range(text: str, parameters: Parameters | None = None) -> Range:
    """Return the range that one ``--range`` asks for. Ints where the parameter is annotated int. Raises
    InvalidRequest.

    >>> parse_range("rate=0.1:10:log")
    Range(name='rate', low=0.1, high=10.0, logarithmic=True, whole=False)
    """
    name, equals, bounds = text.partition("=")
    parts = [part.strip() for part in bounds.split(":")]
    logarithmic = len(parts) == 3 and parts[2] == "log"
    if not equals or not name.strip().isidentifier() or (len(parts) != 2 and not logarithmic):
        raise InvalidRequest(f"--range {text}: write name=low:high, or name=low:high:log")
    whole = parameters is not None and parameters.whole(name.strip())
    values = [typed(part) for part in parts[:2]]
    if any(type(value) not in (int, float) or not math.isfinite(value) for value in values):
        raise InvalidRequest(f"--range {text}: the bounds must be numbers")
    return checked_range(Range(name.strip(), float(values[0]), float(values[1]), logarithmic, whole))


def checked_range(one: Range) -> Range:
    """Return the same. Raises InvalidRequest for bounds between which there is nothing."""
    shown = f"the range of {one.name}, {one.low:g} to {one.high:g}"
    if not one.low < one.high or not math.isfinite(one.high - one.low):
        raise InvalidRequest(f"{shown}: the first must be less than the second")
    if one.logarithmic and one.low <= 0:
        raise InvalidRequest(f"{shown}: a logarithmic range must begin above zero")
    if one.whole and not (one.low.is_integer() and one.high.is_integer()):
        raise InvalidRequest(f"{shown}: the parameter is an int, so its bounds must be whole numbers")
    return one


class Sampling:
    """``count`` points in the box of ``ranges``, the same for the same ``seed``. Raises InvalidRequest."""

    def __init__(self, count: int, ranges: Sequence[Range], method: str = "lhs", seed: int = 0) -> None:
        if method not in METHODS:
            raise InvalidRequest(f"--method {method}: it must be one of {', '.join(METHODS)}")
        if not ranges:
            raise InvalidRequest("--sample needs a --range name=low:high for each parameter to draw")
        if count < 1:
            raise InvalidRequest(f"--sample {count}: it must be at least 1")
        if method == "lhs" and count > MOST_LHS:
            raise InvalidRequest(
                f"--sample {count:,}: a Latin hypercube is drawn as a whole, {MOST_LHS:,} points at most; "
                "--method sobol has no limit"
            )
        optional("scipy.stats.qmc", "sample", "a sample or a search")
        self.count: int = count
        self.ranges: list[Range] = list(ranges)
        self.method = method
        self.seed: int = seed
        self.names: list[str] = [one.name for one in ranges]

    def rows(self) -> Iterator[dict[str, Value]]:
        """Yield the points, in the order of the sequence."""
        for point in self._unit_points():
            yield {one.name: one.at(float(part)) for one, part in zip(self.ranges, point, strict=True)}

    def _unit_points(self) -> Iterator[Any]:
        draw = self._drawer()
        step = self.count if self.method == "lhs" else AT_ONCE
        for start in range(0, self.count, step):
            yield from draw(min(step, self.count - start))

    def _drawer(self) -> Any:
        """Return what draws the next so many points of the unit cube."""
        numpy: Any = optional("numpy", "sample", "--sample")
        generator = numpy.random.default_rng(self.seed)
        size = len(self.ranges)
        if self.method == "random":
            return lambda count: generator.random((count, size))
        qmc: Any = optional("scipy.stats.qmc", "sample", "a sample or a search")
        kinds = {"lhs": qmc.LatinHypercube, "sobol": qmc.Sobol, "halton": qmc.Halton}
        engine = kinds[self.method](size, **_seeding(qmc, generator))
        if self.method != "sobol":
            return engine.random
        return lambda count: _sobol(engine, count)


def _seeding(qmc: Any, generator: Any) -> dict[str, Any]:
    """Return the keyword for the generator: ``rng`` since scipy 1.15, ``seed`` before."""
    import inspect  # only who draws samples needs it

    return {"rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed": generator}


def _sobol(engine: Any, count: int) -> Any:
    import warnings  # only who draws samples needs it

    with warnings.catch_warnings():
        # Any number of points may be asked for; that the balance is best at powers of 2 is in the documentation.
        warnings.simplefilter("ignore", UserWarning)
        return engine.random(count)


def fits(one: Range, convert: Conversion | None) -> Range:
    """Return the same. Raises InvalidRequest if the annotation of the parameter refuses its bounds."""
    if convert is not None:
        for bound in (one.low, one.high):
            convert(cell(int(bound) if one.whole else bound))
    return one
