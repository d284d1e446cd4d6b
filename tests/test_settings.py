"""Defaults: the same as those an Executor documents."""

from __future__ import annotations

import inspect

from compute_executor import Executor
from compute_executor.settings import ExecutorSettings


def test_what_an_executor_leaves_out_means_the_same_here() -> None:
    documented = inspect.signature(Executor.__init__).parameters
    shared = ExecutorSettings._field_defaults.keys() & documented.keys()
    assert {"batch_size", "by_source", "resend_unknown"} <= shared
    for name in shared:
        assert documented[name].default == ExecutorSettings._field_defaults[name], name
