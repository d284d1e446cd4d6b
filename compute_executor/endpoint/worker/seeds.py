"""Says when a task draws random numbers from a generator that its program has seeded. A worker's generators have
seeds of their own, so that two workers do not draw the same numbers; what a program has seeded so comes out
differently in each run, and nothing else would tell.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from compute_executor.interpreter import after_import


class _Generator(NamedTuple):
    """How to look at a generator that all of a process share: its state, and the functions that seed it."""

    state: Callable[[Any], Any]
    seeding: tuple[str, ...]
    instead: str


def _state_of_numpy(random: Any) -> Any:
    _, key, *rest = random.get_state()
    return key.tobytes(), *rest


_GENERATORS = {
    "random": _Generator(lambda random: random.getstate(), ("seed", "setstate"), "random.Random(seed)"),
    "numpy.random": _Generator(_state_of_numpy, ("seed", "set_state"), "numpy.random.default_rng(seed)"),
}


class SeedWatcher:
    """Watcher of generators. ``seeded``: those that the program has seeded, each with the file and line of that."""

    def __init__(self, seeded: dict[str, tuple[str, int]]) -> None:
        self._watched: dict[str, tuple[Any, Any]] = {}
        self._seeded = seeded
        for name in _GENERATORS.keys() & seeded.keys():
            begin = functools.partial(self._begin, name)
            if name in sys.modules:
                begin(sys.modules[name])
            else:
                after_import(name, begin)

    def _begin(self, name: str, module: Any) -> None:
        """Watch a generator, until a task or an initializer seeds it itself."""
        generator = _GENERATORS[name]
        for one in generator.seeding:
            setattr(module, one, self._noting(name, getattr(module, one)))
        self._watched[name] = module, generator.state(module)

    def _noting(self, name: str, seed: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(seed)
        def noted(*args: Any, **kwargs: Any) -> Any:
            self._watched.pop(name, None)
            return seed(*args, **kwargs)

        return noted

    def task_ended(self) -> None:
        """Warn if the task has drawn from a generator that the program has seeded: once for each."""
        for name, (module, before) in list(self._watched.items()):
            if _GENERATORS[name].state(module) != before:
                del self._watched[name]
                self._warn(name)

    def _warn(self, name: str) -> None:
        file, line = self._seeded[name]
        text = (
            f"{name} is seeded here, and a task draws from it in a worker, whose generator has a seed of its own: "
            "the numbers are others in each run. Give each task a seed and let it use "
            f"{_GENERATORS[name].instead}, or seed in the task or in an initializer."
        )
        try:
            warnings.warn_explicit(text, UserWarning, file, line)
        except UserWarning as error:  # a filter makes errors of them, and the task has ended
            warnings.showwarning(error, UserWarning, file, line)
