"""What the command `sweep` calls: a function, a script, a notebook or a program, and the design of its parameters."""

from __future__ import annotations

import pdb
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from compute_executor.cli.sweep_request import SweepRequest
from compute_executor.errors import InvalidRequest
from compute_executor.sweeps import target
from compute_executor.sweeps.annotations import Parameters
from compute_executor.sweeps.conditions import Condition
from compute_executor.sweeps.design import SEED, Design
from compute_executor.sweeps.grid import parse_axis, parse_constant
from compute_executor.sweeps.notebooks import NotebookCall
from compute_executor.sweeps.params import ParamTable
from compute_executor.sweeps.programs import (
    OWN,
    ROW,
    ProgramCall,
    ScriptCall,
    absolute,
    check_collect,
    check_program,
    placeholders,
)
from compute_executor.sweeps.samples import Range, Sampling, fits, parse_range
from compute_executor.sweeps.sweep import check_function


@dataclass(frozen=True)
class SweepTarget:
    """``function`` to call for the rows of ``design``. ``name``: in the book. ``taken``: names that no result may
    have. ``numbered``: the call gets the number of its row. ``timeout``: seconds that the executor gives a call."""

    function: Callable[..., Any]
    design: Design
    name: str
    taken: frozenset[str] = frozenset()
    numbered: bool = False
    timeout: float | None = None


def found(request: SweepRequest) -> SweepTarget:
    """Return what ``request`` names, loaded and checked. Raises InvalidRequest."""
    check_collect(request.collect)
    if request.program:
        return _program(request)
    name = request.function or ""
    if name.endswith(".ipynb"):
        return _notebook(request, Path(name))
    if name.endswith(".py") and Path(name).exists():
        return _script(request, Path(name))
    if request.collect:
        raise InvalidRequest(
            "--collect is for programs, scripts and notebooks: a function returns its columns"
        )
    function = target.load(name, elsewhere=_is_elsewhere(request))
    design = _design(request, function)
    check_function(function, design)
    taken = frozenset(target.signature(function) or ())
    return SweepTarget(function, design, _book_name(name), taken, timeout=request.timeout)


def _is_elsewhere(request: SweepRequest) -> bool:
    """Return whether workers do not see this machine's files. Raises InvalidRequest for a profile that there is
    not."""
    if request.endpoint is not None or request.url:
        return True
    from compute_executor.local import (
        config,  # the profile may be that of the environment or the configuration
    )

    return config.find_profile(request.profile) is not None


def debug(one: SweepTarget, number: int) -> None:
    """Run a row here, under pdb: it stops at the first line of the function, and where it raises."""
    for place, row in enumerate(one.design.rows(), 1):
        if place == number:
            _under_pdb(one, number, row)
            return
    raise click.ClickException(f"--debug {number}: the sweep has {one.design.count:,} rows")


def _under_pdb(one: SweepTarget, number: int, row: dict[str, Any]) -> None:
    arguments = one.design.call(row)
    click.echo(f"row {number}: {', '.join(f'{name} = {value!r}' for name, value in arguments.items())}")
    if one.numbered:
        arguments = {**arguments, ROW: number}
    try:
        value = pdb.Pdb(stdin=sys.stdin, stdout=sys.stdout).runcall(one.function, **arguments)
    except Exception:
        traceback.print_exc()
        pdb.post_mortem(sys.exc_info()[2])
        raise click.exceptions.Exit(1) from None
    click.echo(f"returned {value!r}")


def _program(request: SweepRequest) -> SweepTarget:
    arguments = absolute(request.program, Path.cwd())
    folder = _folder(request)
    function = ProgramCall(arguments, folder, request.collect, request.timeout)
    names = {name for text in arguments for name in placeholders(text)}.difference(OWN)
    design = _design(request, function)
    unused = [name for name in design.swept if name not in names and name not in design.carried]
    if unused:
        raise InvalidRequest(f"no argument of the program has {{{unused[0]}}} in it")
    missing = sorted(names.difference(design.names))
    if missing:
        raise InvalidRequest(
            f"the program wants {{{missing[0]}}}: add --grid {missing[0]}=..."
            if missing[0] != SEED
            else "the program wants {seed}: add --seed S"
        )
    if not _is_elsewhere(request):
        check_program(arguments[0])
    return SweepTarget(function, design, f"program {Path(arguments[0]).name}", numbered=True)


def _script(request: SweepRequest, path: Path) -> SweepTarget:
    design = _design(request, lambda **_: None)
    names = [name for name in design.names if name not in design.carried]
    command = [sys.executable, str(path.resolve())]
    function = ScriptCall(command, names, _folder(request), request.collect, request.timeout)
    return SweepTarget(function, design, path.name, numbered=True)


def _notebook(request: SweepRequest, path: Path) -> SweepTarget:
    function = NotebookCall(path, _folder(request), request.collect)
    design = _design(request, function)
    return SweepTarget(function, design, path.name, numbered=True, timeout=request.timeout)


def _folder(request: SweepRequest) -> Path:
    """Return where rows have their folders: ``results.files`` beside ``results.csv``."""
    out = request.out.absolute()
    return out.with_name(f"{out.stem if str(request.out) != '-' else 'results'}.files")


def _design(request: SweepRequest, function: Callable[..., Any]) -> Design:
    parameters, known = Parameters(function), target.accepted(function)
    table = None
    if request.params:
        table = ParamTable(request.params, parameters, known, target.optional_parameters(function))
    constants = [parse_constant(text, parameters) for text in request.constants]
    axes = [*constants, *(parse_axis(grid, parameters) for grid in request.grids)]
    conditions = [Condition(text) for text in request.where]
    ranges = [_range(text, parameters) for text in request.ranges]
    if request.is_search:
        return Design(None, axes, Sampling(request.evaluations or 1, ranges, "random"))
    sample = None
    if request.sample is not None:
        sample = Sampling(request.sample, ranges, request.method or "lhs", request.seed or 0)
    seed = request.seed
    if sample is not None and request.repeat is None and known is not None and SEED not in known:
        seed = None  # it is that of the sample
    return Design(table, axes, sample, conditions, repeats=request.repeat, seed=seed)


def _range(text: str, parameters: Parameters) -> Range:
    one = parse_range(text, parameters)
    return fits(one, parameters.converter(one.name))


def _book_name(text: str) -> str:
    """``model.py:f``, wherever the file is."""
    file, _, name = text.rpartition(":")
    return f"{Path(file).name}:{name}"
