"""CPython's own tests of its pools, run on our Executor by the interpreter that ships them.

    python -m integration.cpython.suite [NAME ...]

runs the mixins of `test.test_concurrent_futures` (a package since Python 3.12, one module before) and prints,
as its last line, the counts as JSON. Names select tests that contain one of them. `python -m integration.run
cpython` does this for every Python of the machine.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest
from concurrent.futures import BrokenExecutor
from types import ModuleType
from typing import Any

from integration.cpython import adapter
from integration.cpython.left_out import EXPECTED_INSTEAD, LEFT_OUT

MIXINS = {
    "executor": ("ExecutorTest",),
    "test_wait": ("WaitTests",),
    "test_as_completed": ("AsCompletedTests",),
    "test_shutdown": ("ExecutorShutdownTest",),
    "test_init": ("InitializerMixin", "FailingInitializerMixin"),
    "test_deadlock": ("ExecutorDeadlockTest",),
}
"""Module of the package to the classes in it that any executor can be put under."""


def shipped() -> ModuleType | None:
    """The tests of this interpreter; None where the distribution left them out."""
    try:
        return importlib.import_module("test.test_concurrent_futures")
    except ImportError:
        return None


def classes(tests: ModuleType) -> list[type[unittest.TestCase]]:
    """A test case of our Executor for each mixin."""
    return [
        _test_case(_part(tests, "util"), module, name)
        for module, names in ((_part(tests, part), names) for part, names in MIXINS.items())
        for name in names
    ]


def _part(tests: ModuleType, name: str) -> ModuleType:
    if hasattr(tests, "__path__"):
        return importlib.import_module(f"{tests.__name__}.{name}")
    return tests


def _test_case(util: ModuleType, module: ModuleType, name: str) -> type[unittest.TestCase]:
    if hasattr(module, "BrokenProcessPool"):
        module.BrokenProcessPool = BrokenExecutor  # type: ignore[attr-defined]
    if hasattr(module, "assert_python_ok") and not hasattr(module, "_ours"):
        module.assert_python_ok = adapter.running_our_scripts(module.assert_python_ok)  # type: ignore[attr-defined]
        module._ours = True  # type: ignore[attr-defined]
    bases = (_ours(util), getattr(module, name), util.ExecutorMixin, util.BaseTestCase)
    return type(f"Compute{name}", bases, {"__module__": __name__})


def _ours(util: ModuleType) -> type:
    """What every test gets in front of the mixin: our Executor, and the check that nothing was left behind."""
    support = util.support

    class Ours:
        executor_type = adapter.Executor

        def get_context(self) -> None:
            return None

        def setUp(self: Any) -> None:
            if self._testMethodName in LEFT_OUT:
                self.skipTest(LEFT_OUT[self._testMethodName])
            support.environment_altered = False
            super().setUp()  # type: ignore[misc]

        def tearDown(self: Any) -> None:
            super().tearDown()  # type: ignore[misc]
            assert not support.environment_altered, "a thread or a child process was left behind"

        def _check_crash(self: Any, error: Any, func: Any, *args: Any, **options: Any) -> None:
            error = EXPECTED_INSTEAD.get(self._testMethodName, error)
            super()._check_crash(error, func, *args, **options)  # type: ignore[misc]
            # Better than the standard pools: only that task ended so, and the Executor goes on.
            with support.captured_stderr(), self.executor_type(max_workers=2) as executor:
                assert isinstance(executor.submit(func, *args).exception(self.TIMEOUT), error)
                assert executor.submit(pow, 2, 3).result(self.TIMEOUT) == 8

    return Ours


def main(names: list[str]) -> int:
    """Run the tests; 0 if all passed."""
    tests = shipped()
    if tests is None:
        print(json.dumps({"shipped": False, "run": 0, "passed": 0, "left_out": 0}))
        return 0
    suite = unittest.TestSuite()
    for case in classes(tests):
        suite.addTests(
            one for one in unittest.defaultTestLoader.loadTestsFromTestCase(case) if _chosen(one, names)
        )
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    left_out = len(result.skipped)
    failed = len(result.failures) + len(result.errors)
    run = result.testsRun - left_out
    print(json.dumps({"shipped": True, "run": run, "passed": run - failed, "left_out": left_out}))
    return 0 if result.wasSuccessful() else 1


def _chosen(test: Any, names: list[str]) -> bool:
    return not names or any(name in test.id() for name in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
