"""``compute_executor.sweep``: a parameter study from a program or a notebook."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidArgument, InvalidRequest
from compute_executor.sweeps import target
from compute_executor.sweeps.annotations import Parameters
from compute_executor.sweeps.conditions import Condition
from compute_executor.sweeps.design import SEED, Design
from compute_executor.sweeps.grid import Axis, parse_axis
from compute_executor.sweeps.params import ParamTable
from compute_executor.sweeps.result import SweepResult
from compute_executor.sweeps.samples import Range, Sampling, checked_range
from compute_executor.sweeps.study import Study, StudyRequest


def sweep(
    function: Callable[..., Any],
    grid: Mapping[str, Iterable[Any] | str] | None = None,
    *,
    sample: Mapping[str, Sequence[Any]] | None = None,
    points: int | None = None,
    method: str = "lhs",
    params: str | os.PathLike[str] | Iterable[Mapping[str, Any]] | None = None,
    constants: Mapping[str, Any] | None = None,
    where: str | Iterable[str] = (),
    repeat: int | None = None,
    seed: int | None = None,
    executor: Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    max_failures: int | None = None,
    units: Mapping[str, str] | None = None,
    progress: bool = True,
) -> SweepResult:
    """Call ``function`` for every row of a design, and wait for all of it.

    >>> from compute_executor import sweep
    >>> def area(width, height):
    ...     return {"area": width * height}
    >>> found = sweep(area, grid={"width": [1, 2], "height": [3, 4, 5]}, progress=False)
    >>> len(found), found.best("area", greatest=True)
    (6, {'width': 2, 'height': 5, 'area': 10, 'error': None})

    The design: ``grid`` has the values of each parameter (or their text, as for ``--grid``: ``"0:1:50"``), every
    combination is run. ``sample`` has bounds, ``{"rate": (0.1, 10, "log"), "n": (1, 100)}``, between which ``points``
    points are drawn by ``method`` (lhs, sobol, halton, random); whole numbers if both bounds are ints. ``params``: a
    table, or records. ``constants``: one value for all rows. ``where``: conditions, such as ``"a < b"``.
    ``repeat``: how often each point is run; with ``seed`` each row gets a ``seed`` of its own, a child of numpy's
    ``SeedSequence``.

    ``executor`` (default: an `Executor` of this machine) runs the calls. ``out``: a table (csv, tsv, jsonl, parquet,
    xlsx, nc, pickle) and its book beside it, with which ``resume=True`` goes on; what is there is replaced with
    ``overwrite=True`` only. ``timeout``: seconds that a call may take; ``retries``: how often a failed one is run
    again at once. More than ``max_failures`` end the sweep, and so do the first 20 rows if they all fail alike.
    ``units``: of columns, for pictures and netCDF. ``progress``: a bar, in a notebook too.

    A call that raises is a failure of its row, see `SweepResult.failures`. Ctrl-C ends it: KeyboardInterrupt is
    raised, and what has ended is in ``out``. Raises InvalidRequest, before any call, for what cannot be run, and
    ServiceUnavailable and the like for what is about all rows.
    """
    if not callable(function):
        raise InvalidArgument(f"sweep needs a function, not a {type(function).__name__}")
    design = _design(
        function,
        grid=grid,
        sample=sample,
        points=points,
        method=method,
        params=params,
        constants=constants,
        where=where,
        repeat=repeat,
        seed=seed,
    )
    check_function(function, design)
    others = frozenset(target.signature(function) or ()).difference(design.names)
    request = StudyRequest(
        function,
        design,
        getattr(function, "__qualname__", type(function).__name__),
        None if out is None else Path(out),
        others,
        resume,
        overwrite,
        retries=retries,
        max_failures=max_failures,
        units=dict(units or {}),
    )
    return run_request(request, executor, timeout, progress)


def run_request(
    request: StudyRequest,
    executor: Executor | None,
    timeout: float | None,
    progress: bool,
    earlier: Study | None = None,
) -> SweepResult:
    """Run a study on ``executor``, or on one of its own; or go on with an ``earlier`` one."""
    study = Study(request, earlier=earlier)
    try:
        with _executor(executor, request.name) as used:
            view = with_timeout(used, timeout)
            with _shown(study, progress) as changed:
                study.run(view, changed)
        study.finish()
    except BaseException:
        with contextlib.suppress(Exception):
            study.settle()
            study.finish()
        study.abandon()
        raise

    def run_again() -> SweepResult:
        later = replace(study.request, resume=True, overwrite=False)
        return run_request(later, executor, timeout, progress, study)

    return SweepResult(study, run_again)


def check_function(function: Callable[..., Any], design: Design) -> None:
    """Raise InvalidRequest unless ``function`` takes just what the design has."""
    known = target.accepted(function)
    if design.seed is not None and known is not None and SEED not in known:
        raise InvalidRequest(
            "--seed gives each row a seed, and the function takes none: add a parameter called seed to it"
        )
    target.check_parameters(function, [name for name in design.names if name not in design.carried])


def with_timeout(executor: Executor, timeout: float | None) -> Any:
    """``executor`` with a limit of seconds for each call. Raises InvalidRequest where it knows none."""
    if timeout is None:
        return executor
    options: Any = getattr(executor, "options", None)
    if options is None:
        raise InvalidRequest(f"a timeout needs compute_executor.Executor, not {type(executor).__name__}")
    return options(timeout=timeout)


@contextlib.contextmanager
def _executor(executor: Executor | None, name: str) -> Iterator[Executor]:
    """The one that is given, or one for this sweep; that leaves at once when the sweep has ended early."""
    if executor is not None:
        yield executor
        return
    from compute_executor.executor import Executor as OurExecutor  # only who gives none needs it

    own = OurExecutor(label=f"sweep {name}")
    try:
        yield own
    finally:
        end_executor(own)


def end_executor(executor: Executor) -> None:
    """Withdraw what has not begun, and let go of what has: the service goes on with it."""
    executor.shutdown(wait=False, cancel_futures=True)
    leave: Any = getattr(executor, "leave", None)
    if leave is not None:
        leave()


@contextlib.contextmanager
def _shown(study: Study, progress: bool) -> Iterator[Callable[[], None]]:
    if not progress:
        yield lambda: None
        return
    from compute_executor.sweeps.progress import shown  # only who wants a bar pays for it

    with shown(study.tally, sys.stderr) as changed:
        yield changed


def _design(
    function: Callable[..., Any],
    *,
    grid: Mapping[str, Iterable[Any] | str] | None,
    sample: Mapping[str, Sequence[Any]] | None,
    points: int | None,
    method: str,
    params: str | os.PathLike[str] | Iterable[Mapping[str, Any]] | None,
    constants: Mapping[str, Any] | None,
    where: str | Iterable[str],
    repeat: int | None,
    seed: int | None,
) -> Design:
    parameters = Parameters(function)
    axes = [Axis(name, [value]) for name, value in (constants or {}).items()]
    axes += [_axis(name, values, parameters) for name, values in (grid or {}).items()]
    if (sample is None) != (points is None):
        raise InvalidRequest("sample (bounds by name) and points (how many) go together")
    drawn = None
    if sample is not None and points is not None:
        drawn = Sampling(points, [_range(name, bounds) for name, bounds in sample.items()], method, seed or 0)
    conditions = [Condition(text) for text in ([where] if isinstance(where, str) else where)]
    if repeat is not None and repeat < 1:
        raise InvalidRequest(f"repeat is {repeat}: it must be at least 1")
    return Design(_table(function, params, parameters), axes, drawn, conditions, repeats=repeat, seed=seed)


def _axis(name: str, values: Iterable[Any] | str, parameters: Parameters) -> Axis:
    if isinstance(values, str):
        return parse_axis(f"{name}={values}", parameters)
    try:
        found = values if isinstance(values, range) else list(values)
    except TypeError:
        raise InvalidArgument(
            f"grid: the values of {name!r} must be a list or the like, not {values!r}"
        ) from None
    if not found:
        raise InvalidRequest(f"grid: {name!r} has no values")
    return Axis(name, found)


def _range(name: str, bounds: Sequence[Any]) -> Range:
    logarithmic = len(bounds) == 3 and bounds[2] == "log"
    if len(bounds) != 2 and not logarithmic:
        raise InvalidRequest(f"sample: the bounds of {name!r} must be (low, high) or (low, high, 'log')")
    low, high = bounds[:2]
    whole = all(isinstance(bound, int) and not isinstance(bound, bool) for bound in (low, high))
    return checked_range(Range(name, float(low), float(high), logarithmic, whole))


def _table(function: Callable[..., Any], params: Any, parameters: Parameters) -> ParamTable | None:
    if params is None:
        return None
    known, defaults = target.accepted(function), target.optional_parameters(function)
    if isinstance(params, (str, os.PathLike)):
        return ParamTable(Path(params), parameters, known, defaults)
    records = params.to_dict("records") if hasattr(params, "to_dict") else list(params)
    return ParamTable(Path("params"), parameters, known, defaults, records)
