"""A call here and the same call in a worker: the same answer, whatever the program is made of.

Programs come from a grammar (`grammar`, and the pieces in `functions`, `classes`, `raising`, `identities` and
`sharing`). Each is executed twice as ``__main__``: once it is called here, once its calls are submitted, all of them
before the first answer is looked at. A few hundred in `make test`; ten thousand by

    python -m pytest tests/same_answers --hypothesis-profile=thorough
"""

from __future__ import annotations

import itertools
import linecache
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from compute_executor import Executor
from tests.same_answers.classes import CLASSES
from tests.same_answers.describing import Globals, outcome
from tests.same_answers.functions import FUNCTIONS
from tests.same_answers.grammar import Call, Piece, Program, programs
from tests.same_answers.identities import IDENTITIES
from tests.same_answers.raising import EXCEPTIONS, VALUES
from tests.same_answers.sharing import SHARING

PIECES: tuple[Piece, ...] = (*FUNCTIONS, *CLASSES, *EXCEPTIONS, *VALUES, *IDENTITIES, *SHARING)
FEW = 300
"""Programs in `make test`."""

_numbers = itertools.count(1)


class Run:
    """A program in a ``__main__`` of its own."""

    def __init__(self, program: Program, number: int) -> None:
        self.module = types.ModuleType("__main__")
        self.names = vars(self.module)
        self._globals = Globals()
        self._number = number
        self._cells = 0
        self._program = program

    def start(self) -> None:
        """Execute its definitions."""
        sys.modules["__main__"] = self.module
        self._execute(self._program.source)

    def here(self) -> list[Any]:
        """How its calls end in this process."""
        self.start()
        return [
            self._call(self._value(step.function), self._value(step.argument))
            for step in self._program.steps
            if isinstance(step, Call) or self._execute(step.source)
        ]

    def there(self, executor: Executor) -> list[Any]:
        """How they end in a worker."""
        self.start()
        futures = [
            executor.submit(self._value(step.function), self._value(step.argument))
            for step in self._program.steps
            if isinstance(step, Call) or self._execute(step.source)
        ]
        return [self._outcome(future) for future in futures]

    def _call(self, function: Any, argument: Any) -> Any:
        try:
            return outcome(None, function(argument), self._globals)
        except BaseException as error:
            return outcome(error, None, self._globals)

    def _outcome(self, future: Any) -> Any:
        error = future.exception(60)
        return outcome(error, None if error is not None else future.result(), self._globals)

    def _value(self, expression: str) -> Any:
        return eval(expression, self.names)

    def _execute(self, source: str) -> None:
        self._cells += 1
        file = f"<program {self._number}, cell {self._cells}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), self.names)
        self._globals.look(self.names)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    """An Executor of one worker, which is what the state of a program is in."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    with Executor(max_workers=1) as executor:
        yield executor


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # programs leave coroutines that nobody awaits
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(
    max_examples=max(FEW, settings().max_examples),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=programs(PIECES))
def test_a_call_there_is_a_call_here(worker: Executor, program: Program) -> None:
    number = next(_numbers)
    numbered = program.numbered(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = Run(numbered, number).here()
        there = Run(numbered, number).there(worker)
    for file in [one for one in linecache.cache if one.startswith(f"<program {number},")]:
        del linecache.cache[file]
    assert there == here, f"\n{program}"
