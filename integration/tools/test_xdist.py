"""pytest-xdist: test processes that each have executors, on one service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest
from compute_executor import Executor

@pytest.mark.parametrize("n", range(8))
def test_square(n):
    with Executor(max_workers=1) as ex:
        assert ex.submit(pow, n, 2).result(60) == n * n
"""


def test_in_test_processes(tmp_path: Path) -> None:
    (tmp_path / "test_squares.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", str(tmp_path)]

    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert "8 passed" in answer.stdout, answer.stdout + answer.stderr
