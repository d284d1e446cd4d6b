"""The first process of a container."""

from __future__ import annotations

import os
import signal

import pytest

from compute_executor.endpoint.worker import container_init


def test_an_old_python_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(container_init.sys, "version_info", (3, 8, 1))  # type: ignore[attr-defined]
    assert container_init.main("/no/door") == 1
    assert "workers need 3.10 or newer" in capsys.readouterr().out


def child(ending: int) -> int:
    """A process in a group of its own that ends so: an exit code, or the negative of a signal."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if ending < 0:
            os.kill(os.getpid(), -ending)
        os._exit(ending)
    return pid


@pytest.mark.parametrize(("ending", "told"), [(0, 0), (3, 3), (-signal.SIGKILL, 137), (-signal.SIGTERM, 143)])
def test_it_ends_as_the_worker_ends(ending: int, told: int) -> None:
    assert container_init.wait(child(ending)) == told


def test_orphans_are_taken_in() -> None:
    orphan = child(5)
    os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
    assert container_init.wait(child(7)) == 7
    container_init.hand_on(orphan)  # nobody is there any more: nothing happens


def test_sigterm_is_handed_on() -> None:
    worker = os.fork()
    if worker == 0:
        os.setsid()
        signal.pause()
    while os.getpgid(worker) != worker:
        signal.sigtimedwait([], 0.01)
    container_init.hand_on(worker)
    assert container_init.wait(worker) == 143
