from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from compute_executor.cli.signals import first_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_told_and_the_old_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    told: list[str] = []
    with first_signal(lambda: told.append("once")) as signals:
        signal.raise_signal(number)
    assert (told, signals) == (["once"], [number])
    assert signal.getsignal(number) is before


def test_the_second_ends_the_process_at_once() -> None:
    program = (
        "import signal\n"
        "from compute_executor.cli.signals import first_signal\n"
        "with first_signal(lambda: print('first', flush=True)):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print('never')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "first\n", "")
