"""The tests of CPython's mixins that are not run as they stand, each with the reason.

A test is left out only where no executor outside the process can meet it, or where it tests a private part of
another class. Where the standard pools break and ours must not, the test runs and expects better.
"""

from __future__ import annotations

from compute_executor.errors import ResultDecodeError, SerializationError, WorkerLost

LEFT_OUT: dict[str, str] = {
    "test_gh105829_should_not_deadlock_if_wakeup_pipe_full": (
        "replaces private methods of concurrent.futures.process (the manager thread and its wake-up pipe), which "
        "only a ProcessPoolExecutor has; nothing of ours would be under test"
    ),
}

EXPECTED_INSTEAD: dict[str, tuple[type[BaseException], ...]] = {
    # The standard pool cannot tell whose arguments they were and declares itself broken; ours can.
    "test_error_at_task_unpickle": (SerializationError,),
    "test_exit_at_task_unpickle": (SystemExit, WorkerLost),
    "test_error_during_result_unpickle_in_result_handler": (ResultDecodeError,),
    "test_exit_during_result_unpickle_in_result_handler": (ResultDecodeError,),
}
"""Tests whose expected BrokenProcessPool is replaced: the error is that of one task, and the Executor lives on."""
