"""Tasks that draw from generators which their program has seeded."""

from __future__ import annotations

import random
import sys
import types
import warnings
from collections.abc import Iterator

import pytest

from compute_executor.endpoint.worker.seeds import SeedWatcher
from compute_executor.surroundings import pack
from tests.endpoint.conftest import Lab, Script
from tests.endpoint.worker.test_records import PROGRAM, documents


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The module ``random``, with its functions as they were at the end."""
    for name in ("seed", "setstate"):
        monkeypatch.setattr(random, name, getattr(random, name))
    state = random.getstate()
    yield random
    random._inst.setstate(state)


SEEDED = {"random": ("script.py", 3)}


def test_a_task_that_draws(generator: types.ModuleType) -> None:
    watcher = SeedWatcher(SEEDED)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        watcher.task_ended()
        assert told == []
        generator.random()
        watcher.task_ended()
        generator.random()
        watcher.task_ended()
    ((text, file, line),) = [(str(one.message), one.filename, one.lineno) for one in told]
    assert (file, line) == ("script.py", 3)
    assert text.startswith("random is seeded here, and a task draws from it in a worker")


@pytest.mark.parametrize("name", ["seed", "setstate"])
def test_a_task_that_seeds_for_itself(generator: types.ModuleType, name: str) -> None:
    watcher = SeedWatcher(SEEDED)
    argument = 1 if name == "seed" else generator.getstate()
    getattr(generator, name)(argument)
    generator.random()
    watcher.task_ended()  # a warning would be an error


def test_a_filter_that_makes_errors_of_warnings(
    generator: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(warnings, "showwarning", lambda *what: told.append(what[1:]))
    watcher = SeedWatcher(SEEDED)
    generator.random()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watcher.task_ended()
    assert told == [(UserWarning, "script.py", 3)]


def test_numpy_when_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = pytest.importorskip("numpy")
    monkeypatch.setattr(numpy.random, "seed", numpy.random.seed)
    monkeypatch.setattr(numpy.random, "set_state", numpy.random.set_state)
    state, before = numpy.random.get_state(), list(sys.meta_path)
    loaded = sys.modules.pop("numpy.random")
    watcher = SeedWatcher({"numpy.random": ("script.py", 4)})
    watcher.task_ended()
    sys.modules["numpy.random"] = loaded
    sys.meta_path[:] = before
    watcher = SeedWatcher({"numpy.random": ("script.py", 4)})
    numpy.random.rand()
    with pytest.warns(UserWarning, match=r"numpy\.random is seeded here, .* use numpy\.random\.default_rng"):
        watcher.task_ended()
    numpy.random.set_state(state)


def test_the_program_is_told(lab: Lab) -> None:
    def draw() -> None:
        import random

        random.random()

    async def scenario(script: Script) -> None:
        await script.run(draw)
        ((text, file, line),) = [
            (one["warning"], one["filename"], one["lineno"]) for one in documents(script, 1)
        ]
        assert (text[:23], file, line) == ("random is seeded here, ", "script.py", 3)

    lab(
        scenario,
        surroundings=pack(
            {**PROGRAM, "warnings": [("default", "", ("builtins", "Warning"), "", 0)], "seeded": SEEDED}
        ),
    )
