"""What stands between the tests of `test.test_concurrent_futures` and our Executor.

The tests know three things that only the standard pools have: the parameter `mp_context`, the class
`BrokenProcessPool`, and scripts that import the pool by name from `concurrent.futures` and read what a task
printed from the script's own output. Here each gets its counterpart; nothing else of a test is changed.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compute_executor

OUR_THREADS = "compute-executor"
"""How the names of this package's threads begin."""


class Executor(compute_executor.Executor):
    """Ours, with the parameter and the attribute of ProcessPoolExecutor that the deadlock tests use."""

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(max_workers=max_workers, initializer=initializer, initargs=initargs)

    @property
    def _executor_manager_thread(self) -> OwnThreads:
        return OwnThreads()


class OwnThreads:
    """Stands for the pool's manager thread: joining it waits for every thread that this package started."""

    def __init__(self) -> None:
        self.threads = [one for one in threading.enumerate() if one.name.startswith(OUR_THREADS)]

    def join(self) -> None:
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), f"{thread!r} goes on after shutdown"


_SCRIPT_IMPORT = re.compile(r"from concurrent\.futures import \w+")
_PRINTER_IMPORT = re.compile(r"( *)from test\.test_concurrent_futures\S* import sleep_and_print")
_PRINTER = """\
def sleep_and_print(seconds, message):
    import os, time
    time.sleep(seconds)
    with open(os.environ["PRINTED_BY_TASKS"], "a") as file:
        print(message, file=file)
"""


def our_script(code: str) -> str:
    """A script of the tests with our class in it, and a task that prints where we can see it: the standard
    output of a worker is not that of the script, because the worker is a process of the service."""

    def printer(match: re.Match[str]) -> str:
        return "\n".join(match[1] + line for line in _PRINTER.splitlines())

    code = _SCRIPT_IMPORT.sub("from compute_executor import Executor", code)
    return _PRINTER_IMPORT.sub(printer, code)


def running_our_scripts(assert_python_ok: Callable[..., Any]) -> Callable[..., Any]:
    """`assert_python_ok` of test.support, for our Executor: what the tasks had printed when the script ended
    is added to its output."""

    def run(*arguments: str, **environment: str) -> Any:
        *flags, code = arguments
        with tempfile.TemporaryDirectory() as folder:
            printed = Path(folder) / "printed"
            printed.touch()
            os.environ["PRINTED_BY_TASKS"] = str(printed)
            result = assert_python_ok(*flags, our_script(code), **environment)
            return result._replace(out=result.out + printed.read_bytes())

    return run
