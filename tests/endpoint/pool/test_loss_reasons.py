"""What people read when a worker is gone."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from compute_executor.endpoint.pool import loss_reasons
from tests.endpoint.conftest import spec


@pytest.mark.parametrize(
    ("exit_code", "text"),
    [
        (0, "exited with code 0"),
        (-9, "died of SIGKILL; somebody killed it, or the system did because memory ran out"),
        (-10, "died of SIGUSR1"),
        (-40, "died of signal 40"),
    ],
)
def test_how_a_process_ended(exit_code: Any, text: Any) -> None:
    assert loss_reasons.ending(exit_code) == text


def test_last_words_are_quoted_at_their_end() -> None:
    assert loss_reasons.lost(7, 1, b"") == "worker process 7 exited with code 1 while it ran this task"
    message = loss_reasons.lost(7, 1, b"x" * 10_000 + b"the end\xff\n")
    assert message.endswith("the end\ufffd")
    assert len(message) < 5000


def test_a_walltime_is_named() -> None:
    assert "after 2.5 s" in loss_reasons.timed_out(2.5)


def test_a_full_disk_is_named_as_such() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "no room for their files" in loss_reasons.cannot_run(spec(), error)
