"""A script and a worker: what is defined in the one is called in the other."""

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from compute_executor.serialization import sharing
from tests.serialization.other_process import OtherProcess


class Script:
    """The ``__main__`` of a program of its own in this process, and a worker for it."""

    def __init__(self, module: types.ModuleType, worker: OtherProcess) -> None:
        self.names = vars(module)
        self.worker = worker
        self._cells = 0

    def run(self, source: str) -> None:
        """Execute source as a cell of the script."""
        self._cells += 1
        file = f"<cell {self._cells}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), self.names)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the script in the worker."""
        found = self.names
        first, *rest = name.split(".")
        function = found[first]
        for part in rest:
            function = getattr(function, part)
        return self.worker.call(function, *args, **kwargs)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """An empty script with a fresh worker, of which nothing was sent yet."""
    monkeypatch.setattr(sharing, "_ranks", {})
    monkeypatch.setattr(sharing, "_sent_in", {})
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    worker = OtherProcess()
    yield Script(module, worker)
    worker.close()
